import { Column, CreateDateColumn, Entity, PrimaryColumn, UpdateDateColumn } from 'typeorm';

export type ServiceBindingState = 'binding' | 'ready' | 'unbinding';
export type BindingAccess = 'read-write' | 'read-only';

/** One binding: one login role with its credentials. Ownership is part of the key: (instance, binding). */
@Entity('service_binding')
export class ServiceBinding {
  @PrimaryColumn('text') instanceId: string;
  @PrimaryColumn('text') id: string;
  @Column('text') serviceId: string;
  @Column('text') planId: string;
  @Column('jsonb') parameters: { access?: BindingAccess };
  @Column('jsonb') bindResource: Record<string, unknown>;
  @Column('jsonb') context: Record<string, unknown>;
  @Column('text') fingerprint: string;
  @Column('text') state: ServiceBindingState;
  /** Name of the login role on the instance's server, drawn at random before it is made. */
  @Column('text') role: string;
  @Column('text') access: BindingAccess;
  /** Password, encrypted: `keyId.iv.ciphertext.tag`, base64url (AES-256-GCM, bound to instance and binding id). */
  @Column('text') sealedPassword: string;
  @Column('text', { nullable: true }) predecessorId: string | null;
  /** `node/process` of the broker that makes or removes it now; null when nobody does. */
  @Column('text', { nullable: true }) runner: string | null;
  /** Until when that broker holds it; afterwards any broker may go on with it. */
  @Column('timestamptz', { nullable: true }) leaseUntil: Date | null;
  @Column('timestamptz', { nullable: true }) expiresAt: Date | null;
  @Column('timestamptz', { nullable: true }) renewBefore: Date | null;
  @CreateDateColumn({ type: 'timestamptz' }) createdAt: Date;
  @UpdateDateColumn({ type: 'timestamptz' }) updatedAt: Date;
}
