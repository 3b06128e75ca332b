import { FailureThrottle } from './failure-throttle.js';

it('lets five failures pass, then names the rest of the minute', () => {
  let now = 1_000;
  const throttle = new FailureThrottle(() => now);
  for (let count = 0; count < 5; count++) expect(throttle.failed('u', 'a')).toBe(0);
  expect(throttle.failed('u', 'a')).toBe(60);
  now += 30_000;
  expect(throttle.failed('u', 'a')).toBe(30);
  expect(throttle.failed('other', 'a')).toBe(0);
  expect(throttle.failed('u', 'elsewhere')).toBe(0);
  now += 30_000;
  expect(throttle.failed('u', 'a')).toBe(0);
});

it('holds 10,000 pairs at most; the oldest gives way', () => {
  const throttle = new FailureThrottle(() => 0);
  for (let count = 0; count < 6; count++) throttle.failed('first', 'a');
  for (let user = 0; user < 20_000; user++) throttle.failed(`u${user}`, 'a');
  expect(throttle.size).toBe(10_000);
  expect(throttle.failed('first', 'a')).toBe(0);
});
