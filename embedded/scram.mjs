import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const ITERATIONS = 4096;

/**
 * What PostgreSQL keeps of a password (RFC 5803), computed here so that the password itself is in no statement and no
 * log. Passwords of ASCII letters and digits only: SASLprep is not applied.
 * @param {string} password
 */
export function scramVerifier(password) {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const hmac = (/** @type {string} */ text) => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`;
}

/** 32 random letters and digits (190 bits). */
export function drawPassword() {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  let password = '';
  while (password.length < 32) {
    // Bytes that would favour some letters are thrown away.
    for (const byte of randomBytes(48)) if (byte < 248 && password.length < 32) password += alphabet[byte % 62];
  }
  return password;
}
