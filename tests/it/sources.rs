//! Sources of every kind: standbys, roles that may only read, providers' databases, odd encodings,
//! many tables, and what the configuration leaves out.

use serde_json::Value;

use crate::fingerprint::{assert_same, fingerprint};
use crate::home::Home;
use crate::lab::{Postgres, Version, shared_pg15, sql_file, unique};

/// Restores into a new database of `server` and compares.
#[track_caller]
fn comes_back(home: &Home, from: (&Postgres, &str), server: &Postgres) -> String {
    let copy = unique("copy");
    let to = server.url(&copy);
    let roles = ["--roles", "create"];
    let done =
        home.json(&[&["restore", "petforce", "--to", &to, "--create"], &roles[..]].concat(), 0);
    assert_eq!(done["proof"], "equal");
    assert_same(&fingerprint(from.0, from.1), &fingerprint(server, &copy));
    copy
}

/// `what` and `reason` of what a snapshot leaves out.
fn left_out(home: &Home) -> Vec<String> {
    let shown = home.json(&["show", "latest"], 0);
    let lines: Vec<String> = shown["manifest"]["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| format!("{}: {}", l["what"].as_str().unwrap(), l["reason"].as_str().unwrap()))
        .collect();
    let text = home.run(&["show", "latest"], 0).stdout;
    assert!(lines.iter().all(|line| text.contains(line)), "{lines:#?} in {text}");
    lines
}

#[track_caller]
fn has(lines: &[String], pieces: &[&str]) {
    let one = lines.iter().any(|line| pieces.iter().all(|piece| line.contains(piece)));
    assert!(one, "no line with {pieces:?} in {lines:#?}");
}

/// The tables that the next snapshot would probe for change instead of read.
fn probed(home: &Home) -> u64 {
    let preview = home.json(&["snapshot", "petforce", "--dry-run"], 0);
    let tables = preview["tables"].as_array().unwrap();
    tables.iter().filter(|t| t["probed"] == true).count() as u64
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn a_standby() {
    let primary = Postgres::start(Version::V15);
    primary.create_db("clinic");
    primary.load_petforce("clinic", 400);
    primary.psql("clinic", "CREATE UNLOGGED TABLE visitors AS SELECT generate_series(1, 9) AS n");
    let standby = Postgres::standby_of(&primary);
    standby.catch_up(&primary);
    let home = Home::local(&standby.url("clinic"), "");
    home.json(&["doctor"], 0);
    home.snapshot();
    let lines = left_out(&home);
    has(&lines, &["rows of public.visitors", "a standby does not have its rows"]);
    let text = home.run(&["show", "latest"], 0).stdout;
    assert!(text.contains("standby, database clinic"), "{text}");
    // Its ranges are probed as a primary's are, since its history is known.
    assert_eq!(probed(&home), 8);
    primary.psql(
        "clinic",
        "UPDATE petforce.owners SET phone = '1' WHERE id = 5; DELETE FROM petforce.records WHERE ctid = '(0,1)'",
    );
    standby.catch_up(&primary);
    let next = home.json(&["snapshot", "petforce"], 0);
    assert!(count(&next["new_parts"]) <= 2, "{next}");
    home.json(&["verify", "--depth", "content"], 0);
    primary.psql("clinic", "TRUNCATE visitors");
    comes_back(&home, (&primary, "clinic"), &primary);
    // A restore into the standby itself is refused.
    let ran = home.run(&["restore", "petforce", "--to", &standby.url("x"), "--create"], 2);
    assert!(ran.stderr.contains("is a standby"), "{}", ran.stderr);
    // On another timeline nothing is taken for unchanged.
    primary.stop();
    standby.promote();
    assert_eq!(probed(&home), 0);
    home.snapshot();
    comes_back(&home, (&standby, "clinic"), &standby);
}

#[test]
fn a_role_that_may_only_read() {
    let server = shared_pg15();
    let db = server.fresh_db("readonly");
    server.load_petforce(&db, 300);
    let role = unique("reader");
    server.psql(&db, &format!("CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}"));
    let url = server.url(&db).replace("postgres@", &format!("{role}@"));
    let home = Home::local(&url, "");
    home.json(&["doctor"], 0);
    home.snapshot();
    assert_eq!(probed(&home), 8);
    let next = home.json(&["snapshot", "petforce"], 0);
    assert_eq!(next["new_parts"], 0);
    comes_back(&home, (server, &db), server);

    // And one that may not: everything is named before anything starts.
    server.psql(&db, &format!("REVOKE pg_read_all_data FROM {role}"));
    let ran = home.run(&["snapshot", "petforce"], 1);
    assert!(
        ran.stderr.contains("petforce.owners") && ran.stderr.contains("petforce.records"),
        "{}",
        ran.stderr
    );
}

/// A project with a customer's rows in it.
fn supabase_project(server: &Postgres, db: &str) {
    server.create_db(db);
    server.load(db, &sql_file("supabase.sql"), &[]);
}

const CUSTOMER: &str = "
    INSERT INTO auth.users (email) SELECT 'user' || i || '@example.org' FROM generate_series(1, 200) i;
    INSERT INTO auth.sessions (user_id) SELECT id FROM auth.users LIMIT 50;
    INSERT INTO storage.buckets VALUES ('avatars', true);
    INSERT INTO storage.objects (bucket_id, name) SELECT 'avatars', i || '.png' FROM generate_series(1, 30) i;
    INSERT INTO vault.secrets VALUES (1, 'sealed');
    INSERT INTO realtime.messages VALUES (1, 'room');
    CREATE POLICY own_files ON storage.objects FOR SELECT USING (name = auth.uid()::text);
    SET ROLE lab_supabase;
    CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, name text);
    INSERT INTO public.profiles SELECT id, split_part(email, '@', 1) FROM auth.users;
    ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.profiles USING (id = auth.uid());
    CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN INSERT INTO public.profiles VALUES (NEW.id, NEW.email); RETURN NEW; END';
    CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
      FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
    ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles;";

#[test]
fn a_project_at_supabase() {
    let server = Postgres::start(Version::V15);
    supabase_project(&server, "one");
    server.psql("one", CUSTOMER);
    let as_customer = |db: &str| server.url(db).replace("postgres@", "lab_supabase@");
    let home = Home::local(&as_customer("one"), "profile = \"supabase\"");
    home.json(&["doctor"], 0);
    home.snapshot();
    let lines = left_out(&home);
    for schema in ["vault", "realtime", "graphql_public", "pgbouncer"] {
        has(&lines, &[&format!("schema {schema}: profile `supabase`")]);
    }
    has(&lines, &["rows of auth.schema_migrations", "migration record"]);

    // A server of one's own gets the whole of what was taken.
    let plain = shared_pg15();
    let to = plain.url("from_supabase");
    let restore = ["restore", "petforce", "--to", &to, "--create"];
    let ran = home.run(&restore, 2);
    assert!(ran.stderr.contains("supabase_auth_admin"), "{}", ran.stderr);
    let done = home.json(&[&restore[..], &["--roles", "create"]].concat(), 0);
    assert_eq!(done["proof"], "equal");
    let rows = "SELECT (SELECT count(*) FROM auth.users), (SELECT count(*) FROM profiles JOIN auth.users USING (id)),
                       (SELECT count(*) FROM storage.objects), (SELECT count(*) FROM auth.schema_migrations)";
    assert_eq!(plain.psql("from_supabase", rows), "200|200|30|0");
    let schemas = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|info)'";
    assert_eq!(plain.psql("from_supabase", schemas), "auth extensions public storage");

    // A second project has the provider's schemas and migrations already.
    supabase_project(&server, "two");
    let to = as_customer("two");
    let done = home.json(&["restore", "petforce", "--to", &to], 0);
    assert_eq!(done["proof"], "equal");
    assert_eq!(server.psql("two", rows), "200|200|30|2");
    let skipped = done["skipped"].to_string();
    assert!(
        skipped.contains("CREATE TABLE auth.users") && skipped.contains("own_files"),
        "{skipped}"
    );
    // What the customer made is there, and works.
    let made = "SELECT count(*) FROM pg_trigger WHERE tgname = 'on_auth_user_created';
                SELECT count(*) FROM pg_policies WHERE policyname = 'own';
                SELECT string_agg(tablename, ' ') FROM pg_publication_tables;
                SELECT max(touched) FROM storage.objects;
                INSERT INTO auth.users (email) VALUES ('new@example.org');
                SELECT count(*) FROM profiles;
                INSERT INTO auth.sessions (user_id) SELECT id FROM auth.users LIMIT 1 RETURNING id;";
    assert_eq!(server.psql("two", made), "1\n1\nprofiles\n1\n201\n51");
}

