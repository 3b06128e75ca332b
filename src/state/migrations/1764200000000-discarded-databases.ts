import { type MigrationInterface, type QueryRunner } from 'typeorm';

/** Databases that nothing needs any more, until they are dropped. */
export class DiscardedDatabases1764200000000 implements MigrationInterface {
  readonly name = 'DiscardedDatabases1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE discarded_database (
        server text COLLATE "C" NOT NULL,
        database text COLLATE "C" NOT NULL,
        instance_id text COLLATE "C" NOT NULL,
        shadow jsonb,
        PRIMARY KEY (server, database)
      )`);
    await runner.query(`CREATE INDEX discarded_database_instance ON discarded_database (instance_id)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE discarded_database');
  }
}
