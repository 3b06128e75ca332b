import { Column, CreateDateColumn, Entity, PrimaryColumn, type ValueTransformer } from 'typeorm';
import { type Requester } from '../auth/requester.js';

/** `missing`: archive or manifest has gone from the storage. `damaged`: the bytes are not those of the manifest. */
export type BackupState = 'available' | 'missing' | 'damaged';

/** Of a dump by the broker, or of an archive that was uploaded. */
export type BackupOrigin = 'backup' | 'upload';

/** Sizes and counts are below 2^53. */
export const wholeNumber: ValueTransformer = {
  to: (value: number | null | undefined) => value,
  from: (value: string | null) => (value === null ? null : Number(value)),
};

/**
 * One backup, as its manifest says: the manifest beside the archive is the truth, this row is its entry in the
 * catalogue. It outlives its instance.
 */
@Entity('backup')
export class Backup {
  @PrimaryColumn('text') instanceId: string;
  /** Unique within the instance, over all storages. */
  @PrimaryColumn('text') name: string;
  @Column('text') storage: string;
  /** The broker's node whose machine holds it, where the storage is a folder. */
  @Column('text', { nullable: true }) node: string | null;
  @Column('text') state: BackupState;
  @Column('text') origin: BackupOrigin;
  /** Of the snapshot; of an upload the time at which it was stored. */
  @Column('timestamptz') createdAt: Date;
  @Column('bigint', { transformer: wholeNumber }) sizeBytes: number;
  /** Of the archive, in hexadecimal. */
  @Column('text') sha256: string;
  @Column('text', { nullable: true }) compression: string | null;
  @Column('bigint', { nullable: true, transformer: wholeNumber }) databaseBytes: number | null;
  @Column('bigint', { nullable: true, transformer: wholeNumber }) rows: number | null;
  @Column('int', { nullable: true }) tables: number | null;
  @Column('text', { nullable: true }) serverVersion: string | null;
  @Column('text', { nullable: true }) dumpVersion: string | null;
  @Column('text', { nullable: true }) lsn: string | null;
  @Column('jsonb') requestedBy: Requester;
  @Column('uuid') operationId: string;
  @CreateDateColumn({ type: 'timestamptz' }) recordedAt: Date;
  /** When its instance was deleted. */
  @Column('timestamptz', { nullable: true }) orphanedAt: Date | null;
}
