import { type MigrationInterface, type QueryRunner } from 'typeorm';

/** Who asked for which change, and what came of it. */
export class Audit1764400000000 implements MigrationInterface {
  readonly name = 'Audit1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_record (
        id uuid PRIMARY KEY,
        asked_at timestamptz NOT NULL DEFAULT now(),
        change text COLLATE "C" NOT NULL,
        instance_id text COLLATE "C",
        target jsonb NOT NULL,
        requested_by jsonb NOT NULL,
        address text COLLATE "C" NOT NULL,
        request_id text COLLATE "C" NOT NULL,
        answered_at timestamptz,
        status integer,
        code text COLLATE "C",
        operation_id uuid
      )`);
    await runner.query(`CREATE INDEX audit_record_newest ON audit_record (asked_at DESC, id DESC)`);
    await runner.query(`CREATE INDEX audit_record_instance ON audit_record (instance_id, asked_at DESC, id DESC)`);
    await runner.query(
      `CREATE INDEX audit_record_source ON audit_record ((target->>'from')) WHERE target->>'from' IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_record');
  }
}