#[test]
fn a_database_at_rds() {
    let server = shared_pg15();
    let db = server.fresh_db("rds");
    server.load_petforce(&db, 200);
    let master = unique("master");
    server.psql(
        &db,
        &format!(
            "CREATE SCHEMA rdsadmin; CREATE TABLE rdsadmin.heartbeat AS SELECT now() AS at;
             CREATE ROLE {master} LOGIN CREATEDB CREATEROLE;
             GRANT USAGE ON SCHEMA petforce TO {master};
             GRANT SELECT ON ALL TABLES IN SCHEMA petforce TO {master};
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA petforce TO {master};"
        ),
    );
    let url = server.url(&db).replace("postgres@", &format!("{master}@"));
    let home = Home::local(&url, "");
    let ran = home.run(&["snapshot", "petforce"], 1);
    assert!(ran.stderr.contains("rdsadmin.heartbeat"), "{}", ran.stderr);
    home.write(&url, "profile = \"rds\"");
    home.snapshot();
    has(&left_out(&home), &["schema rdsadmin: profile `rds`"]);
    server.psql(&db, "DROP SCHEMA rdsadmin CASCADE");
    comes_back(&home, (server, &db), server);
}

#[test]
fn what_the_configuration_leaves_out() {
    let server = shared_pg15();
    let db = server.fresh_db("excluded");
    server.psql(
        &db,
        "CREATE SCHEMA scratch_a; CREATE TABLE scratch_a.t AS SELECT 1 AS n;
         CREATE SCHEMA scratch_b; CREATE FUNCTION scratch_b.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE TYPE scratch_b.mood AS ENUM ('sad');
         CREATE SCHEMA lab_settings; CREATE EXTENSION lab_settings; COMMENT ON EXTENSION lab_settings IS 'x';
         CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2);
         CREATE TABLE tmp_one (id int); CREATE TABLE \"tmp_Two \"\"odd\"\"\" (id int);
         CREATE TABLE sessions (id bigserial PRIMARY KEY, token text);
         INSERT INTO sessions (token) SELECT md5(i::text) FROM generate_series(1, 100) i;
         CREATE TABLE logs (at int, line text) PARTITION BY RANGE (at);
         CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10);
         CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM (10) TO (20);
         INSERT INTO logs SELECT i, 'x' FROM generate_series(0, 19) i;",
    );
    let home = Home::local(
        &server.url(&db),
        "exclude_schemas = [\"scratch_*\", \"lab_*\"]\nexclude_tables = [\"public.tmp_*\"]\n\
         exclude_table_data = [\"public.sessions\", \"public.logs_1\"]",
    );
    home.snapshot();
    let lines = left_out(&home);
    has(&lines, &["schema scratch_a: exclude_schemas has `scratch_*`"]);
    has(&lines, &["schema scratch_b: exclude_schemas has `scratch_*`"]);
    has(&lines, &["public.tmp_one: exclude_tables"]);
    has(&lines, &["public.tmp_Two \"odd\": exclude_tables"]);
    has(&lines, &["rows of public.sessions: exclude_table_data", "the definition is taken"]);
    assert_eq!(lines.len(), 7, "{lines:#?}");
    server.psql(
        &db,
        "DROP SCHEMA scratch_a, scratch_b, lab_settings CASCADE; DROP TABLE tmp_one, \"tmp_Two \"\"odd\"\"\"; TRUNCATE sessions, logs_1",
    );
    comes_back(&home, (server, &db), server);
}

