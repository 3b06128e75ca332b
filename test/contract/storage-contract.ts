import { type StorageBench, type StorageFault } from '../support/storage-bench.js';
import { describeFaults } from './storage-faults.js';
import { describeKeys } from './storage-keys.js';
import { describeReading } from './storage-reading.js';
import { describeWriting } from './storage-writing.js';

/** Every sentence of StorageProvider, asked of one provider. */
export function describeStorage(open: () => Promise<StorageBench>, faults: readonly StorageFault[]): void {
  let bench: StorageBench;
  beforeEach(async () => {
    bench = await open();
  });
  afterEach(() => bench.close());

  describeWriting(() => bench);
  describeReading(() => bench);
  describeKeys(() => bench);
  describeFaults(faults);
}
