import { Module, type OnModuleInit } from '@nestjs/common';
import { InstancesModule } from '../instances/instances.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { OperationsService } from '../operations/operations.service.js';
import { PostgresModule } from '../postgres/postgres.module.js';
import { BindService } from './bind.service.js';
import { BindingAnswers } from './binding-answers.js';
import { BindingDraft } from './binding-draft.js';
import { BindingHolds } from './binding-holds.js';
import { BindingWork } from './binding-work.js';
import { BindingsController } from './bindings.controller.js';
import { CatalogController } from './catalog.controller.js';
import { ServiceCatalog } from './catalog.js';
import { ConfigurationCheck } from './configuration-check.js';
import { DeprovisionHandler } from './deprovision.handler.js';
import { DeprovisionService } from './deprovision.service.js';
import { ForsakenBindings } from './forsaken-bindings.js';
import { InstanceQueries } from './instance-queries.service.js';
import { InstancesController } from './instances.controller.js';
import { BrokerJanitor } from './janitor.js';
import { OperationWait } from './operation-wait.js';
import { Placement } from './placement.js';
import { ProvisionHandler } from './provision.handler.js';
import { ProvisionService } from './provision.service.js';
import { Resealing } from './resealing.js';
import { Sealing } from './sealing.js';
import { UnbindService } from './unbind.service.js';
import { UnsettledInstances } from './unsettled-instances.js';
import { UpdateHandler } from './update.handler.js';
import { UpdateService } from './update.service.js';

/** The Open Service Broker API, and the work on instances and bindings behind it. */
@Module({
  imports: [InstancesModule, OperationsModule, PostgresModule],
  controllers: [CatalogController, InstancesController, BindingsController],
  providers: [
    BindService,
    BindingAnswers,
    BindingDraft,
    BindingHolds,
    BindingWork,
    BrokerJanitor,
    ConfigurationCheck,
    DeprovisionHandler,
    DeprovisionService,
    ForsakenBindings,
    InstanceQueries,
    OperationWait,
    Placement,
    ProvisionHandler,
    ProvisionService,
    Resealing,
    Sealing,
    ServiceCatalog,
    UnbindService,
    UnsettledInstances,
    UpdateHandler,
    UpdateService,
  ],
  exports: [BrokerJanitor, ConfigurationCheck],
})
export class BrokerModule implements OnModuleInit {
  constructor(
    private readonly operations: OperationsService,
    private readonly provision: ProvisionHandler,
    private readonly update: UpdateHandler,
    private readonly deprovision: DeprovisionHandler,
  ) {}

  onModuleInit(): void {
    for (const handler of [this.provision, this.update, this.deprovision]) this.operations.handle(handler);
  }
}
