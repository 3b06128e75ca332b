import pg from 'pg';

/**
 * A shop: customers, products, purchases and their lines, events as JSON, documents. The same rows each time: what looks drawn is
 * hashed from the row's number. The rows per megabyte make a database of about the size asked for, indexes included.
 */
const ROWS_PER_MEGABYTE = { customer: 250, product: 30, purchase: 1200, event: 1150, document: 150 };

const WORDS =
  'the of and a to in is was he for it with as his on be at by i this had not are but from or have an they which one you were her all she ' +
  'there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time';

/** Called in the tenant's own schema, dropped at the end: they are no part of the data. */
const TOOLS = [
  `CREATE FUNCTION pick(n bigint, salt int, among int) RETURNS int LANGUAGE sql IMMUTABLE
     RETURN ((hashint8extended(n, salt) & 2147483647) % among)::int`,
  `CREATE FUNCTION word(n bigint, salt int) RETURNS text LANGUAGE sql IMMUTABLE
     RETURN (string_to_array('${WORDS}', ' '))[1 + pick(n, salt, ${WORDS.split(' ').length})]`,
  `CREATE FUNCTION words(n bigint, salt int, count int) RETURNS text LANGUAGE sql IMMUTABLE
     RETURN (SELECT string_agg(word(n * 1000 + i, salt), ' ') FROM generate_series(1, count) i)`,
];

const TABLES = [
  `CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, email text NOT NULL, address jsonb,
     balance numeric(12, 2) NOT NULL DEFAULT 0, active boolean NOT NULL, created_at timestamptz NOT NULL)`,
  `CREATE TABLE product (id serial, sku text NOT NULL, title text NOT NULL, description text, price numeric(10, 2) CHECK (price > 0),
     tags text[] NOT NULL, attributes jsonb NOT NULL)`,
  `CREATE TABLE purchase (id bigserial, customer_id bigint NOT NULL, placed_at timestamptz NOT NULL, status text NOT NULL,
     total numeric(12, 2) NOT NULL, note text)`,
  `CREATE TABLE purchase_line (purchase_id bigint NOT NULL, line smallint NOT NULL, product_id int NOT NULL, quantity int NOT NULL,
     price numeric(10, 2) NOT NULL)`,
  `CREATE TABLE event (id uuid NOT NULL, customer_id bigint, at timestamptz NOT NULL, kind text NOT NULL, payload jsonb NOT NULL)`,
  `CREATE TABLE document (id serial, title text NOT NULL, body text NOT NULL, thumbnail bytea)`,
  `CREATE SEQUENCE invoice_number START 100000 INCREMENT 7`,
];

/** @param {Record<keyof typeof ROWS_PER_MEGABYTE, number>} rows */
function fill(rows) {
  return [
    `INSERT INTO customer (name, email, address, balance, active, created_at)
       SELECT initcap(words(i, 1, 2)), word(i, 2) || '.' || i || '@example.com',
         jsonb_build_object('street', initcap(word(i, 3)) || ' street ' || pick(i, 4, 300), 'city', initcap(word(i, 5)),
           'zip', lpad(pick(i, 6, 100000)::text, 5, '0')),
         pick(i, 7, 1000000) / 100.0, pick(i, 8, 10) > 0, timestamptz '2020-01-01 UTC' + pick(i, 9, 150000000) * interval '1 second'
       FROM generate_series(1, ${rows.customer}) i`,
    `INSERT INTO product (sku, title, description, price, tags, attributes)
       SELECT 'SKU-' || upper(substr(md5(i::text), 1, 10)), words(i, 11, 4), words(i, 12, 60), 1 + pick(i, 13, 50000) / 100.0,
         ARRAY[word(i, 14), word(i, 15)], jsonb_build_object('weight', pick(i, 16, 9000), 'colour', word(i, 17), 'sizes', jsonb_build_array(36, 38, pick(i, 18, 60)))
       FROM generate_series(1, ${rows.product}) i`,
    `INSERT INTO purchase (customer_id, placed_at, status, total, note)
       SELECT 1 + pick(i, 21, ${rows.customer}), timestamptz '2021-01-01 UTC' + i * interval '97 seconds',
         (ARRAY['open', 'paid', 'sent', 'returned'])[1 + pick(i, 22, 4)], pick(i, 23, 200000) / 100.0,
         CASE WHEN pick(i, 24, 5) = 0 THEN words(i, 25, 8) END
       FROM generate_series(1, ${rows.purchase}) i`,
    `INSERT INTO purchase_line
       SELECT i, line, 1 + pick(i * 10 + line, 31, ${rows.product}), 1 + pick(i * 10 + line, 32, 5), 1 + pick(i * 10 + line, 33, 50000) / 100.0
       FROM generate_series(1, ${rows.purchase}) i, generate_series(1, 1 + pick(i, 34, 5)) line`,
    `INSERT INTO event
       SELECT md5('event' || i)::uuid, 1 + pick(i, 41, ${rows.customer}), timestamptz '2022-01-01 UTC' + i * interval '31 seconds',
         (ARRAY['view', 'search', 'login', 'cart', 'error'])[1 + pick(i, 42, 5)],
         jsonb_build_object('path', '/' || word(i, 43) || '/' || pick(i, 44, 100000), 'session', md5(pick(i, 45, 300000)::text),
           'ms', pick(i, 46, 100000) / 100.0, 'agent', words(pick(i, 47, 500), 48, 6), 'found', pick(i, 49, 3) > 0)
       FROM generate_series(1, ${rows.event}) i`,
    `INSERT INTO document (title, body, thumbnail)
       SELECT words(i, 51, 5), repeat(words(i, 52, 90) || E'.\\n', 3) || words(i, 53, 200), decode(md5(i::text) || md5('a' || i) || md5('b' || i), 'hex')
       FROM generate_series(1, ${rows.document}) i`,
    `SELECT setval('invoice_number', 100000 + 7 * ${rows.purchase})`,
  ];
}

