// Plugins that are CommonJS find these already loaded; else `require` meets an ES module in the middle of its loading.
import 'reflect-metadata';
import '@nestjs/common';
import '@nestjs/core';
