import { cloudController } from './cloud-controller.js';

it.each(['https://api.example.com', 'http://127.0.0.1:80', 'http://[::1]', 'http://localhost:8080'])(
  'sends tokens of users to %s',
  (url) => expect(cloudController.parse({ url })).toEqual({ url, skip_tls_verify: false }),
);

it.each(['http://api.example.com', 'http://10.0.0.1', 'http://localhost.example.com', 'http://127.0.0.1.example.com'])(
  'sends no token in clear text over the network: %s',
  (url) => expect(() => cloudController.parse({ url })).toThrow('expected an https URL'),
);
