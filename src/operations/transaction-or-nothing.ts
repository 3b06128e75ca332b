import { type DataSource, type EntityManager } from 'typeorm';

/** One transaction; where its work has no answer nothing of it is kept, and undefined is returned. */
export async function transactionOrNothing<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T | undefined>,
): Promise<T | undefined> {
  const nothing = new Error('rolled back');
  try {
    return await dataSource.transaction(async (manager) => {
      const answer = await work(manager);
      if (answer === undefined) throw nothing;
      return answer;
    });
  } catch (error) {
    if (error === nothing) return undefined;
    throw error;
  }
}
