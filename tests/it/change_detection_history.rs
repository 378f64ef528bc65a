//! Random histories of a database: what a step does, and a generator that a seed decides.

/// Who runs a statement: the session that commits at once, or one of those whose transactions stay
/// open across snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Main,
    Long(usize),
}

/// How many sessions keep transactions open.
pub const LONG: usize = 2;

/// One thing that happens. Statements may fail (a lock that is not had, a table that is gone):
/// then their transaction is rolled back, which is history as well.
#[derive(Debug, Clone)]
pub enum Act {
    Sql(Who, String),
    /// The server is stopped and started.
    Restart,
    /// A backend is killed, and the postmaster restarts all others and replays its log.
    Crash,
    /// A standby takes over that has missed what the primary did in the end.
    Promote,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(Who::Main, sql) => write!(f, "{sql};"),
            Self::Sql(Who::Long(n), sql) => write!(f, "/* session {n} */ {sql};"),
            Self::Restart => f.write_str("-- restart the server"),
            Self::Crash => f.write_str("-- kill -9 a backend, wait for recovery"),
            Self::Promote => f.write_str("-- promote the standby and go on there"),
        }
    }
}

/// What the histories begin with. `h.quiet` is left alone by all of them, and the heap of `h.moods`.
pub const SCHEMA: &str = "
CREATE SCHEMA h;
CREATE TYPE h.mood AS ENUM ('fine', 'poor', 'ill');
CREATE FUNCTION h.text(bigint) RETURNS text IMMUTABLE LANGUAGE sql
  AS $$ SELECT repeat(md5($1::text), 1 + ($1 % 7)::int) $$;
CREATE TABLE h.quiet (id int PRIMARY KEY, v text);
CREATE TABLE h.moods (id int, e h.mood);
CREATE TABLE h.a (id bigint PRIMARY KEY, n int, v text, e h.mood DEFAULT 'fine')
  WITH (fillfactor = 70);
CREATE INDEX ON h.a (n);
CREATE TABLE h.b (id bigint, n int, v varchar(4000), e h.mood DEFAULT 'fine');
CREATE UNIQUE INDEX b_id ON h.b (id);
CREATE TABLE h.p (id bigint PRIMARY KEY, n int, v text, e h.mood DEFAULT 'fine')
  PARTITION BY RANGE (id);
CREATE TABLE h.p0 PARTITION OF h.p FOR VALUES FROM (MINVALUE) TO (500);
CREATE TABLE h.p1 PARTITION OF h.p FOR VALUES FROM (500) TO (1000000);
CREATE TABLE h.p2 PARTITION OF h.p DEFAULT;
INSERT INTO h.quiet SELECT i, h.text(i) FROM generate_series(1, 1500) i;
INSERT INTO h.moods SELECT i, 'fine' FROM generate_series(1, 2000) i;
INSERT INTO h.a SELECT i, i, h.text(i) FROM generate_series(1, 1500) i;
INSERT INTO h.b SELECT i, i, h.text(i) FROM generate_series(1, 1500) i;
INSERT INTO h.p SELECT i, i, h.text(i) FROM generate_series(1, 900) i;
-- Values that no row holds until it is written anew.
ALTER TABLE h.a ADD COLUMN c0 text DEFAULT 'fast';
ALTER TABLE h.b ADD COLUMN c0 text DEFAULT 'fast';
ALTER TABLE h.p ADD COLUMN c0 text DEFAULT 'fast';
";

