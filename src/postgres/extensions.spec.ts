import { BrokerError } from '../errors.js';
import { extensionFault } from './extensions.js';

describe('extensionFault', () => {
  it.each([new BrokerError('cancelled', 'cancelled'), new Error('other'), 'a text', undefined])(
    'lets %s through',
    (error) => expect(extensionFault(error)).toBe(error),
  );

  it('names what uses an extension', () => {
    const cause = Object.assign(new Error('in use'), {
      code: '2BP01',
      detail: 'column a of table t depends on type citext',
    });
    for (const error of [cause, new BrokerError('internal', 'x', { cause })])
      expect(extensionFault(error)).toMatchObject({
        code: 'invalid_request',
        message: expect.stringMatching(/column a of table t uses type citext/) as string,
      });
  });
});
