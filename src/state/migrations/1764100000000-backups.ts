import { type MigrationInterface, type QueryRunner } from 'typeorm';

/** Backups, restore points, and what handlers of operations write down for the attempts that follow. */
export class Backups1764100000000 implements MigrationInterface {
  readonly name = 'Backups1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE operation ADD COLUMN memo jsonb NOT NULL DEFAULT '{}'`);
    await runner.query(`CREATE INDEX operation_left ON operation (finished_at) WHERE memo->>'left' = 'true'`);
    await runner.query(`
      CREATE TABLE backup (
        instance_id text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        storage text COLLATE "C" NOT NULL,
        node text COLLATE "C",
        state text COLLATE "C" NOT NULL
          CONSTRAINT backup_state CHECK (state IN ('available', 'missing', 'damaged')),
        origin text COLLATE "C" NOT NULL CONSTRAINT backup_origin CHECK (origin IN ('backup', 'upload')),
        created_at timestamptz NOT NULL,
        size_bytes bigint NOT NULL,
        sha256 text COLLATE "C" NOT NULL,
        compression text COLLATE "C",
        database_bytes bigint,
        rows bigint,
        tables integer,
        server_version text COLLATE "C",
        dump_version text COLLATE "C",
        lsn text COLLATE "C",
        requested_by jsonb NOT NULL,
        operation_id uuid NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        orphaned_at timestamptz,
        PRIMARY KEY (instance_id, name)
      )`);
    await runner.query(`CREATE INDEX backup_newest ON backup (instance_id, created_at DESC, name DESC)`);
    await runner.query(`CREATE INDEX backup_storage ON backup (storage)`);
    await runner.query(`
      CREATE TABLE restore_point (
        instance_id text COLLATE "C" PRIMARY KEY,
        server text COLLATE "C" NOT NULL,
        database text COLLATE "C" NOT NULL,
        database_bytes bigint NOT NULL,
        operation_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
      )`);
    await runner.query(`CREATE INDEX restore_point_expiry ON restore_point (expires_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE restore_point, backup');
    await runner.query('ALTER TABLE operation DROP COLUMN memo');
  }
}
