-- A database that uses everything pg_dump would carry, with rows that are hard to quote.
-- Loads with ON_ERROR_STOP on PostgreSQL 14 to 18, as a superuser, into an empty UTF-8 database.
-- Roles are made once per server; everything else belongs to the database.

\set ON_ERROR_STOP 1
SET client_min_messages = error;
SET timezone = 'UTC';
SET lc_monetary = 'C';

SELECT current_setting('server_version_num')::int >= 150000 AS is15,
       current_setting('server_version_num')::int >= 170000 AS is17,
       EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') AS has_icu,
       (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') AS has_lz4,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore') AS has_contrib,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS has_vector
\gset

---------------------------------------------------------------------------------------------
-- Roles

DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['lab_owner', 'lab_reader', 'lab_writer', 'Odd "Role"'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I', r);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END LOOP;
END $$;

---------------------------------------------------------------------------------------------
-- Schemas

CREATE SCHEMA app AUTHORIZATION lab_owner;
CREATE SCHEMA "Odd ""Schema"" über";
CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA app IS E'The application''s own\nschema\t\\';
GRANT USAGE ON SCHEMA app TO lab_reader, lab_writer;
GRANT CREATE ON SCHEMA app TO lab_writer WITH GRANT OPTION;
GRANT USAGE ON SCHEMA "Odd ""Schema"" über" TO "Odd ""Role""";

ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO lab_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE lab_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE lab_owner IN SCHEMA app GRANT USAGE ON SEQUENCES TO lab_writer;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO lab_reader;

---------------------------------------------------------------------------------------------
-- Extensions, with the rows of configuration tables

CREATE SCHEMA lab_settings;
CREATE EXTENSION lab_settings;
COMMENT ON EXTENSION lab_settings IS 'its comment, changed';
INSERT INTO lab_settings.settings VALUES ('colour', 'blue'), ('path', E'C:\\temp\t'), ('none', NULL);
INSERT INTO lab_settings.rules VALUES (2, 'written by the user', false), (3, 'also', false);
SELECT nextval('lab_settings.numbers');
GRANT SELECT ON lab_settings.settings TO lab_reader;

\if :has_contrib
CREATE EXTENSION hstore SCHEMA app;
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION "uuid-ossp" SCHEMA "Odd ""Schema"" über";
CREATE EXTENSION btree_gist;
CREATE TABLE app.contrib_types (id int PRIMARY KEY, tags app.hstore, email citext UNIQUE);
INSERT INTO app.contrib_types VALUES
  (1, 'a=>1, "b c"=>NULL, "\"q\""=>"\\"', 'Ann@Example.org'), (2, '', ''), (3, NULL, NULL);
CREATE INDEX ON app.contrib_types USING gin (tags);
CREATE INDEX ON app.contrib_types USING gist ((email::text) gist_trgm_ops);
\endif

\if :has_vector
CREATE EXTENSION vector;
CREATE TABLE app.vectors (id int PRIMARY KEY, embedding vector(3));
INSERT INTO app.vectors VALUES (1, '[1,2,3]'), (2, '[0,-1.5,1e-7]'), (3, NULL);
\endif

---------------------------------------------------------------------------------------------
-- Collations, conversions, access methods

CREATE COLLATION app."Plain C" (locale = 'C');
COMMENT ON COLLATION app."Plain C" IS 'byte order';
\if :has_icu
CREATE COLLATION app.ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE app.folded (name text COLLATE app.ignore_case PRIMARY KEY, n int);
INSERT INTO app.folded VALUES ('Anna', 1), ('bob', 2), ('ÄRGER', 3);
\endif
\if :is17
CREATE COLLATION app.builtin_utf8 (provider = builtin, locale = 'C.UTF-8');
\endif
CREATE CONVERSION app.from_latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON CONVERSION app.from_latin IS 'a conversion';
CREATE ACCESS METHOD lab_heap TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD lab_heap IS 'heap by another name';
CREATE TABLE app.other_method (id int, body text) USING lab_heap;
INSERT INTO app.other_method SELECT i, md5(i::text) FROM generate_series(1, 50) i;

---------------------------------------------------------------------------------------------
-- Types

CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy', 'it''s "odd", \ and long: žluťoučký kůň');
ALTER TYPE app.mood ADD VALUE 'meh' BEFORE 'ok';
ALTER TYPE app.mood ADD VALUE '' AFTER 'happy';
COMMENT ON TYPE app.mood IS 'an enum';
CREATE TYPE app.pair AS (a int, b text);
COMMENT ON COLUMN app.pair.b IS 'a comment on an attribute';
CREATE TYPE app.nested AS (p app.pair, list app.pair[], m app.mood);
CREATE TYPE app.shrunk AS (gone int, stays text);
ALTER TYPE app.shrunk DROP ATTRIBUTE gone;
CREATE TYPE app.floatrange AS RANGE
  (subtype = float8, subtype_diff = float8mi, multirange_type_name = app.floatranges);
CREATE TYPE app.textrange AS RANGE (subtype = text, collation = "C");
CREATE TYPE app.unfinished;
CREATE TYPE app.label;
CREATE FUNCTION app.label_in(cstring) RETURNS app.label LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION app.label_out(app.label) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE app.label (INPUT = app.label_in, OUTPUT = app.label_out, LIKE = text, CATEGORY = 'S');
ALTER TYPE app.pair OWNER TO lab_owner;
REVOKE USAGE ON TYPE app.mood FROM PUBLIC;
GRANT USAGE ON TYPE app.mood TO lab_reader;

CREATE FUNCTION app.is_postcode(text) RETURNS boolean LANGUAGE sql IMMUTABLE
  AS $$ SELECT $1 ~ '^[0-9]{5}$' $$;
CREATE DOMAIN app.postcode AS text CONSTRAINT five_digits CHECK (app.is_postcode(VALUE));
CREATE DOMAIN app.required AS int NOT NULL DEFAULT 7;
CREATE DOMAIN app.small AS app.required CHECK (VALUE < 100);
CREATE DOMAIN app.codes AS text[] COLLATE "C" CHECK (array_length(VALUE, 1) < 9);
CREATE DOMAIN app.good_pair AS app.pair CHECK ((VALUE).a > 0);
CREATE DOMAIN app.late_check AS int;
COMMENT ON DOMAIN app.postcode IS 'a domain';
COMMENT ON CONSTRAINT five_digits ON DOMAIN app.postcode IS 'its constraint';

CREATE TABLE app.all_types (
  id int PRIMARY KEY,
  t_bool boolean, t_int2 smallint, t_int4 int, t_int8 bigint,
  t_numeric numeric, t_numeric_ps numeric(12, 3), t_float4 real, t_float8 double precision, t_money money,
  t_char "char", t_bpchar char(5), t_varchar varchar(10), t_text text, t_name name, t_bytea bytea,
  t_date date, t_time time, t_timetz timetz, t_timestamp timestamp, t_timestamptz timestamptz,
  t_timestamptz0 timestamptz(0), t_interval interval, t_interval_ym interval year to month,
  t_uuid uuid, t_json json, t_jsonb jsonb, t_jsonpath jsonpath, t_xml xml,
  t_inet inet, t_cidr cidr, t_macaddr macaddr, t_macaddr8 macaddr8, t_bit bit(4), t_varbit varbit,
  t_point point, t_line line, t_lseg lseg, t_box box, t_path path, t_polygon polygon, t_circle circle,
  t_tsvector tsvector, t_tsquery tsquery,
  t_oid oid, t_pg_lsn pg_lsn, t_xid xid, t_xid8 xid8, t_cid cid, t_tid tid, t_snapshot pg_snapshot,
  t_txid_snapshot txid_snapshot, t_refcursor refcursor, t_int2vector int2vector, t_oidvector oidvector,
  t_aclitem aclitem,
  t_int4range int4range, t_int8range int8range, t_numrange numrange, t_tsrange tsrange,
  t_tstzrange tstzrange, t_daterange daterange,
  t_int4multi int4multirange, t_int8multi int8multirange, t_nummulti nummultirange,
  t_tsmulti tsmultirange, t_tstzmulti tstzmultirange, t_datemulti datemultirange,
  t_mood app.mood, t_pair app.pair, t_nested app.nested, t_shrunk app.shrunk, t_label app.label,
  t_floatrange app.floatrange, t_floatranges app.floatranges, t_textrange app.textrange,
  t_postcode app.postcode, t_small app.small DEFAULT 8, t_codes app.codes, t_good_pair app.good_pair,
  t_late app.late_check
);
INSERT INTO app.all_types (id, t_small) VALUES (0, 0);
INSERT INTO app.all_types VALUES (1,
  true, -32768, -2147483648, -9223372036854775808,
  'NaN', -123456789.987, '-Infinity', 'NaN', '-$92233720368547758.08',
  'a', 'a b', 'ten chars!', 'text', 'a_name', '\x00ff5c2e0a090d',
  '4713-01-01 BC', '24:00:00', '00:00:00+15:59', '4713-01-01 00:00:00 BC', '-infinity',
  '1999-12-31 23:59:59.5-08', '-178000000 years', '-3 years -2 mons',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', E'{"a" :  [1, null,"\\u00e9\\\\"],\n"a":2}', '{"a": 1.10, "b": {"c": "\t\"\\"}}',
  '$.a[*] ? (@ > 1)', NULL,
  '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'1010', B'',
  '(1.5,-2)', '{1,-1,0}', '[(0,0),(1,1)]', '((1,1),(0,0))', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(0,0),1e-300>',
  '''a''''b'':1A ''c\\d'':2 plain', '''a b'' & !c:*A <-> d',
  4294967295, 'FFFFFFFF/FFFFFFFF', '4294967295', '18446744073709551615', '4294967295', '(4294967295,65535)', '10:20:10,14,15',
  '10:20:10,14,15', 'a cursor', '1 2 3', '1 2 3',
  'lab_reader=r/lab_owner',
  '[1,10)', '(,5)', '[1.5,]', '["2000-01-01 00:00","2000-01-02 00:00")',
  '["2000-01-01 00:00+00",infinity)', 'empty',
  '{[1,3),[5,7)}', '{}', '{(,1.5],[2,)}',
  '{["2000-01-01","2000-01-02")}', '{[2000-01-01,)}', '{[2000-01-01,2001-01-01),[2002-01-01,)}',
  'it''s "odd", \ and long: žluťoučký kůň', ROW(1, E'a "b", (c)\\\n\t'), ROW(ROW(NULL, ''), ARRAY[ROW(1, 'x')::app.pair, NULL, ROW(NULL, NULL)::app.pair], 'meh'),
  ROW('kept'), E'a\tlabel\\', '[1e-10,1e10]', '{[1,2],(3,4)}', '["a,b","c""d"]',
  '12345', 99, '{a,"b c",NULL,"NULL",""}', ROW(3, NULL), 5);
INSERT INTO app.all_types VALUES (2,
  false, 32767, 2147483647, 9223372036854775807,
  'Infinity', 999999999.999, '1.17549435e-38', '4.9e-324', '$92233720368547758.07',
  E'\\', '', '', '', '', '',
  'infinity', '23:59:59.999999', '23:59:60-15:59', 'infinity', '294276-12-31 23:59:59.999999+00',
  'infinity', '1 mon -1 day +01:02:03.000004', '178000000 years',
  '00000000-0000-0000-0000-000000000000', 'null', 'null',
  'strict $."a b".**{2 to last}', NULL,
  '::1', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00:00:00', B'0000', B'1',
  '(NaN,Infinity)', '{0,1,-Infinity}', '[(0,0),(0,0)]', '((-0,0),(0,-0))', '((0,0))', '((0,0))', '<(0,0),0>',
  '', '',
  0, '0/0', '0', '0', '0', '(0,0)', '1:1:',
  '1:1:', '', '', '',
  '=/lab_owner',
  'empty', '(,)', '(0.1,0.2)', '(,infinity]', '(,)', '[-infinity,infinity)',
  '{}', '{(,)}', '{}', '{}', '{}', '{}',
  '', ROW(NULL, NULL), ROW(NULL, '{}', NULL), ROW(NULL), '', 'empty', '{}', '[,z]',
  '00000', -5, '{}', NULL, -1);
INSERT INTO app.all_types (id, t_numeric, t_numeric_ps, t_float4, t_float8, t_money, t_char, t_text, t_bytea, t_interval, t_jsonb) VALUES
  (3, '-Infinity', 'NaN', 'NaN', '-0', 0, '', 'x', decode(repeat('00', 3), 'hex'), '00:00:00', '[]'),
  (4, ('1' || repeat('0', 500) || '.' || repeat('0', 499) || '1')::numeric, 0, '-0', '1.7976931348623157e308', 1.01, E'\x7f', '', '\x5c', '-00:00:00.000001', '{}'),
  (5, 0.000000000000000000000000000000000001, -0.001, '3.4028235e38', '0.1', -0.01, '1', NULL, NULL, '100 years 11 mons 30 days 23:59:59.999999', '"\u0001"');

-- "char" holds any byte; above 127 it prints as an octal escape.
CREATE TABLE app.single_bytes (c "char");
INSERT INTO app.single_bytes SELECT i::"char" FROM generate_series(-128, 127) i;

SELECT EXISTS (SELECT FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%libxml%') AS has_xml \gset
\if :has_xml
UPDATE app.all_types SET t_xml = '<a b="c">&lt;text&gt;<!-- x --></a>' WHERE id = 1;
UPDATE app.all_types SET t_xml = 'text only, <b/> no root' WHERE id = 2;
\endif

-- Text of these depends on the catalogue.
CREATE TABLE app.catalog_names (
  id int PRIMARY KEY, c regclass, t regtype, p regproc, pr regprocedure, o regoper, op regoperator,
  r regrole, n regnamespace, cf regconfig, d regdictionary, co regcollation);
INSERT INTO app.catalog_names VALUES
  (1, 'pg_catalog.pg_class', 'int4', 'pg_catalog.now', 'pg_catalog.abs(integer)', 'pg_catalog.||/', '+(integer,integer)',
   'lab_owner', 'app', 'english', 'simple', '"C"'),
  (2, 'app.all_types', 'app.mood', 'app.is_postcode', 'app.is_postcode(text)', '0', '0',
   '"Odd ""Role"""', '"Odd ""Schema"" über"', '-', '-', '-'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE app.arrays (
  id int PRIMARY KEY, ints int[], texts text[], grid int[][], pairs app.pair[], moods app.mood[],
  small app.small[], stamps timestamptz[], bytes bytea[], boxes box[], ranges int4range[], multis nummultirange[],
  docs jsonb[], floats float8[], labels app.label[], names name[]);
INSERT INTO app.arrays VALUES
  (1, '{1,NULL,-1}', ARRAY['', NULL, 'NULL', 'null', E'a\tb\nc\\d"e''f', '{}', ',', ' lead', 'trail ', E'\\.', E'\\N'],
   '[0:1][-1:1]={{1,2,3},{4,5,6}}', ARRAY[ROW(1, 'a,"b"\')::app.pair, NULL, ROW(NULL, '')::app.pair],
   '{sad,"",meh}', '{1,2}', '{infinity,"2000-01-01 00:00:00.000001+00"}', ARRAY['\x00'::bytea, '\x', '\x5c'],
   '{((1,1),(0,0));((2,2),(1,1))}', '{"[1,2)",empty}', '{"{[1,2)}","{}"}',
   ARRAY['{"a":"b\\\"c"}'::jsonb, 'null', NULL], '{NaN,-Infinity,-0,1e-300}', '{a,"b c",""}', '{x,"y z"}'),
  (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, (SELECT array_agg(i) FROM generate_series(1, 5000) i), (SELECT array_agg(md5(i::text)) FROM generate_series(1, 500) i),
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

---------------------------------------------------------------------------------------------
-- Quoting

CREATE TABLE app.quoting (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text, other text);
INSERT INTO app.quoting (body, other) VALUES
  (NULL, NULL), ('', ''), (' ', '  '), (E'\t', E'a\tb'), (E'\n', E'a\nb\n'), (E'\r', E'a\rb'), (E'\r\n', E'\n\r'),
  (E'\\', E'\\\\'), (E'\\.', E'\\.'), (E'\\.\n', E'a\n\\.\nb'), (E'\\N', E'x\\N'), ('NULL', 'null'), (E'\\\\N', E'\\t\\n\\r'),
  (E'\b\f\v', E'\x01\x02\x1b\x7f'), ('''', '"'), ('''''', '""'), ('$$', '$body$'), ('--', '/* */'), (';', E';\n\\q\n'),
  ('{}', '{"a"}'), ('%s %d', '${HOME} `id` $(id)'), ('ÄÖÜ ß', 'e' || U&'\0301' || ' é'), ('日本語', 'עברית'),
  ('🐘🐕‍🦺', U&'\+10FFFF'), (U&'\FEFF' || 'bom', U&'\2028\2029\0085'), (U&'\00A0', U&'\200B\200D'),
  ('COPY app.quoting FROM stdin;', E'\\copy x\n\\.'), (E'end\\', E'\t\\\t');
INSERT INTO app.quoting (body, other) SELECT chr(i), 'a' || chr(i) || 'b' FROM generate_series(1, 255) i;

CREATE TABLE app.one_text (body text);
INSERT INTO app.one_text VALUES (''), (NULL), (E'\\.'), (E'\\'), (''), (E'\n'), (NULL), (E'\\N'), ('x'), ('x');
CREATE TABLE app.bytes (id int PRIMARY KEY, body bytea);
INSERT INTO app.bytes SELECT i, decode(lpad(to_hex(i), 2, '0'), 'hex') FROM generate_series(0, 255) i;
INSERT INTO app.bytes SELECT 1000, string_agg(body, '' ORDER BY id) FROM app.bytes;

---------------------------------------------------------------------------------------------
-- Shapes of tables

CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
CREATE TABLE app.lost_columns (a int, b text);
INSERT INTO app.lost_columns VALUES (1, 'x'), (2, 'y');
ALTER TABLE app.lost_columns DROP a, DROP b;
CREATE TABLE app.no_rows (id int PRIMARY KEY, body text DEFAULT 'none');
CREATE TABLE app.no_rows_no_columns ();
CREATE TABLE app.only_generated (two int GENERATED ALWAYS AS (1 + 1) STORED);
INSERT INTO app.only_generated DEFAULT VALUES;
INSERT INTO app.only_generated DEFAULT VALUES;
CREATE TABLE app.emptied (id int, body text);
INSERT INTO app.emptied SELECT i, md5(i::text) FROM generate_series(1, 1000) i;
DELETE FROM app.emptied;
CREATE TABLE app.duplicates (n int);
INSERT INTO app.duplicates SELECT i % 3 FROM generate_series(1, 30) i;

CREATE TABLE app.dropped (a int, gone text DEFAULT 'old', b text, also_gone int, c int);
INSERT INTO app.dropped SELECT i, 'gone', 'b' || i, i, i FROM generate_series(1, 10) i;
ALTER TABLE app.dropped DROP gone;
ALTER TABLE app.dropped DROP also_gone;
INSERT INTO app.dropped SELECT i, 'b' || i, i FROM generate_series(11, 20) i;
ALTER TABLE app.dropped ADD gone int DEFAULT -1;

-- Rows older than the column take its value from the catalogue, not from the default of today.
CREATE TABLE app.fast_default (id int PRIMARY KEY);
INSERT INTO app.fast_default SELECT generate_series(1, 10);
ALTER TABLE app.fast_default ADD body text DEFAULT E'first\t\\N' NOT NULL;
ALTER TABLE app.fast_default ALTER body SET DEFAULT 'second';
ALTER TABLE app.fast_default ADD list int[] DEFAULT '{1,NULL,3}';
ALTER TABLE app.fast_default ALTER list DROP DEFAULT;
ALTER TABLE app.fast_default ADD made timestamptz DEFAULT '2020-02-29 00:00:00+00';
ALTER TABLE app.fast_default ADD volatile float8 DEFAULT random();
ALTER TABLE app.fast_default ADD late int;
INSERT INTO app.fast_default (id) SELECT generate_series(11, 15);

CREATE UNLOGGED TABLE app.unlogged (id serial PRIMARY KEY, body text);
INSERT INTO app.unlogged (body) SELECT md5(i::text) FROM generate_series(1, 20) i;

CREATE TABLE app.typed OF app.pair (PRIMARY KEY (a), b WITH OPTIONS DEFAULT 'typed');
INSERT INTO app.typed VALUES (1, DEFAULT), (2, NULL);

DO $$
BEGIN
  EXECUTE 'CREATE TABLE app.wide (' ||
    (SELECT string_agg(format('c%s %s', i, (ARRAY['int', 'text', 'float8', 'boolean'])[i % 4 + 1]), ', ')
     FROM generate_series(1, 400) i) || ')';
  EXECUTE 'INSERT INTO app.wide (c1, c100, c399) VALUES (''x'', 1, true), (NULL, NULL, NULL)';
END $$;

CREATE TABLE app.toasted (id int PRIMARY KEY, body text, raw bytea, doc jsonb);
ALTER TABLE app.toasted ALTER body SET STORAGE EXTERNAL;
ALTER TABLE app.toasted ALTER raw SET STORAGE MAIN;
ALTER TABLE app.toasted ALTER doc SET COMPRESSION pglz;
INSERT INTO app.toasted
  SELECT i,
    (SELECT string_agg(md5(i || '/' || j), '') FROM generate_series(1, 50 * i) j),
    decode((SELECT string_agg(md5(j || '-' || i), '') FROM generate_series(1, 40 * i) j), 'hex'),
    (SELECT jsonb_object_agg(md5(j::text), j) FROM generate_series(1, 30 * i) j)
  FROM generate_series(1, 8) i;
CREATE TABLE app.fat (id int PRIMARY KEY, body text);
INSERT INTO app.fat SELECT 1, string_agg(md5(i::text), CASE WHEN i % 100 = 0 THEN E'\n' ELSE '' END)
  FROM generate_series(1, 98304) i;
INSERT INTO app.fat VALUES (2, 'slim'), (3, repeat('compressible ', 100000));
\if :has_lz4
CREATE TABLE app.lz4 (id int PRIMARY KEY, body text COMPRESSION lz4);
INSERT INTO app.lz4 VALUES (1, repeat('lz4 ', 5000));
\endif

CREATE TABLE app.tuned (id int, name text, note text) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE app.tuned ALTER name SET STATISTICS 500;
ALTER TABLE app.tuned ALTER name SET (n_distinct = -0.5);
ALTER TABLE app.tuned ALTER note SET STORAGE PLAIN;
INSERT INTO app.tuned VALUES (1, 'a', 'b');

---------------------------------------------------------------------------------------------
-- Identity, generated columns, sequences

CREATE TABLE app.identity_always (id bigint GENERATED ALWAYS AS IDENTITY (START 1000 INCREMENT 10), body text);
INSERT INTO app.identity_always (body) VALUES ('a'), ('b');
INSERT INTO app.identity_always OVERRIDING SYSTEM VALUE VALUES (-1, 'forced');
CREATE TABLE app.identity_default (id smallint GENERATED BY DEFAULT AS IDENTITY (MINVALUE -5 START -5 CYCLE), body text);
INSERT INTO app.identity_default (body) VALUES ('a'), ('b');
CREATE TABLE app."Identity ""odd""" ("Id col" int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME app."an Identity seq"));
INSERT INTO app."Identity ""odd""" DEFAULT VALUES;

CREATE TABLE app.generated (
  a int, total int GENERATED ALWAYS AS (a * 2) STORED, b text,
  upper_b text GENERATED ALWAYS AS (upper(b)) STORED, code boolean GENERATED ALWAYS AS (app.is_postcode(b)) STORED);
INSERT INTO app.generated (a, b) VALUES (1, 'x'), (NULL, NULL), (3, '12345');

CREATE TABLE app.serials (id serial PRIMARY KEY, small smallserial, big bigserial, body text);
INSERT INTO app.serials (body) SELECT 'row ' || i FROM generate_series(1, 7) i;
DELETE FROM app.serials WHERE id > 5;
ALTER TABLE app.serials ALTER small DROP DEFAULT;

CREATE SEQUENCE app.untouched;
CREATE SEQUENCE app.descending INCREMENT -3 MAXVALUE -1 MINVALUE -1000 START -1;
SELECT nextval('app.descending'), nextval('app.descending');
CREATE SEQUENCE app.cycling MINVALUE 1 MAXVALUE 3 CYCLE;
SELECT nextval('app.cycling') FROM generate_series(1, 4);
CREATE SEQUENCE app.cached CACHE 50;
SELECT nextval('app.cached');
CREATE SEQUENCE app.not_called START 42;
SELECT setval('app.not_called', 77, false);
CREATE SEQUENCE app.used_up AS smallint MAXVALUE 2;
SELECT nextval('app.used_up') FROM generate_series(1, 2);
CREATE SEQUENCE app.limits MINVALUE -9223372036854775808 START -9223372036854775808;
SELECT setval('app.limits', 9223372036854775807);
CREATE SEQUENCE app."Seq ""odd"" 名" AS int START 5;
CREATE SEQUENCE app.adopted OWNED BY app.no_rows.id;
COMMENT ON SEQUENCE app.descending IS 'counts down';
GRANT USAGE, SELECT ON SEQUENCE app.cached TO lab_writer;
ALTER SEQUENCE app.untouched OWNER TO lab_owner;
\if :is15
CREATE UNLOGGED SEQUENCE app.unlogged_seq START 9;
SELECT nextval('app.unlogged_seq');
\endif

---------------------------------------------------------------------------------------------
-- Partitions and inheritance

CREATE TABLE app.visits (id int, at date NOT NULL, place text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.visits_2023 PARTITION OF app.visits FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.visits_2024 PARTITION OF app.visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE app.visits_2024_0 PARTITION OF app.visits_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.visits_2024_1 PARTITION OF app.visits_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY RANGE (at);
CREATE TABLE app.visits_2024_1_all PARTITION OF app.visits_2024_1 DEFAULT;
CREATE TABLE app.visits_rest PARTITION OF app.visits DEFAULT;
-- A partition that was a table of its own: another column order, and a dropped column.
CREATE TABLE app.visits_old (gone int, place text, at date NOT NULL, id int NOT NULL);
INSERT INTO app.visits_old VALUES (1, 'cellar', '2020-05-05', -1);
ALTER TABLE app.visits_old DROP gone;
ALTER TABLE app.visits ATTACH PARTITION app.visits_old FOR VALUES FROM (MINVALUE) TO ('2021-01-01');
INSERT INTO app.visits
  SELECT i, date '2022-06-01' + i * 3, (ARRAY['north', 'south', NULL, 'west'])[i % 4 + 1] FROM generate_series(1, 400) i;
CREATE INDEX visits_place ON app.visits (place);
COMMENT ON TABLE app.visits IS 'partitioned';
COMMENT ON TABLE app.visits_2023 IS 'a partition';
GRANT SELECT ON app.visits_2023 TO lab_reader;
CREATE TABLE app.visit_notes (visit int, at date, note text, FOREIGN KEY (visit, at) REFERENCES app.visits);
INSERT INTO app.visit_notes SELECT id, at, 'note ' || id FROM app.visits WHERE id % 50 = 0;

-- The hash of an enum follows its OID, so on another server its rows fall into other partitions.
CREATE TABLE app.by_mood (id int, mood app.mood) PARTITION BY HASH (mood);
CREATE TABLE app.by_mood_0 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE app.by_mood_1 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE app.by_mood_2 PARTITION OF app.by_mood FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO app.by_mood SELECT i, (enum_range(NULL::app.mood))[i % 6 + 1] FROM generate_series(1, 60) i;
CREATE TABLE app.by_place (id int, place text) PARTITION BY LIST (place);
CREATE TABLE app.by_place_north PARTITION OF app.by_place FOR VALUES IN ('north', NULL, '');
CREATE TABLE app.by_place_rest PARTITION OF app.by_place DEFAULT PARTITION BY LIST (id);
CREATE TABLE app.by_place_rest_1 PARTITION OF app.by_place_rest FOR VALUES IN (1, 2, NULL);
CREATE TABLE app.by_place_rest_rest PARTITION OF app.by_place_rest DEFAULT;
INSERT INTO app.by_place SELECT nullif(i, 9), (ARRAY['north', 'south', NULL, ''])[i % 4 + 1] FROM generate_series(1, 20) i;
CREATE TABLE app.by_expression (id int, body text) PARTITION BY RANGE (lower(body) COLLATE "C", id);
CREATE TABLE app.by_expression_a PARTITION OF app.by_expression FOR VALUES FROM (MINVALUE, MINVALUE) TO ('m', 0);
CREATE TABLE app.by_expression_m PARTITION OF app.by_expression FOR VALUES FROM ('m', 0) TO (MAXVALUE, MAXVALUE);
INSERT INTO app.by_expression SELECT i, chr(65 + i % 26) || i FROM generate_series(1, 52) i;
CREATE TABLE app.no_partitions (id int) PARTITION BY LIST (id);

CREATE TABLE app.animals (id int PRIMARY KEY, name text NOT NULL DEFAULT 'nameless', CONSTRAINT named CHECK (name <> ''));
CREATE TABLE app.dogs (breed text, name text DEFAULT 'Rex') INHERITS (app.animals);
CREATE TABLE app.things (price numeric CHECK (price > 0) NO INHERIT);
CREATE TABLE app.robot_dogs (PRIMARY KEY (id)) INHERITS (app.dogs, app.things);
INSERT INTO app.animals VALUES (1, 'of the parent'), (2, 'also');
INSERT INTO app.dogs VALUES (1, 'Rex', 'collie'), (3, 'Bo', NULL);
INSERT INTO app.robot_dogs VALUES (4, 'K9', 'tin', -1);

---------------------------------------------------------------------------------------------
-- Odd identifiers

CREATE TABLE app."Weird ""Table""" ("select" int PRIMARY KEY, "a b" text, "Ünï ""q""" text, "100%" int, "new
line" text, "tab	" text, "back\slash" text, "'" int);
INSERT INTO app."Weird ""Table""" VALUES (1, 'x', 'y', 2, 'z', 't', 'u', 3);
CREATE TABLE app."new
line" ("a
b" int);
INSERT INTO app."new
line" VALUES (1);
CREATE TABLE app."select" ("from" int, "where" text);
INSERT INTO app."select" VALUES (1, 'reserved');
CREATE TABLE app."UPPER" (id int);
CREATE TABLE app."upper" (id int);
INSERT INTO app."UPPER" VALUES (1);
INSERT INTO app."upper" VALUES (2);
CREATE TABLE app."dots.and.*stars?" (id int);
INSERT INTO app."dots.and.*stars?" VALUES (1);
CREATE TABLE app."-rf" (id int);
CREATE TABLE app."\." (id int);
INSERT INTO app."\." VALUES (1);
CREATE TABLE app."../../etc/passwd" (id int);
INSERT INTO app."../../etc/passwd" VALUES (1);
CREATE TABLE app." " (" " int);
INSERT INTO app." " VALUES (1);
CREATE TABLE app."表🐘" ("列" text);
INSERT INTO app."表🐘" VALUES ('値');
CREATE TABLE app.a23456789012345678901234567890123456789012345678901234567890123 (id int);
INSERT INTO app.a23456789012345678901234567890123456789012345678901234567890123 VALUES (1);
CREATE TABLE "Odd ""Schema"" über"."Odd $table$" (id int, m app.mood);
INSERT INTO "Odd ""Schema"" über"."Odd $table$" VALUES (1, 'happy'), (2, NULL);
CREATE TABLE "Odd ""Schema"" über".quoting (id int);
INSERT INTO "Odd ""Schema"" über".quoting VALUES (3);
CREATE TABLE public.quoting (id int);
INSERT INTO public.quoting VALUES (4);
COMMENT ON TABLE app."Weird ""Table""" IS E'a comment\n\\connect elsewhere\n-- ''quoted'' "too"';
COMMENT ON COLUMN app."Weird ""Table"""."new
line" IS E'on a column\t';

---------------------------------------------------------------------------------------------
-- Constraints and indexes

CREATE TABLE app.departments (id int PRIMARY KEY, head int, name text UNIQUE);
CREATE TABLE app.people (id int PRIMARY KEY, department int REFERENCES app.departments, boss int REFERENCES app.people,
  CONSTRAINT not_own_boss CHECK (boss <> id));
ALTER TABLE app.departments ADD CONSTRAINT head_exists FOREIGN KEY (head) REFERENCES app.people DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO app.departments VALUES (1, 10, 'surgery'), (2, 20, 'reception'), (3, NULL, NULL);
INSERT INTO app.people VALUES (20, 2, NULL), (10, 1, 20), (11, 1, 10), (12, NULL, 11);
COMMIT;
COMMENT ON CONSTRAINT head_exists ON app.departments IS 'a cycle';

CREATE TABLE app.matches (a int, b int, UNIQUE (a, b), UNIQUE (b, a) DEFERRABLE INITIALLY IMMEDIATE);
CREATE TABLE app.match_users (a int, b int, FOREIGN KEY (a, b) REFERENCES app.matches (a, b) MATCH FULL ON DELETE CASCADE ON UPDATE SET DEFAULT);
INSERT INTO app.matches VALUES (1, 1), (1, 2), (NULL, 1), (NULL, 1);
INSERT INTO app.match_users VALUES (1, 2), (NULL, NULL);

-- Rows that break constraints which were never validated.
CREATE TABLE app.unvalidated (id int PRIMARY KEY, amount int, department int);
INSERT INTO app.unvalidated VALUES (1, -5, 999), (2, 5, 1);
ALTER TABLE app.unvalidated ADD CONSTRAINT positive CHECK (amount > 0) NOT VALID;
ALTER TABLE app.unvalidated ADD CONSTRAINT exists_later FOREIGN KEY (department) REFERENCES app.departments NOT VALID;
ALTER DOMAIN app.late_check ADD CONSTRAINT positive CHECK (VALUE > 0) NOT VALID;

CREATE TABLE app.bookings (room int, during tstzrange, cancelled boolean DEFAULT false,
  CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&) WHERE (NOT cancelled),
  CONSTRAINT one_room EXCLUDE (room WITH =) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO app.bookings VALUES
  (1, '[2024-01-01 10:00+00,2024-01-01 11:00+00)', false), (2, '[2024-01-01 11:00+00,2024-01-01 12:00+00)', false),
  (3, '[2024-01-01 10:30+00,2024-01-01 11:30+00)', true);

CREATE TABLE app.indexed (id int PRIMARY KEY, a text, b int, c jsonb, d tsvector, e point, f int4range, g text[]);
INSERT INTO app.indexed SELECT i, md5(i::text), i % 7, jsonb_build_object('n', i), to_tsvector('simple', 'word' || i),
  point(i, -i), int4range(i, i + 5), ARRAY['t' || i % 5] FROM generate_series(1, 300) i;
CREATE UNIQUE INDEX indexed_a ON app.indexed (a COLLATE "C" DESC NULLS LAST) INCLUDE (b, c) WHERE b > 2;
CREATE INDEX indexed_expression ON app.indexed ((lower(a) || b), abs(b)) WITH (fillfactor = 60);
ALTER INDEX app.indexed_expression ALTER COLUMN 1 SET STATISTICS 321;
CREATE INDEX indexed_pattern ON app.indexed (a text_pattern_ops);
CREATE INDEX indexed_hash ON app.indexed USING hash (b);
CREATE INDEX indexed_gin ON app.indexed USING gin (c jsonb_path_ops, d, g) WITH (fastupdate = off);
CREATE INDEX indexed_gist ON app.indexed USING gist (d tsvector_ops (siglen = 64), f);
CREATE INDEX indexed_spgist ON app.indexed USING spgist (e);
CREATE INDEX indexed_brin ON app.indexed USING brin (id int4_minmax_multi_ops (values_per_range = 16)) WITH (pages_per_range = 2);
COMMENT ON INDEX app.indexed_a IS 'partial and covering';
CREATE INDEX indexed_order ON app.indexed (b, id);
ALTER TABLE app.indexed CLUSTER ON indexed_order;
\if :is15
CREATE UNIQUE INDEX indexed_nulls ON app.indexed (id, b) NULLS NOT DISTINCT;
\endif
CREATE TABLE app.promoted (id int NOT NULL, other int NOT NULL);
CREATE UNIQUE INDEX promoted_index ON app.promoted (other);
ALTER TABLE app.promoted ADD CONSTRAINT promoted_key UNIQUE USING INDEX promoted_index;
ALTER TABLE app.promoted REPLICA IDENTITY USING INDEX promoted_key;
ALTER TABLE app.quoting REPLICA IDENTITY FULL;
ALTER TABLE app.one_text REPLICA IDENTITY NOTHING;

CREATE STATISTICS app.indexed_stats (ndistinct, dependencies, mcv) ON a, b FROM app.indexed;
CREATE STATISTICS app."Odd stats" ON (abs(b)), (lower(a)) FROM app.indexed;
ALTER STATISTICS app.indexed_stats SET STATISTICS 77;
COMMENT ON STATISTICS app.indexed_stats IS 'correlated';

---------------------------------------------------------------------------------------------
-- Functions, operators, casts

CREATE FUNCTION app.add(a int, b int DEFAULT 1, OUT total int) LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 5
  AS 'SELECT a + b';
CREATE FUNCTION app.first_of(VARIADIC anyarray) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1[1]';
CREATE FUNCTION app.people_of(int) RETURNS SETOF app.people LANGUAGE sql STABLE ROWS 5
  BEGIN ATOMIC SELECT * FROM app.people WHERE department = $1; END;
CREATE FUNCTION app.table_of() RETURNS TABLE (n int, "Odd name" text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = app, pg_temp SET work_mem = '8MB' AS $body$
BEGIN
  -- A comment, a 'quote', a \ and a $$ nested $$ string.
  RETURN QUERY SELECT 1, E'\\x'::text;
END $body$;
CREATE FUNCTION app."Odd ""function""" ("Arg" app.mood) RETURNS text LANGUAGE sql AS $$ SELECT 'a' || "Arg" $$;
CREATE PROCEDURE app.tidy(keep int, INOUT gone int DEFAULT 0) LANGUAGE plpgsql AS $$ BEGIN gone := keep; END $$;
CREATE FUNCTION app.sum_step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + coalesce($2, 0)';
CREATE AGGREGATE app.total(int) (SFUNC = app.sum_step, STYPE = int, INITCOND = '0', COMBINEFUNC = app.sum_step, PARALLEL = SAFE);
CREATE AGGREGATE app.middle(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal,
  FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE FUNCTION app.pair_equal(app.pair, app.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a = $2.a';
CREATE FUNCTION app.pair_compare(app.pair, app.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1.a, $2.a)';
CREATE OPERATOR app.=== (FUNCTION = app.pair_equal, LEFTARG = app.pair, RIGHTARG = app.pair, COMMUTATOR = OPERATOR(app.===), RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE OPERATOR FAMILY app.pair_family USING btree;
CREATE OPERATOR CLASS app.pair_class FOR TYPE app.pair USING btree FAMILY app.pair_family AS
  OPERATOR 3 app.===, FUNCTION 1 app.pair_compare(app.pair, app.pair);
CREATE FUNCTION app.pair_text(app.pair) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.b';
CREATE CAST (app.pair AS text) WITH FUNCTION app.pair_text(app.pair) AS ASSIGNMENT;
CREATE CAST (app.mood AS int) WITH INOUT;
COMMENT ON FUNCTION app.add(int, int) IS 'adds';
COMMENT ON PROCEDURE app.tidy(int, int) IS 'tidies';
COMMENT ON AGGREGATE app.total(int) IS 'totals';
COMMENT ON OPERATOR app.=== (app.pair, app.pair) IS 'equal enough';
COMMENT ON OPERATOR FAMILY app.pair_family USING btree IS 'a family';
COMMENT ON OPERATOR CLASS app.pair_class USING btree IS 'a class';
COMMENT ON CAST (app.pair AS text) IS 'a cast';
REVOKE EXECUTE ON FUNCTION app.table_of() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.table_of() TO lab_reader;
GRANT EXECUTE ON PROCEDURE app.tidy(int, int) TO lab_writer;
ALTER FUNCTION app.add(int, int) OWNER TO lab_owner;
GRANT USAGE ON LANGUAGE plpgsql TO lab_reader;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_reset() TO lab_owner;
GRANT SELECT (rolname) ON pg_catalog.pg_authid TO lab_reader;

---------------------------------------------------------------------------------------------
-- Text search

CREATE TEXT SEARCH TEMPLATE app.plain_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = app.plain_template, ACCEPT = false);
CREATE TEXT SEARCH PARSER app.words (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH CONFIGURATION app.search (PARSER = app.words);
ALTER TEXT SEARCH CONFIGURATION app.search ADD MAPPING FOR asciiword, word WITH app.plain, english_stem;
COMMENT ON TEXT SEARCH CONFIGURATION app.search IS 'a configuration';
COMMENT ON TEXT SEARCH DICTIONARY app.plain IS 'a dictionary';
COMMENT ON TEXT SEARCH TEMPLATE app.plain_template IS 'a template';
COMMENT ON TEXT SEARCH PARSER app.words IS 'a parser';
CREATE INDEX indexed_search ON app.indexed USING gin (to_tsvector('app.search', a));

---------------------------------------------------------------------------------------------
-- Views, rules, materialized views

CREATE VIEW app.adults WITH (security_barrier) AS SELECT id, boss FROM app.people WHERE id > 10 WITH LOCAL CHECK OPTION;
CREATE VIEW app.grouped AS SELECT d.id, d.name, count(p.id) AS people
  FROM app.departments d LEFT JOIN app.people p ON p.department = d.id GROUP BY d.id;
CREATE RECURSIVE VIEW app.chain (id, depth) AS
  SELECT id, 0 FROM app.people WHERE boss IS NULL UNION ALL SELECT p.id, depth + 1 FROM app.people p JOIN chain c ON p.boss = c.id;
CREATE VIEW app."Odd ""view""" AS SELECT "select" AS "from", "new
line" FROM app."Weird ""Table""";
CREATE VIEW app.no_column_view AS SELECT FROM app.people;
ALTER VIEW app.grouped ALTER COLUMN people SET DEFAULT 0;
\if :is15
CREATE VIEW app.invoked WITH (security_invoker = true) AS SELECT * FROM app.people;
\endif
COMMENT ON VIEW app.adults IS 'a view';
COMMENT ON COLUMN app.adults.id IS 'its column';
GRANT SELECT, INSERT ON app.adults TO lab_writer;

-- COPY goes past rules; a load by INSERT would lose these rows.
CREATE TABLE app.ruled (id int, body text);
INSERT INTO app.ruled VALUES (1, 'kept'), (2, 'kept too');
CREATE RULE swallow AS ON INSERT TO app.ruled DO INSTEAD NOTHING;
CREATE RULE watch AS ON DELETE TO app.ruled DO ALSO INSERT INTO app.one_text VALUES ('deleted ' || old.id);
ALTER TABLE app.ruled DISABLE RULE watch;
COMMENT ON RULE swallow ON app.ruled IS 'a rule';
CREATE RULE into_people AS ON INSERT TO app.grouped DO INSTEAD INSERT INTO app.departments (id, name) VALUES (new.id, new.name);

CREATE MATERIALIZED VIEW app.z_first AS SELECT b, count(*) AS n FROM app.indexed GROUP BY b;
CREATE UNIQUE INDEX ON app.z_first (b);
CREATE MATERIALIZED VIEW app.a_second AS SELECT sum(n) AS n, 'from another' AS note FROM app.z_first;
CREATE MATERIALIZED VIEW app.m_third (total, "Odd col") AS SELECT n, note FROM app.a_second;
CREATE MATERIALIZED VIEW app.never_filled AS SELECT * FROM app.people WITH NO DATA;
CREATE INDEX ON app.never_filled (boss);
CREATE MATERIALIZED VIEW app.on_never AS SELECT 1 AS one FROM app.never_filled WITH NO DATA;
CREATE MATERIALIZED VIEW app.of_grouped AS SELECT * FROM app.grouped;
COMMENT ON MATERIALIZED VIEW app.z_first IS 'a materialized view';
GRANT SELECT ON app.z_first TO lab_reader;
ALTER MATERIALIZED VIEW app.m_third OWNER TO lab_owner;
ALTER TABLE app.people OWNER TO lab_owner;
GRANT SELECT ON app.a_second TO lab_owner;

---------------------------------------------------------------------------------------------
-- Triggers

CREATE TABLE app.triggered (id int PRIMARY KEY, body text, touched int DEFAULT 0);
-- These rows are older than the triggers, which would change or refuse them.
INSERT INTO app.triggered VALUES (1, 'left as it was', 0), (2, 'this too', 0), (-1, 'refused today', 0);
CREATE FUNCTION app.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := upper(NEW.body); RETURN NEW; END $$;
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused %', TG_ARGV[0]; END $$;
CREATE FUNCTION app.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE OF body ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.shout();
CREATE TRIGGER "Odd ""trigger""" BEFORE INSERT ON app.triggered FOR EACH ROW WHEN (NEW.id < 0) EXECUTE FUNCTION app.refuse('it''s \ odd');
CREATE TRIGGER always BEFORE UPDATE ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.shout();
ALTER TABLE app.triggered ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER on_replica AFTER INSERT ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.pass();
ALTER TABLE app.triggered ENABLE REPLICA TRIGGER on_replica;
CREATE TRIGGER off AFTER INSERT ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.refuse('never');
ALTER TABLE app.triggered DISABLE TRIGGER off;
CREATE TRIGGER with_tables AFTER UPDATE ON app.triggered REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION app.pass();
CREATE TRIGGER on_truncate BEFORE TRUNCATE ON app.triggered EXECUTE FUNCTION app.refuse('truncate');
CREATE CONSTRAINT TRIGGER checked AFTER INSERT OR UPDATE ON app.triggered DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.touched > 100) EXECUTE FUNCTION app.refuse('checked');
CREATE TRIGGER on_partitions AFTER INSERT ON app.visits FOR EACH ROW EXECUTE FUNCTION app.pass();
ALTER TABLE app.visits_2023 DISABLE TRIGGER on_partitions;
CREATE TRIGGER into_view INSTEAD OF INSERT ON app.adults FOR EACH ROW EXECUTE FUNCTION app.pass();
COMMENT ON TRIGGER shout ON app.triggered IS 'a trigger';

---------------------------------------------------------------------------------------------
-- Row-level security and privileges

CREATE TABLE app.secrets (id int PRIMARY KEY, owner text DEFAULT current_user, body text);
INSERT INTO app.secrets VALUES (1, 'lab_reader', 'a'), (2, 'lab_writer', 'b'), (3, 'nobody', 'c');
ALTER TABLE app.secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON app.secrets FOR SELECT TO lab_reader, lab_writer USING (owner = current_user);
CREATE POLICY "Odd ""policy""" ON app.secrets AS RESTRICTIVE FOR UPDATE TO lab_writer USING (id > 0) WITH CHECK (body <> '');
CREATE POLICY anyone ON app.secrets FOR INSERT WITH CHECK (true);
COMMENT ON POLICY own ON app.secrets IS 'a policy';
CREATE TABLE app.locked (id int);
INSERT INTO app.locked VALUES (1);
ALTER TABLE app.locked ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON app.secrets TO lab_reader, lab_writer;
GRANT SELECT (id, a), UPDATE (b), REFERENCES (id) ON app.indexed TO "Odd ""Role""";
GRANT ALL ON app.all_types TO lab_writer WITH GRANT OPTION;
SET ROLE lab_writer;
GRANT SELECT ON app.all_types TO "Odd ""Role""";
RESET ROLE;
GRANT INSERT ON app.no_rows TO PUBLIC;
REVOKE ALL ON app.locked FROM postgres;
GRANT SELECT, TRIGGER ON app.locked TO postgres;
ALTER TABLE app.no_rows OWNER TO "Odd ""Role""";

---------------------------------------------------------------------------------------------
-- Large objects

SELECT lo_from_bytea(990001, 'a small one');
SELECT lo_from_bytea(990002, '');
SELECT lo_from_bytea(990003, decode((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 65536) i), 'hex'));
SELECT lo_from_bytea(990004, (SELECT body FROM app.bytes WHERE id = 1000));
COMMENT ON LARGE OBJECT 990001 IS E'a large object''s\ncomment';
GRANT SELECT ON LARGE OBJECT 990001 TO lab_reader;
GRANT ALL ON LARGE OBJECT 990003 TO lab_writer WITH GRANT OPTION;
ALTER LARGE OBJECT 990004 OWNER TO lab_owner;
CREATE TABLE app.attachments (id int PRIMARY KEY, content oid);
INSERT INTO app.attachments VALUES (1, 990001), (2, 990002), (3, 990003), (4, 990004);

---------------------------------------------------------------------------------------------
-- Foreign data

CREATE FOREIGN DATA WRAPPER lab_wrapper OPTIONS (debug 'it''s "on"');
CREATE SERVER lab_server TYPE 'a type' VERSION '1.0' FOREIGN DATA WRAPPER lab_wrapper OPTIONS (host 'nowhere', "Odd opt" 'x');
CREATE USER MAPPING FOR lab_reader SERVER lab_server OPTIONS (password 'foreign-secret');
CREATE USER MAPPING FOR PUBLIC SERVER lab_server;
CREATE FOREIGN TABLE app.remote (id int OPTIONS (column_name 'ID') NOT NULL, body text DEFAULT 'x', CHECK (id > 0)) SERVER lab_server OPTIONS (path '/a b');
COMMENT ON FOREIGN DATA WRAPPER lab_wrapper IS 'a wrapper without a handler';
COMMENT ON SERVER lab_server IS 'a server';
COMMENT ON FOREIGN TABLE app.remote IS 'a foreign table';
GRANT USAGE ON FOREIGN DATA WRAPPER lab_wrapper TO lab_owner;
GRANT USAGE ON FOREIGN SERVER lab_server TO lab_reader WITH GRANT OPTION;
GRANT SELECT ON app.remote TO lab_reader;
\if :has_contrib
CREATE EXTENSION postgres_fdw;
CREATE SERVER lab_postgres FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'none');
CREATE FOREIGN TABLE app.remote_postgres (id int) SERVER lab_postgres OPTIONS (schema_name 's', table_name 't');
\endif

---------------------------------------------------------------------------------------------
-- Publications, subscriptions, event triggers

CREATE PUBLICATION lab_inserts FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION "Odd ""pub""" FOR TABLE app.departments, ONLY app.animals;
CREATE PUBLICATION lab_empty;
CREATE PUBLICATION lab_partitions FOR TABLE app.visits WITH (publish_via_partition_root = true);
COMMENT ON PUBLICATION lab_inserts IS 'a publication';
ALTER PUBLICATION lab_empty OWNER TO lab_owner;
\if :is15
CREATE PUBLICATION lab_filtered FOR TABLE app.secrets (id, owner) WHERE (id > 1);
CREATE PUBLICATION lab_schemas FOR TABLES IN SCHEMA empty_schema;
\endif
CREATE SUBSCRIPTION lab_subscription CONNECTION 'host=127.0.0.1 port=1 dbname=none' PUBLICATION somewhere
  WITH (connect = false, slot_name = NONE);
COMMENT ON SUBSCRIPTION lab_subscription IS 'a subscription';

CREATE TABLE app.ddl_log (at int GENERATED ALWAYS AS IDENTITY, tag text);
CREATE FUNCTION app.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO app.ddl_log (tag) VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER lab_log ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.log_ddl();
CREATE EVENT TRIGGER "Odd ""event""" ON sql_drop EXECUTE FUNCTION app.log_ddl();
ALTER EVENT TRIGGER "Odd ""event""" DISABLE;
COMMENT ON EVENT TRIGGER lab_log IS 'an event trigger';
CREATE TABLE app.after_log (id int);

COMMENT ON TABLE app.all_types IS 'every type';
COMMENT ON COLUMN app.all_types.t_money IS 'a column';

ANALYZE app.all_types, app.indexed, app.visits;