#[test]
fn rows_in_binary() {
    let server = shared_pg15();
    let db = server.fresh_db("binary");
    server.load_petforce(&db, 3000);
    let home = Home::local(&server.url(&db), "format = \"binary\"\npart_size = \"1MiB\"");
    home.snapshot();
    for hour in 0..2 {
        server.psql(
            &db,
            &format!("UPDATE petforce.events SET kind = 'hour {hour}' WHERE id % 90 = {hour}"),
        );
        home.snapshot();
    }
    assert!(!home.east.keys_with(".on.").is_empty());
    home.json(&["verify", "--snapshot", "all", "--depth", "content"], 0);
    let text = home.run(&["show", "latest"], 0).stdout;
    assert!(text.contains("as COPY binary"), "{text}");
    comes_back(&home, (server, &db), server);
    // Text again: a new generation, for parts of two formats do not mix.
    let before = home.json(&["list"], 0)["snapshots"][2]["snapshot"]["generation"].clone();
    home.write(&server.url(&db), "");
    let text = home.json(&["snapshot", "petforce"], 0);
    assert_ne!(text["generation"], before);
    home.json(&["verify", "--snapshot", "all", "--depth", "content"], 0);
}

#[test]
fn encodings_other_than_utf8() {
    let server = shared_pg15();
    for (encoding, rows) in [
        ("SQL_ASCII", r"(E'caf\xe9'), (E'\xff\xfe'), (E'\xc3\xa4\t\\')"),
        ("LATIN1", r"(E'caf\xe9'), (E'\xc4\xd6\xdc'), (E'\xa0\t\\')"),
    ] {
        let db = unique("encoding");
        server.psql(
            "postgres",
            &format!("CREATE DATABASE {db} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"),
        );
        let fill = format!(
            "SET client_encoding = '{encoding}'; CREATE TABLE t (body text); INSERT INTO t VALUES {rows};
             COMMENT ON TABLE t IS E'caf\\xe9'"
        );
        server.psql(&db, &fill);
        let home = Home::local(&server.url(&db), "");
        home.snapshot();
        home.json(&["verify", "--depth", "content"], 0);
        let copy = comes_back(&home, (server, &db), server);
        let bytes = "SELECT current_setting('server_encoding'), string_agg(encode(convert_to(body, 'SQL_ASCII'), 'hex'), ' ' ORDER BY ctid),
                            encode(convert_to(obj_description('t'::regclass), 'SQL_ASCII'), 'hex') FROM t";
        let seen = server.psql(&copy, bytes);
        assert_eq!(seen, server.psql(&db, bytes));
        assert!(seen.starts_with(&format!("{encoding}|636166e9 ")), "{seen}");
    }
}

