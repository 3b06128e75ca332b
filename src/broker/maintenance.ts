import { BrokerError } from '../errors.js';
import { type OfferedPlan } from './catalog.js';
import { type MaintenanceInfo } from './requests.dto.js';

/** @throws BrokerError `maintenance_info_conflict` where the platform's catalog is not the broker's */
export function assertMaintenance(asked: MaintenanceInfo | null | undefined, offered: OfferedPlan | undefined): void {
  if (!asked || asked.version === offered?.maintenanceVersion) return;
  throw new BrokerError(
    'maintenance_info_conflict',
    `maintenance_info.version: expected ${offered?.maintenanceVersion ?? 'none'}, as the catalog says: the platform should fetch it anew`,
  );
}
