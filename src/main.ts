import { loadConfig } from './config/load.js';
import { loadIdentity } from './config/identity.js';
import { createApp } from './create-app.js';

const config = loadConfig();
const broker = await createApp(config, loadIdentity(config.data_dir));
const url = await broker.listen();
process.send?.({ ready: url });