#[test]
fn five_hundred_small_tables() {
    let server = shared_pg15();
    let db = server.fresh_db("many");
    server.psql(
        &db,
        "DO $$ BEGIN FOR i IN 1..500 LOOP
           EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, body text)', i);
           EXECUTE format('INSERT INTO t%s SELECT n, md5(n::text || %s) FROM generate_series(1, 5) n', i, i);
         END LOOP; END $$",
    );
    let home = Home::local(&server.url(&db), "");
    let first = home.json(&["snapshot", "petforce"], 0);
    assert_eq!((count(&first["tables"]), count(&first["rows"])), (500, 2500));
    server.psql(&db, "UPDATE t77 SET body = 'changed' WHERE id = 3");
    let next = home.json(&["snapshot", "petforce"], 0);
    assert_eq!(next["new_parts"], 1);
    home.json(&["verify", "--depth", "content"], 0);
    comes_back(&home, (server, &db), server);
}

#[test]
fn with_a_cache_deltas_need_no_download() {
    let server = shared_pg15();
    let delta_after_loss = |more: &str| {
        let db = server.fresh_db("cached");
        server.psql(
            &db,
            "CREATE TABLE t AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 20000) i",
        );
        let home = Home::local(&server.url(&db), more);
        home.snapshot();
        // The base is nowhere but in the cache.
        let base = home.east.keys_with("/parts/").remove(0);
        let bytes = home.east.get(&base);
        home.east.delete(&base);
        home.west.delete(&base);
        server.psql(&db, "UPDATE t SET body = 'x' WHERE id % 200 = 0");
        let ran = home.json(&["snapshot", "petforce"], 0);
        (home.east.keys_with(".on.").len(), ran, home, base, bytes, db)
    };
    let (deltas, ran, home, base, bytes, db) = delta_after_loss("cache_dir = \"cache\"");
    assert_eq!(deltas, 1, "{ran}");
    assert!(count(&ran["new_bytes"]) < 100_000, "{ran}");
    home.east.put(&base, &bytes);
    comes_back(&home, (server, &db), server);
    // Without the cache the base is not to be had, and the rows are stored plain.
    let (deltas, ..) = delta_after_loss("");
    assert_eq!(deltas, 0);
}

