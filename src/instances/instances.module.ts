import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BindingStore } from './binding-store.js';
import { InstanceRemoval } from './instance-removal.js';
import { InstanceStore } from './instance-store.js';
import { ServiceBinding } from './service-binding.entity.js';
import { ServiceInstance } from './service-instance.entity.js';

@Module({
  imports: [TypeOrmModule.forFeature([ServiceInstance, ServiceBinding])],
  providers: [InstanceStore, InstanceRemoval, BindingStore],
  exports: [InstanceStore, InstanceRemoval, BindingStore],
})
export class InstancesModule {}
