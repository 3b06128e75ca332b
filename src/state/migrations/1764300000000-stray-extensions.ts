import { type MigrationInterface, type QueryRunner } from 'typeorm';

/** Extensions that a failed update may have left. */
export class StrayExtensions1764300000000 implements MigrationInterface {
  readonly name = 'StrayExtensions1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE service_instance ADD stray_extensions jsonb NOT NULL DEFAULT '[]'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE service_instance DROP stray_extensions');
  }
}
