/**
 * Tests of which each goes on where the one before has ended: after one that failed the others fail at once.
 */
export function steps(): (name: string, step: () => Promise<void>) => void {
  let failed: string | undefined;
  return (name, step) => {
    it(name, async () => {
      if (failed !== undefined) throw new Error(`not tried, as this failed: ${failed}`);
      failed = name;
      await step();
      failed = undefined;
    });
  };
}
