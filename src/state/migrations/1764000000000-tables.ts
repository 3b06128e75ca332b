import { type MigrationInterface, type QueryRunner } from 'typeorm';

/**
 * Instances, bindings, operations. What comes from the platform is compared byte by byte: collation "C".
 */
export class Tables1764000000000 implements MigrationInterface {
  readonly name = 'Tables1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE service_instance (
        id text COLLATE "C" PRIMARY KEY,
        service_id text COLLATE "C" NOT NULL,
        plan_id text COLLATE "C" NOT NULL,
        parameters jsonb NOT NULL,
        fingerprint text COLLATE "C" NOT NULL,
        context jsonb NOT NULL,
        maintenance_version text COLLATE "C",
        limits jsonb NOT NULL DEFAULT '{}',
        state text COLLATE "C" NOT NULL,
        server text COLLATE "C" NOT NULL,
        database text COLLATE "C" NOT NULL,
        owner_role text COLLATE "C" NOT NULL,
        connect_role text COLLATE "C" NOT NULL,
        reader_role text COLLATE "C" NOT NULL,
        diverged boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query(`CREATE INDEX service_instance_server ON service_instance (server)`);
    await runner.query(`
      CREATE INDEX service_instance_unsettled ON service_instance (state) WHERE state <> 'ready' OR diverged`);

    await runner.query(`
      CREATE TABLE service_binding (
        instance_id text COLLATE "C" NOT NULL
          CONSTRAINT service_binding_instance REFERENCES service_instance ON DELETE CASCADE,
        id text COLLATE "C" NOT NULL,
        service_id text COLLATE "C" NOT NULL,
        plan_id text COLLATE "C" NOT NULL,
        parameters jsonb NOT NULL,
        bind_resource jsonb NOT NULL,
        context jsonb NOT NULL,
        fingerprint text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL,
        role text COLLATE "C" NOT NULL,
        access text COLLATE "C" NOT NULL,
        sealed_password text COLLATE "C" NOT NULL,
        predecessor_id text COLLATE "C",
        runner text COLLATE "C",
        lease_until timestamptz,
        expires_at timestamptz,
        renew_before timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (instance_id, id)
      )`);
    await runner.query(`CREATE INDEX service_binding_unsettled ON service_binding (state) WHERE state <> 'ready'`);

    await runner.query(`
      CREATE TABLE operation (
        id uuid PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        instance_id text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL
          CONSTRAINT operation_state CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
        phase text COLLATE "C",
        progress jsonb NOT NULL DEFAULT '{}',
        input jsonb NOT NULL DEFAULT '{}',
        result jsonb,
        error jsonb,
        attempt integer NOT NULL DEFAULT 0,
        runner text COLLATE "C",
        cancel_requested boolean NOT NULL DEFAULT false,
        requested_by jsonb NOT NULL,
        request_id text COLLATE "C" NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        finished_at timestamptz,
        next_try_at timestamptz
      )`);
    await runner.query(`
      CREATE UNIQUE INDEX operation_active_instance ON operation (instance_id) WHERE state IN ('queued', 'running')`);
    await runner.query(`CREATE INDEX operation_of_instance ON operation (instance_id, created_at DESC, id DESC)`);
    await runner.query(`CREATE INDEX operation_newest ON operation (created_at DESC, id DESC)`);
    await runner.query(`CREATE INDEX operation_finished ON operation (finished_at) WHERE finished_at IS NOT NULL`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE operation, service_binding, service_instance');
  }
}