const CONSTRAINTS = [
  'ALTER TABLE customer ADD PRIMARY KEY (id), ADD UNIQUE (email)',
  'ALTER TABLE product ADD PRIMARY KEY (id), ADD UNIQUE (sku)',
  'ALTER TABLE purchase ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer_id) REFERENCES customer',
  'ALTER TABLE purchase_line ADD PRIMARY KEY (purchase_id, line), ADD FOREIGN KEY (purchase_id) REFERENCES purchase, ADD FOREIGN KEY (product_id) REFERENCES product',
  'ALTER TABLE event ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer_id) REFERENCES customer',
  'ALTER TABLE document ADD PRIMARY KEY (id)',
  'CREATE INDEX ON purchase (customer_id)',
  'CREATE INDEX ON purchase (placed_at)',
  'CREATE INDEX ON purchase_line (product_id)',
  `CREATE INDEX ON event (kind, at) WHERE kind <> 'view'`,
  `CREATE INDEX ON document (lower(title))`,
  `CREATE VIEW turnover AS SELECT date_trunc('month', placed_at) AS month, sum(total) AS total FROM purchase GROUP BY 1`,
  'ANALYZE',
];

/** @param {string} url of a login that owns what it makes @param {number} megabytes */
export async function fillSample(url, megabytes) {
  const rows = Object.fromEntries(
    Object.entries(ROWS_PER_MEGABYTE).map(([table, each]) => [table, Math.ceil(each * megabytes)]),
  );
  const dropped = ['words(bigint, int, int)', 'word(bigint, int)', 'pick(bigint, int, int)'];
  return execute(url, [
    ...TOOLS,
    ...TABLES,
    ...fill(/** @type {Record<keyof typeof ROWS_PER_MEGABYTE, number>} */ (rows)),
    ...CONSTRAINTS,
    ...dropped.map((name) => `DROP FUNCTION ${name}`),
  ]);
}

/**
 * Bytes that cannot be compressed, so that the archive is as large as its data.
 * @param {string} url @param {number} megabytes
 */
export function fillIncompressible(url, megabytes) {
  const zeros = `decode(repeat('00', 262144), 'hex')`;
  return execute(url, [
    'CREATE EXTENSION pgcrypto',
    'CREATE TABLE picture (id int PRIMARY KEY, content bytea NOT NULL)',
    'ALTER TABLE picture ALTER content SET STORAGE EXTERNAL',
    `INSERT INTO picture SELECT i, encrypt(${zeros}, decode(md5(i::text), 'hex'), 'aes') FROM generate_series(1, ${megabytes * 4}) i`,
    'DROP EXTENSION pgcrypto',
    'ANALYZE',
  ]);
}

/** A table with two rows. @param {string} url */
export function fillHardly(url) {
  return execute(url, [
    'CREATE TABLE note (id serial PRIMARY KEY, text text)',
    `INSERT INTO note (text) VALUES ('a'), ('b')`,
  ]);
}

/** @param {string} url @param {string[]} statements */
async function execute(url, statements) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
