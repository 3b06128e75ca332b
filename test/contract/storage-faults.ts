import { BrokerError } from '../../src/errors.js';
import { archiveKey } from '../../src/storage/object-key.js';
import { CALLS, everythingIn, patient, rejection, type StorageFault } from '../support/storage-bench.js';

const KEY = archiveKey('instance', 'one');

/** Each call on each storage that cannot be used: a code, the storage's own words, no secret. */
export function describeFaults(faults: readonly StorageFault[]): void {
  describe.each(faults)('$what', (fault) => {
    const { calls, code, says } = fault;
    let arranged: Awaited<ReturnType<StorageFault['arrange']>>;
    beforeAll(async () => {
      arranged = await fault.arrange();
    });
    afterAll(() => arranged.repair());

    it.each(calls)('%s', async (call) => {
      const error = await rejection(CALLS[call](arranged.provider, KEY, patient()));
      expect(error).toBeInstanceOf(BrokerError);
      expect(error).toMatchObject({ code });
      const { message, status } = error as BrokerError;
      expect(message).toMatch(new RegExp(`^storage ${arranged.provider.name} `));
      expect(message).toMatch(says);
      expect(message).not.toMatch(/\.$/);
      expect([502, 507]).toContain(status);
      for (const secret of arranged.secrets) expect(everythingIn(error)).not.toContain(secret);
    });
  });
}
