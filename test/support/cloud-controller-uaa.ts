import { generateKeyPair, type KeyObject, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { type FastifyInstance } from 'fastify';
import { exportJWK, exportSPKI, type JWTPayload, SignJWT } from 'jose';
import { type User, type World } from './cloud-controller-world.js';

const SCOPES = [
  'openid',
  'cloud_controller.read',
  'cloud_controller.write',
  'cloud_controller_service_permissions.read',
];

interface SigningKey {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

interface Grants {
  grant_type?: string;
  username?: string;
  password?: string;
  refresh_token?: string;
  client_id?: string;
  client_secret?: string;
}

interface TokenOptions {
  /** Laid over the claims; `undefined` removes one. */
  claims?: Record<string, unknown>;
  lifetimeS?: number;
}

/** The tests' own UAA: signs tokens shaped as the real one's, with keys that can be exchanged. */
export class Uaa {
  /** Set once it listens. */
  url = '';
  /** Seconds that an access token is good for. */
  lifetimeS = 600;
  #keys: SigningKey[] = [];
  #drawn = 0;
  readonly #refreshTokens = new Map<string, User>();

  private constructor(private readonly world: World) {}

  static async of(world: World): Promise<Uaa> {
    const uaa = new Uaa(world);
    await uaa.rotateKey();
    return uaa;
  }

  get issuer(): string {
    return `${this.url}/oauth/token`;
  }

  /** Tokens are signed with a new key from now on; the former ones are still served if `keepFormer`. */
  async rotateKey({ keepFormer = false } = {}): Promise<void> {
    const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
    const key = { kid: `key-${++this.#drawn}`, privateKey, publicKey };
    this.#keys = [key, ...(keepFormer ? this.#keys : [])];
  }

  /** The key that signs now. */
  get signingKey(): SigningKey {
    const [key] = this.#keys;
    if (key === undefined) throw new Error('the UAA has no key');
    return key;
  }

  /** Of the keys that are served. */
  publicKey(kid: string | undefined): KeyObject | undefined {
    return this.#keys.find((key) => key.kid === kid)?.publicKey;
  }

  token(user: User, options: TokenOptions = {}): Promise<string> {
    return this.sign(this.claims(user, options));
  }

  sign(claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
    const { kid, privateKey } = this.signingKey;
    const protectedHeader = { alg: 'RS256', jku: `${this.url}/token_keys`, kid, typ: 'JWT', ...header };
    return new SignJWT(claims).setProtectedHeader(protectedHeader).sign(privateKey);
  }

  /** As UAA writes them for a user who has logged in with cf. */
  claims(user: User, { claims = {}, lifetimeS = this.lifetimeS }: TokenOptions = {}): JWTPayload {
    const now = Math.floor(Date.now() / 1000);
    return {
      jti: randomUUID().replaceAll('-', ''),
      sub: user.guid,
      scope: [...SCOPES, ...(user.admin ? ['cloud_controller.admin'] : [])],
      client_id: 'cf',
      cid: 'cf',
      azp: 'cf',
      grant_type: 'password',
      user_id: user.guid,
      origin: 'uaa',
      user_name: user.name,
      email: `${user.name}@example.org`,
      auth_time: now,
      rev_sig: '8a1b2c3d',
      iat: now,
      exp: now + lifetimeS,
      iss: this.issuer,
      zid: 'uaa',
      aud: ['cloud_controller', 'password', 'cf', 'uaa', 'openid'],
      ...claims,
    };
  }

  /** A refresh token as UAA signs them: the same issuer and audience, `jti` ending in `-r`. */
  refreshToken(user: User): Promise<string> {
    return this.sign(
      this.claims(user, { claims: { jti: `${randomUUID().replaceAll('-', '')}-r` }, lifetimeS: 86_400 }),
    );
  }

  routes(server: FastifyInstance): void {
    server.get('/login', () => ({
      app: { version: '77.20.0' },
      links: { uaa: this.url, login: this.url },
      prompts: {},
    }));
    server.get('/info', () => ({
      app: { version: '77.20.0' },
      links: { uaa: this.url, login: this.url },
      prompts: {},
    }));
    server.get('/.well-known/openid-configuration', () => ({
      issuer: this.issuer,
      authorization_endpoint: `${this.url}/oauth/authorize`,
      token_endpoint: this.issuer,
      userinfo_endpoint: `${this.url}/userinfo`,
      jwks_uri: `${this.url}/token_keys`,
      id_token_signing_alg_values_supported: ['RS256', 'HS256'],
    }));
    server.get('/token_keys', async () => ({ keys: await Promise.all(this.#keys.map(publicForm)) }));
    server.delete('/oauth/token/revoke/:token', () => ({}));
    server.post('/oauth/token', async (request, reply) => {
      const granted = await this.#grant(request.body ?? {}, basicOf(request.headers.authorization));
      return granted ?? reply.status(401).send({ error: 'unauthorized', error_description: 'Bad credentials' });
    });
  }

  async #grant(asked: Grants, basic: { id: string; secret: string } | undefined): Promise<object | undefined> {
    if (asked.grant_type === 'client_credentials') {
      const { id, secret } = this.world.client;
      const given = basic ?? { id: asked.client_id, secret: asked.client_secret };
      return given.id === id && given.secret === secret ? this.#clientAnswer(id) : undefined;
    }
    // cf's own client: its secret is empty.
    if (basic?.id !== 'cf') return undefined;
    const user =
      asked.grant_type === 'refresh_token'
        ? this.#refreshTokens.get(asked.refresh_token ?? '')
        : Object.values(this.world.users).find((each) => each.name === asked.username);
    const known = user && (asked.grant_type === 'refresh_token' || user.password === asked.password);
    return known ? this.#userAnswer(user) : undefined;
  }

  async #userAnswer(user: User): Promise<object> {
    const refresh = await this.refreshToken(user);
    this.#refreshTokens.set(refresh, user);
    return { ...this.#answer(await this.token(user)), refresh_token: refresh };
  }

  async #clientAnswer(id: string): Promise<object> {
    const { user_id, user_name, email, origin, ...claims } = this.claims(this.world.users.admin);
    void [user_id, user_name, email, origin];
    const own = { ...claims, sub: id, client_id: id, cid: id, azp: id, grant_type: 'client_credentials' };
    return this.#answer(await this.sign(own));
  }

  #answer(token: string): object {
    return {
      access_token: token,
      token_type: 'bearer',
      expires_in: this.lifetimeS - 1,
      scope: SCOPES.join(' '),
      jti: randomUUID(),
    };
  }
}

async function publicForm({ kid, publicKey }: SigningKey): Promise<object> {
  return { ...(await exportJWK(publicKey)), use: 'sig', kid, alg: 'RS256', value: await exportSPKI(publicKey) };
}

function basicOf(authorization: string | undefined): { id: string; secret: string } | undefined {
  const encoded = /^Basic (.+)$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const [id = '', ...secret] = Buffer.from(encoded, 'base64').toString().split(':');
  return { id, secret: secret.join(':') };
}
