import { Column, Entity, PrimaryColumn } from 'typeorm';
import { type RestoreNames } from '../postgres/shadow.js';
import { type TenantNames } from '../postgres/tenant.js';

/** A database that nothing needs any more: dropped as soon as its server lets it. */
@Entity('discarded_database')
export class DiscardedDatabase {
  /** Name of the configured server. */
  @PrimaryColumn('text') server: string;
  @PrimaryColumn('text') database: string;
  @Column('text') instanceId: string;
  /** Of a restore that failed: all that it may have left; null of a restore point. */
  @Column('jsonb', { nullable: true }) shadow: { tenant: TenantNames; names: RestoreNames } | null;
}
