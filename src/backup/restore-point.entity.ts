import { Column, CreateDateColumn, Entity, PrimaryColumn } from 'typeorm';
import { wholeNumber } from './backup.entity.js';

/** The database that the last restore of an instance replaced, kept so that it can be put back; one per instance. */
@Entity('restore_point')
export class RestorePoint {
  @PrimaryColumn('text') instanceId: string;
  /** Name of the configured server. */
  @Column('text') server: string;
  @Column('text') database: string;
  @Column('bigint', { transformer: wholeNumber }) databaseBytes: number;
  /** The restore or undo that made it. */
  @Column('uuid') operationId: string;
  @CreateDateColumn({ type: 'timestamptz' }) createdAt: Date;
  @Column('timestamptz') expiresAt: Date;
}