#[test]
fn what_refers_to_something_left_out_is_told_and_restored_without() {
    let server = shared_pg15();
    let db = server.fresh_db("referring");
    server.psql(
        &db,
        "CREATE TABLE owners (id int PRIMARY KEY); INSERT INTO owners VALUES (1);
         CREATE TABLE logs (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10);
         INSERT INTO logs VALUES (1, 1);
         CREATE TABLE \"Sessions\" (id int PRIMARY KEY); INSERT INTO \"Sessions\" VALUES (7);
         CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES owners, session int REFERENCES \"Sessions\",
                            log int, at int, FOREIGN KEY (log, at) REFERENCES logs);
         INSERT INTO pets VALUES (1, 1, 7, NULL, NULL), (2, 1, NULL, 1, 1);
         CREATE TABLE toys (pet int REFERENCES pets); INSERT INTO toys VALUES (1);
         CREATE VIEW tidy AS SELECT 1 AS n; CREATE FUNCTION tidy() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    let more = "exclude_tables = [\"public.owners\"]\n\
                exclude_table_data = [\"public.Sessions\", \"public.logs_1\"]";
    let home = Home::local(&server.url(&db), more);
    let expected = [
        "foreign key pets_log_at_fkey of public.pets refers to public.logs_1, whose rows are left out",
        "foreign key pets_owner_fkey of public.pets refers to public.owners, which is left out",
        "foreign key pets_session_fkey of public.pets refers to public.Sessions, whose rows are left out",
    ];
    let doctor = home.json(&["doctor"], 0);
    let preview = home.json(&["snapshot", "petforce", "--dry-run"], 0);
    let first = home.run(&["snapshot", "petforce"], 0);
    let findings = doctor["findings"].as_array().unwrap().iter();
    let told: Vec<String> = findings
        .filter(|f| f["severity"] == "warning")
        .map(|f| f["what"].as_str().unwrap().to_owned())
        .collect();
    let warnings: Vec<String> = serde_json::from_value(preview["warnings"].clone()).unwrap();
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    for line in expected {
        has(&told, &[line]);
        has(&warnings, &[line]);
        assert!(first.stderr.contains(line), "{}", first.stderr);
    }
    server.psql(
        &db,
        "CREATE VIEW all_owners AS SELECT * FROM owners; CREATE TABLE good_owners () INHERITS (owners);
         CREATE FUNCTION odd(owners[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    let preview = home.json(&["snapshot", "petforce", "--dry-run"], 0);
    let warnings: Vec<String> = serde_json::from_value(preview["warnings"].clone()).unwrap();
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    for begin in ["view public.all_owners", "table public.good_owners", "function public.odd"] {
        has(&warnings, &[begin, "public.owners, which is left out", "and fails"]);
    }
    server.psql(&db, "DROP FUNCTION odd; DROP TABLE good_owners; DROP VIEW all_owners");
    // Once in a generation, and not every hour.
    let second = home.run(&["snapshot", "petforce"], 0);
    assert!(!second.stderr.contains("foreign key"), "{}", second.stderr);

    // The key to a partition's rows is not known by name at restore, so it fails there, and says so.
    let to = format!("{db}_back");
    let restore = ["restore", "petforce", "--create", "--to", &server.url(&to)];
    let failed = home.run(&restore, 1);
    assert!(failed.stderr.contains("pets_log_at_fkey"), "{}", failed.stderr);
    server.psql(&db, "ALTER TABLE pets DROP CONSTRAINT pets_log_at_fkey");
    home.snapshot();
    let done = home.json(&restore, 0);
    assert_eq!(done["proof"], "equal");
    let skipped = done["skipped"].to_string();
    assert!(
        skipped.contains("pets_owner_fkey") && skipped.contains("pets_session_fkey"),
        "{skipped}"
    );
    let keys = "SELECT string_agg(conname, ' ') FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(server.psql(&to, keys), "toys_pet_fkey");
    assert_eq!(server.psql(&to, "SELECT count(*) FROM pets"), "2");
}
