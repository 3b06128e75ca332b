import { request as plain } from 'node:http';
import { request as secure } from 'node:https';

/** Exits with 0 if the broker of this container answers 200 to the path, such as /healthz or /readyz. */
const [path = '/healthz'] = process.argv.slice(2);
const address = { host: '127.0.0.1', port: process.env['BROKER_PORT'] ?? '8080', path };

/** @param {typeof plain} request @param {object} [options] @returns {Promise<number | undefined>} */
function ask(request, options = {}) {
  return new Promise((resolve, reject) => {
    request({ ...address, ...options }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

// Within the container nobody is between; the certificate is for the name outside.
const status = await ask(plain).catch(() => ask(secure, { rejectUnauthorized: false }));
process.exit(status === 200 ? 0 : 1);
