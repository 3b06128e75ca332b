import { Column, CreateDateColumn, Entity, PrimaryColumn, UpdateDateColumn } from 'typeorm';
import { type CatalogPlan } from '../config/catalog.js';

export type ServiceInstanceState = 'provisioning' | 'ready' | 'updating' | 'deprovisioning' | 'failed';

export type PlanLimits = CatalogPlan['limits'];

/** Parameters of a provision or update, after validation against the plan's schema. */
export interface InstanceParameters {
  extensions?: string[];
  locale?: string;
}

/**
 * One service instance: one database with its roles on one server. The names on the server are drawn at random
 * before the first statement runs there, so that every step can be repeated and everything can be found again.
 */
@Entity('service_instance')
export class ServiceInstance {
  /** The platform's id: any non-empty string up to 255 characters, compared byte by byte (collation "C"). */
  @PrimaryColumn('text') id: string;
  @Column('text') serviceId: string;
  @Column('text') planId: string;
  /** What the provision (or the last update) asked for; absent parameters are `{}`. */
  @Column('jsonb') parameters: InstanceParameters;
  /** Hash over service, plan and parameters: an identical PUT is recognized by it. */
  @Column('text') fingerprint: string;
  /** The platform's context (organization, space, instance name); stored, never compared. */
  @Column('jsonb') context: Record<string, unknown>;
  @Column('text', { nullable: true }) maintenanceVersion: string | null;
  /** The plan's limits as they were last applied: what holds even after the plan left the catalog. */
  @Column('jsonb') limits: PlanLimits;
  @Column('text') state: ServiceInstanceState;
  /** Name of the configured server that holds it, for good. */
  @Column('text') server: string;
  @Column('text') database: string;
  @Column('text') ownerRole: string;
  @Column('text') connectRole: string;
  @Column('text') readerRole: string;
  /**
   * What is on the server may differ from what this row says: an update failed and could not be taken back. The
   * broker applies the row again as soon as the server answers.
   */
  @Column('boolean') diverged: boolean;
  /** Extensions that such an update may have left there: dropped when the row is applied again. */
  @Column('jsonb', { default: [] }) strayExtensions: string[];
  @CreateDateColumn({ type: 'timestamptz' }) createdAt: Date;
  @UpdateDateColumn({ type: 'timestamptz' }) updatedAt: Date;
}
