import { type Cluster, startCluster } from '../../support/cluster.js';
import { session, sql } from '../../support/sql.js';
import { until } from '../../support/until.js';
import { bind, type Estate, estate, estateOn, LIMITS, step, type Tenant, tenant, twice } from './estate.js';

describe('changes of a living instance', () => {
  let cluster: Cluster;
  let home: Estate;
  beforeAll(async () => {
    cluster = await startCluster();
    home = estateOn(cluster);
  });
  afterAll(async () => {
    await home.servers.close();
    await cluster.remove();
  });

  const settings = async (url: string) =>
    (
      await sql(
        url,
        `SELECT current_setting('statement_timeout') AS statement, current_setting('temp_file_limit') AS temp,
           current_setting('idle_in_transaction_session_timeout') AS idle`,
      )
    )[0];
  const extensions = async (url: string) =>
    (await sql(url, `SELECT extname::text AS name FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1`)).map(
      ({ name }) => name,
    );

  it('new limits hold for the roles that live already', async () => {
    const { names, bindings } = await tenant(home, cluster, ['read-write', 'read-only'], { connections: 1 });
    const urls = bindings.map(({ url }) => url);
    for (const url of urls) expect(await settings(url)).toEqual({ statement: '0', idle: '0', temp: '-1' });
    const gone = { role: home.tenants.drawBindingRole(), access: 'read-write' as const };
    const asked = step();
    await home.tenants.applyLimits(names, LIMITS, [...bindings, gone], asked);
    expect(asked.phases).toEqual(['applying_limits']);
    for (const url of urls) {
      expect(await settings(url)).toEqual({ statement: '1min', idle: '2min', temp: '1MB' });
      const clients = await Promise.all(Array.from({ length: 3 }, () => session(url)));
      await Promise.all(clients.map((client) => client.end()));
    }
    expect(
      await sql(cluster.superuserUrl(), 'SELECT datconnlimit FROM pg_database WHERE datname = $1', [names.database]),
    ).toEqual([{ datconnlimit: 8 }]);
    await twice(() => home.tenants.applyLimits(names, {}, bindings, step()));
    for (const url of urls) expect(await settings(url)).toEqual({ statement: '0', idle: '0', temp: '-1' });
    expect(
      await sql(
        cluster.superuserUrl(),
        `SELECT datconnlimit AS n FROM pg_database WHERE datname = $1 UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = $2`,
        [names.database, bindings[0]?.role],
      ),
    ).toEqual([{ n: -1 }, { n: -1 }]);
  });

  describe('extensions', () => {
    let instance: Tenant;
    let url: string;
    beforeAll(async () => {
      instance = await tenant(home, cluster, ['read-write'], LIMITS, ['hstore', 'pg_trgm']);
      url = instance.bindings[0]?.url ?? '';
    });
    const set = (wanted: string[], had: string[]) => home.tenants.setExtensions(instance.names, wanted, had, step());

    it('that an application makes at the same moment are taken as they are', async () => {
      const application = await session(url);
      await application.query('BEGIN; CREATE EXTENSION ltree');
      const done = set(['hstore', 'pg_trgm', 'ltree', 'citext'], ['hstore', 'pg_trgm']);
      await until('the broker to wait for the application', async () => {
        const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%CREATE EXTENSION%'`;
        return (await sql(cluster.superuserUrl(), waiting)).length === 1;
      });
      await application.query('COMMIT');
      await application.end();
      await done;
      expect(await extensions(url)).toEqual(['citext', 'hstore', 'ltree', 'pg_trgm']);
      await set(['hstore', 'pg_trgm'], ['ltree', 'citext']);
    });

    it('are the owner’s, in the schema public', async () => {
      expect(
        await sql(
          url,
          `SELECT extname::text, extnamespace::regnamespace::text AS schema, pg_get_userbyid(extowner)::text = current_user AS owned
           FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1`,
        ),
      ).toEqual(['hstore', 'pg_trgm'].map((extname) => ({ extname, schema: 'public', owned: true })));
    });

    it('come and go, repeatably, and what the tenant made itself stays', async () => {
      await sql(url, 'CREATE EXTENSION citext');
      await twice(() => set(['hstore', 'uuid-ossp'], ['hstore', 'pg_trgm']));
      expect(await extensions(url)).toEqual(['citext', 'hstore', 'uuid-ossp']);
    });

    it('in use is not removed: its users are named and nothing changes', async () => {
      await sql(url, 'CREATE SCHEMA shop; CREATE TABLE shop.goods (tags hstore)');
      await expect(set(['ltree'], ['hstore', 'uuid-ossp'])).rejects.toMatchObject({
        code: 'invalid_request',
        message: expect.stringMatching(/^parameters\.extensions: .*in use.*column tags of table shop\.goods/) as string,
      });
      expect(await extensions(url)).toEqual(['citext', 'hstore', 'uuid-ossp']);
    });

    it.each([
      ['no_such_extension', /extension no_such_extension is not available/],
      ['pageinspect', /pageinspect can be created by a superuser only/],
    ])('%s is refused', async (name, message) => {
      const refusal = { code: 'invalid_request', message: expect.stringMatching(message) as string };
      await expect(set(['ltree', name], [])).rejects.toMatchObject(refusal);
      expect(await extensions(url)).not.toContain('ltree');
      const names = home.tenants.drawNames('default');
      await expect(home.tenants.create(names, { limits: {}, extensions: [name] }, step())).rejects.toMatchObject(
        refusal,
      );
    });

    it('that a superuser must create come by the superuser’s login, and go by it', async () => {
      const entry = { name: 'default', url: cluster.brokerUrl(), superuser_url: cluster.superuserUrl() };
      const { tenants, servers } = estate([entry]);
      await twice(() => tenants.setExtensions(instance.names, ['pageinspect', 'ltree'], [], step()));
      expect(await extensions(url)).toEqual(['citext', 'hstore', 'ltree', 'pageinspect', 'uuid-ossp']);
      await expect(set([], ['pageinspect'])).rejects.toMatchObject({ code: 'invalid_request' });
      await tenants.setExtensions(instance.names, [], ['pageinspect', 'ltree'], step());
      expect(await extensions(url)).toEqual(['citext', 'hstore', 'uuid-ossp']);
      await servers.close();
    });

    it('that a superuser must create run their scripts where nothing of the tenant is found', async () => {
      const entry = { name: 'default', url: cluster.brokerUrl(), superuser_url: cluster.superuserUrl() };
      const { tenants, servers } = estate([entry]);
      const inside = cluster.superuserUrl(instance.names.database);
      await sql(
        inside,
        `CREATE SCHEMA watch; CREATE TABLE watch.seen (path text);
         CREATE FUNCTION watch.look() RETURNS event_trigger LANGUAGE plpgsql AS
           $f$ BEGIN INSERT INTO watch.seen VALUES (current_setting('search_path')); END $f$;
         CREATE EVENT TRIGGER watcher ON ddl_command_start WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION watch.look()`,
      );
      try {
        await tenants.setExtensions(instance.names, ['pageinspect'], [], step());
        const seen = await sql(inside, 'SELECT DISTINCT path FROM watch.seen');
        expect(seen).toEqual([{ path: expect.stringMatching(/^x[a-z0-9]{19}, pg_temp$/) as string }]);
        const where = `SELECT extnamespace::regnamespace::text AS at FROM pg_extension WHERE extname = 'pageinspect'`;
        expect(await sql(inside, where)).toEqual([{ at: 'public' }]);
        expect(await sql(inside, `SELECT FROM pg_namespace WHERE nspname ~ '^x'`)).toEqual([]);
        await tenants.setExtensions(instance.names, [], ['pageinspect'], step());
      } finally {
        await sql(inside, 'DROP EVENT TRIGGER watcher; DROP SCHEMA watch CASCADE');
        await servers.close();
      }
    });

    it('whose names the tenant has taken are refused with the reason', async () => {
      await sql(url, 'CREATE TYPE public.cube AS ENUM ()');
      await expect(set(['cube'], [])).rejects.toMatchObject({
        code: 'invalid_request',
        message: 'parameters.extensions: type "cube" already exists',
      });
    });
  });

  it('a tenant that holds every connection is told so, and nothing hangs', async () => {
    const { names, bindings } = await tenant(home, cluster, ['read-write', 'read-write'], { connections: 3 });
    const clients = await Promise.all(bindings.flatMap(({ url }) => [1, 2, 3].map(() => session(url))));
    await expect(home.tenants.setExtensions(names, ['hstore'], [], step())).rejects.toMatchObject({
      code: 'concurrency',
      message: expect.stringContaining('every connection') as string,
    });
    await Promise.all(clients.map((client) => client.end()));
    await home.tenants.setExtensions(names, ['hstore'], [], step());
  });

  describe('locale', () => {
    const collate = async (locale?: string) => {
      const names = home.tenants.drawNames('default');
      await home.tenants.create(names, { locale, limits: {}, extensions: [] }, step());
      const made = { names, bindings: [] };
      const { url } = await bind(home, cluster, made, 'read-write', {});
      return sql(
        url,
        `SELECT datcollate, coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale') AS icu, 'a' < 'B' AS language,
           'ä' < 'z' AS umlaut FROM pg_database d WHERE datname = current_database()`,
      );
    };
    it('is C.UTF-8 unless another is asked for', async () => {
      const plain = { datcollate: 'C.UTF-8', icu: null, language: false, umlaut: false };
      expect(await collate()).toEqual([plain]);
      await home.tenants.assertLocale('default', 'C.UTF-8');
      expect(await collate('C.UTF-8')).toEqual([plain]);
    });
    it.each(['de-DE', 'de', 'zh-CN', 'de-u-co-phonebk'])('%s is ICU’s', async (locale) => {
      await home.tenants.assertLocale('default', locale);
      expect(await collate(locale)).toEqual([{ datcollate: 'C.UTF-8', icu: locale, language: true, umlaut: true }]);
    });
    it.each(['', 'POSIX', 'de_DE.UTF-8', 'xx-YY', "de'; DROP", 'x'.repeat(200), 'C', 'de-XY'])(
      '%p is refused',
      async (locale) => {
        await expect(home.tenants.assertLocale('default', locale)).rejects.toMatchObject({
          code: 'invalid_request',
          message: expect.stringMatching(/^parameters\.locale: /) as string,
        });
      },
    );
  });
});