/// Numbers that a seed decides (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Makes one act after another.
pub struct Generator {
    random: Random,
    /// The next number for names and ids.
    next: u64,
    open: [bool; LONG],
    prepared: Vec<String>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), next: 2000, open: [false; LONG], prepared: Vec::new() }
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn table(&mut self) -> &'static str {
        self.random.of(&["h.a", "h.a", "h.b", "h.b", "h.p"])
    }

    fn leaf(&mut self) -> &'static str {
        self.random.of(&["h.a", "h.a", "h.b", "h.b", "h.p0", "h.p1"])
    }

    /// Some rows: one, a few or many.
    fn some(&mut self) -> String {
        let from = self.below(1600);
        let many = [1, 1, 7, 60, 700][self.below(5) as usize];
        format!("id BETWEEN {from} AND {}", from + many - 1)
    }

    /// A statement that changes rows.
    fn change(&mut self) -> String {
        let (table, rows) = (self.table(), self.some());
        let number = self.number();
        let mood = self.random.of(&["fine", "poor", "ill"]);
        match self.below(12) {
            0..3 => {
                let many = [1, 10, 200][self.below(3) as usize];
                self.next += many;
                format!(
                    "INSERT INTO {table} (id, n, v) SELECT i, i, h.text(i) \
                     FROM generate_series({number}, {}) i",
                    number + many
                )
            }
            // Without an index on it, and with room in the page: a HOT update.
            3..5 => format!("UPDATE {table} SET v = h.text({number} + id) WHERE {rows}"),
            5 => format!("UPDATE {table} SET n = n + 1 WHERE {rows}"),
            6 => format!("UPDATE {table} SET v = v WHERE {rows}"),
            7 => format!("UPDATE {table} SET e = '{mood}' WHERE {rows}"),
            8..10 => format!("DELETE FROM {table} WHERE {rows}"),
            10 => format!(
                "INSERT INTO {table} (id, n, v) VALUES ({}, 1, 'x') \
                 ON CONFLICT (id) DO UPDATE SET v = excluded.v || {number}",
                self.below(1500)
            ),
            // Out of line, beside the heap.
            _ => format!(
                "UPDATE {table} SET v = (SELECT left(string_agg(md5((id + i)::text), ''), 3999) \
                 FROM generate_series(1, 150) i) WHERE id = {}",
                self.below(1500)
            ),
        }
    }

    /// A statement that locks rows and changes none.
    fn lock_rows(&mut self) -> String {
        let how = self.random.of(&["UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"]);
        let (table, rows) = (self.table(), self.some());
        format!("SELECT id FROM {table} WHERE {rows} FOR {how}")
    }

    /// Changes, in savepoints and out of them.
    fn body(&mut self) -> String {
        let mut body = Vec::new();
        for i in 0..1 + self.below(3) {
            match self.below(4) {
                0 => body.push(self.change()),
                1 => body.push(self.lock_rows()),
                2 => {
                    let end = self.random.of(&["ROLLBACK TO", "RELEASE"]);
                    body.push(format!("SAVEPOINT s{i}; {}; {end} s{i}", self.change()));
                }
                _ => {
                    // More subtransactions than a backend's entry in shared memory holds (64).
                    let (table, from) = (self.table(), self.below(1500));
                    let number = self.number();
                    body.push(format!(
                        "DO $$ BEGIN FOR i IN {from}..{from} + 80 LOOP BEGIN \
                         UPDATE {table} SET v = h.text({number}) WHERE id = i; \
                         IF i % 3 = 0 THEN RAISE 'no'; END IF; \
                         EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$"
                    ));
                }
            }
        }
        body.join("; ")
    }

    /// The next act. The rare ones are those that take long.
    pub fn act(&mut self) -> Act {
        let who = Who::Main;
        let sql = match self.below(100) {
            0..18 => self.change(),
            18..24 => {
                let end = self.random.of(&["COMMIT", "COMMIT", "ROLLBACK"]);
                format!("BEGIN; {}; {end}", self.body())
            }
            24..28 => {
                let body = self.body();
                let name = format!("p{}", self.number());
                self.prepared.push(name.clone());
                format!("BEGIN; {body}; PREPARE TRANSACTION '{name}'")
            }
            28..32 if !self.prepared.is_empty() => {
                let i = self.below(self.prepared.len() as u64) as usize;
                let end = self.random.of(&["COMMIT", "COMMIT", "ROLLBACK"]);
                format!("{end} PREPARED '{}'", self.prepared.swap_remove(i))
            }
            28..45 => return self.long(),
            45..50 => format!("VACUUM {}", self.leaf()),
            50..54 => format!("VACUUM (FREEZE) {}", self.leaf()),
            54..57 => format!("VACUUM FULL {}", self.leaf()),
            57..59 => {
                self.random.of(&["CLUSTER h.a USING a_pkey", "CLUSTER h.b USING b_id"]).into()
            }
            59..63 => self.again(),
            63..66 => self.truncate(),
            66..73 => self.columns(),
            73..81 => self.types(),
            81..85 => format!("BEGIN; {}; COMMIT", self.lock_rows()),
            85..90 => self.partitions(),
            90..94 => self.relations(),
            94..97 => return Act::Crash,
            97..99 => return Act::Restart,
            _ => "CHECKPOINT".to_owned(),
        };
        Act::Sql(who, sql)
    }

    /// A step of a transaction that stays open: it begins, does more, or ends.
    fn long(&mut self) -> Act {
        let i = self.below(LONG as u64) as usize;
        let sql = match (self.open[i], self.below(5)) {
            (false, kind) => {
                self.open[i] = true;
                let level =
                    self.random.of(&["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"]);
                // With an id long before its first change, or with its first change.
                let first = match kind {
                    0 => "SELECT pg_current_xact_id()".to_owned(),
                    _ => self.body(),
                };
                format!("BEGIN ISOLATION LEVEL {level}; {first}")
            }
            (true, 0..3) => self.body(),
            (true, _) => {
                self.open[i] = false;
                self.random.of(&["COMMIT", "COMMIT", "ROLLBACK"]).to_owned()
            }
        };
        Act::Sql(Who::Long(i), sql)
    }

    /// All rows anew, the same as before.
    fn again(&mut self) -> String {
        let leaf = self.leaf();
        let away = self.random.of(&["DELETE FROM", "TRUNCATE"]);
        let order = self.random.of(&["ctid", "id", "random()"]);
        format!(
            "BEGIN; CREATE TEMP TABLE keep ON COMMIT DROP AS SELECT * FROM {leaf} ORDER BY {order}; \
             {away} {leaf}; INSERT INTO {leaf} SELECT * FROM keep; COMMIT"
        )
    }

    fn truncate(&mut self) -> String {
        let leaf = self.random.of(&["h.a", "h.b"]);
        let (from, end) = (self.number(), self.random.of(&["COMMIT", "COMMIT", "ROLLBACK"]));
        self.next += 300;
        match self.below(3) {
            0 => format!("TRUNCATE {leaf}"),
            1 => format!(
                "BEGIN; TRUNCATE {leaf}; INSERT INTO {leaf} (id, v) \
                 SELECT i, h.text(i) FROM generate_series({from}, {from} + 250) i; {end}"
            ),
            // Frozen from the start.
            _ => format!(
                "BEGIN; TRUNCATE {leaf}; \
                 COPY {leaf} (id) FROM PROGRAM 'seq {from} {}' (FREEZE); {end}",
                from + 250
            ),
        }
    }

    fn columns(&mut self) -> String {
        let table = self.table();
        let column = format!("c{}", self.below(2));
        let number = self.number();
        match self.below(8) {
            0 => format!("ALTER TABLE {table} ADD COLUMN {column} text DEFAULT 'fast {number}'"),
            1 => format!("ALTER TABLE {table} ADD COLUMN {column} int"),
            2 => format!("ALTER TABLE {table} ADD COLUMN {column} float DEFAULT random()"),
            3 => format!("ALTER TABLE {table} DROP COLUMN {column}"),
            4 => format!("ALTER TABLE {table} RENAME COLUMN {column} TO r{number}"),
            _ => format!(
                "ALTER TABLE {table} DROP COLUMN IF EXISTS {column}, \
                 ADD COLUMN {column} text DEFAULT 'other {number}'"
            ),
        }
    }

    fn types(&mut self) -> String {
        let table = self.table();
        let number = self.number();
        match self.below(9) {
            // The labels that the changes use come back by the second of a pair.
            0 | 7 => format!("ALTER TYPE h.mood RENAME VALUE 'fine' TO 'fine{number}'"),
            1 => format!("ALTER TYPE h.mood ADD VALUE IF NOT EXISTS 'mood{number}' BEFORE 'poor'"),
            2 | 8 => "DO $$ DECLARE l text; BEGIN SELECT enumlabel INTO l FROM pg_enum \
                  WHERE enumlabel ~ '^fine.'; EXECUTE format('ALTER TYPE h.mood RENAME VALUE %L \
                  TO ''fine''', l); END $$"
                .to_owned(),
            // Without a rewrite.
            3 => format!("ALTER TABLE {table} ALTER COLUMN v TYPE text"),
            // With one.
            4 => format!("ALTER TABLE {table} ALTER COLUMN n TYPE bigint"),
            5 => format!("ALTER TABLE {table} ALTER COLUMN n TYPE int USING n::int"),
            _ => format!("ALTER TABLE {table} ALTER COLUMN v TYPE varchar(5000)"),
        }
    }

    fn partitions(&mut self) -> String {
        match self.below(4) {
            0 | 1 => format!("UPDATE h.p SET id = id + 1000 WHERE {}", self.some()),
            2 => "UPDATE h.p SET id = id - 1000 WHERE id BETWEEN 1000 AND 1499".to_owned(),
            _ => "BEGIN; ALTER TABLE h.p DETACH PARTITION h.p0; ALTER TABLE h.p ATTACH PARTITION \
                  h.p0 FOR VALUES FROM (MINVALUE) TO (500); COMMIT"
                .to_owned(),
        }
    }

    /// Tables that take the place, or the storage, of others.
    fn relations(&mut self) -> String {
        let leaf = self.random.of(&["h.a", "h.b"]);
        match self.below(4) {
            0 => "BEGIN; ALTER TABLE h.a RENAME TO x; ALTER TABLE h.b RENAME TO a; \
                  ALTER TABLE h.x RENAME TO b; COMMIT"
                .to_owned(),
            1 => format!(
                "BEGIN; CREATE TABLE h.x (LIKE {leaf} INCLUDING ALL); \
                 INSERT INTO h.x SELECT * FROM {leaf} ORDER BY ctid; DROP TABLE {leaf}; \
                 ALTER TABLE h.x RENAME TO {}; COMMIT",
                &leaf[2..]
            ),
            2 => format!("ALTER TABLE {leaf} SET UNLOGGED"),
            _ => format!("ALTER TABLE {leaf} SET LOGGED"),
        }
    }

    /// All connections are gone, and their transactions with them.
    pub fn connections_lost(&mut self) {
        self.open = [false; LONG];
    }
}
