import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BindingStore } from './binding-store.js';
import { InstanceStore } from './instance-store.js';
import { ServiceBinding } from './service-binding.entity.js';
import { ServiceInstance } from './service-instance.entity.js';

@Module({
  imports: [TypeOrmModule.forFeature([ServiceInstance, ServiceBinding])],
  providers: [InstanceStore, BindingStore],
  exports: [InstanceStore, BindingStore],
})
export class InstancesModule {}
