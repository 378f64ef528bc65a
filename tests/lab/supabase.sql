-- A database like that of a fresh project at Supabase: schemas, roles and owners of the provider,
-- and `lab_supabase` in the place of the role that a customer has, which is no superuser.

\set ON_ERROR_STOP 1
SET client_min_messages = error;
DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['supabase_admin', 'supabase_auth_admin', 'supabase_storage_admin', 'anon',
                           'authenticated', 'service_role', 'lab_supabase'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN EXECUTE format('CREATE ROLE %I', r); END IF;
  END LOOP;
  ALTER ROLE supabase_admin SUPERUSER;
  ALTER ROLE lab_supabase LOGIN CREATEDB CREATEROLE BYPASSRLS;
  GRANT anon, authenticated, service_role, pg_read_all_data TO lab_supabase;
  GRANT SET ON PARAMETER session_replication_role TO lab_supabase;
  EXECUTE format('GRANT CREATE ON DATABASE %I TO lab_supabase', current_database());
  EXECUTE format('ALTER SCHEMA public OWNER TO lab_supabase');
END $$;

CREATE SCHEMA extensions AUTHORIZATION supabase_admin;
CREATE SCHEMA auth AUTHORIZATION supabase_admin;
CREATE SCHEMA storage AUTHORIZATION supabase_admin;
CREATE SCHEMA realtime AUTHORIZATION supabase_admin;
CREATE SCHEMA vault AUTHORIZATION supabase_admin;
CREATE SCHEMA graphql_public AUTHORIZATION supabase_admin;
CREATE SCHEMA pgbouncer AUTHORIZATION supabase_admin;
GRANT ALL ON SCHEMA auth TO supabase_auth_admin;
GRANT ALL ON SCHEMA storage TO supabase_storage_admin;
GRANT USAGE ON SCHEMA auth, storage, extensions, realtime TO lab_supabase, anon, authenticated, service_role;

CREATE TABLE auth.users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text UNIQUE,
  encrypted_password text, created_at timestamptz DEFAULT now(),
  confirmed boolean GENERATED ALWAYS AS (email IS NOT NULL) STORED);
CREATE TABLE auth.sessions (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id uuid REFERENCES auth.users ON DELETE CASCADE);
CREATE TABLE auth.schema_migrations (version text PRIMARY KEY);
INSERT INTO auth.schema_migrations VALUES ('20240101'), ('20240202');
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT current_setting('request.sub', true)::uuid $$;
COMMENT ON TABLE auth.users IS 'Auth: stores user login data within a secure schema.';
COMMENT ON SCHEMA auth IS 'the provider''s';
ALTER TABLE auth.users OWNER TO supabase_auth_admin;
ALTER TABLE auth.sessions OWNER TO supabase_auth_admin;
ALTER TABLE auth.schema_migrations OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
GRANT ALL ON auth.users, auth.sessions TO lab_supabase;
GRANT ALL ON SEQUENCE auth.sessions_id_seq TO lab_supabase;

CREATE TABLE storage.buckets (id text PRIMARY KEY, public boolean DEFAULT false);
CREATE TABLE storage.objects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  bucket_id text REFERENCES storage.buckets, name text, touched int DEFAULT 0);
CREATE TABLE storage.migrations (id int PRIMARY KEY, name text);
INSERT INTO storage.migrations VALUES (0, 'create-migrations-table');
CREATE FUNCTION storage.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON storage.objects FOR EACH ROW EXECUTE FUNCTION storage.touch();
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets OWNER TO supabase_storage_admin;
ALTER TABLE storage.objects OWNER TO supabase_storage_admin;
ALTER TABLE storage.migrations OWNER TO supabase_storage_admin;
GRANT ALL ON storage.buckets, storage.objects TO lab_supabase WITH GRANT OPTION;
GRANT ALL ON storage.buckets, storage.objects TO anon, authenticated, service_role;

CREATE TABLE realtime.messages (id bigint, topic text);
CREATE TABLE vault.secrets (id int, secret text);
-- These two hold functions only.
CREATE FUNCTION graphql_public.graphql(query text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION pgbouncer.get_auth(name text) RETURNS text LANGUAGE sql AS $$ SELECT name $$;
CREATE FUNCTION extensions.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY pgrst; END $$;
ALTER FUNCTION extensions.watch() OWNER TO supabase_admin;
CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.watch();
ALTER EVENT TRIGGER pgrst_ddl_watch OWNER TO supabase_admin;
CREATE PUBLICATION supabase_realtime;
ALTER PUBLICATION supabase_realtime OWNER TO lab_supabase;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA auth GRANT ALL ON TABLES TO lab_supabase;
ALTER DEFAULT PRIVILEGES FOR ROLE lab_supabase IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
