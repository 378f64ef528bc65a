//! Each condition of change detection by a history in which it alone stands between a changed range
//! and its being kept: without it, one of these fails.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use drctl::config::ChangeDetection;
use drctl::integrity::history;
use drctl::model::{Manifest, PartList};
use drctl::snapshot::{self, Outcome, Ranges};
use drctl::store::{MemoryStore, ObjectStore};

use crate::change_detection::rows_of;
use crate::lab::{Postgres, Version, shared_pg15};
use crate::taking::{NAME, proven, request};

/// A thousand rows of one length in `t`, the highest first, in blocks that are half full; eight
/// ranges or more.
const TABLE: &str = "CREATE TYPE mood AS ENUM ('fine', 'ill');
    CREATE TABLE t (id int PRIMARY KEY, e mood, v text) WITH (autovacuum_enabled = off, fillfactor = 50);
    INSERT INTO t SELECT i, 'fine', rpad(i::text, 500, 'x') FROM generate_series(1000, 1, -1) i";

/// A database whose snapshots are taken by probing.
struct Probed<'s> {
    server: &'s Postgres,
    db: String,
    store: Arc<dyn ObjectStore>,
}

impl<'s> Probed<'s> {
    async fn new(server: &'s Postgres) -> Self {
        let db = server.fresh_db("condition");
        server.psql(&db, TABLE);
        // As long as older transactions run, in whatever database, rows count as young.
        let settled = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > \
                       max(xmin::text::bigint) FROM t";
        while server.psql(&db, settled) != "t" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let it = Self { server, db, store: Arc::new(MemoryStore::new("probing")) };
        it.take().await;
        it
    }

    /// Runs statements once no snapshot is open any more that would hold locks or old row versions.
    async fn run(&self, sql: &str) {
        let open = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        while self.server.psql(&self.db, open) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.server.psql(&self.db, sql);
    }

    async fn take(&self) -> (Manifest, Ranges) {
        let Outcome { manifest, ranges, .. } =
            snapshot::take(&request(self.server, &self.db, &[Arc::clone(&self.store)]))
                .await
                .unwrap();
        (manifest, ranges[0].1)
    }

    /// Takes a further snapshot and compares it with one that reads everything. Gives how much was
    /// read and kept of `t`.
    #[track_caller]
    fn compared(&self) -> impl Future<Output = Ranges> {
        let at = std::panic::Location::caller();
        async move {
            let (probed, ranges) = self.take().await;
            let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("reading"));
            let mut by_reading = request(self.server, &self.db, &[Arc::clone(&store)]);
            by_reading.config.change_detection = ChangeDetection::Read;
            let read = snapshot::take(&by_reading).await.unwrap().manifest;
            let (a, b) = (list(&*self.store, &probed).await, list(&*store, &read).await);
            assert!(rows_of(a) == rows_of(b), "{at}: probing missed a change");
            proven(&*self.store).await;
            let generations = history::generations(&*self.store, NAME).await.unwrap();
            assert_eq!(generations.len(), 1);
            ranges
        }
    }
}

async fn list(store: &dyn ObjectStore, manifest: &Manifest) -> PartList {
    history::read_list(store, manifest, &manifest.tables[0]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn young_row_versions() {
    let it = Probed::new(shared_pg15()).await;
    let ranges = it.compared().await;
    assert!(ranges.kept >= 8 && ranges.read == 0, "{ranges:?}");
    // As many rows as before in each block: there is room for the new version beside the old one.
    it.run("UPDATE t SET e = 'ill' WHERE id = 500").await;
    let ranges = it.compared().await;
    assert_eq!(ranges.read, 1, "{ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_rows() {
    let it = Probed::new(shared_pg15()).await;
    it.run("DELETE FROM t WHERE id = 500").await;
    let ranges = it.compared().await;
    assert_eq!(ranges.read, 1, "{ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn relfilenodes() {
    let it = Probed::new(shared_pg15()).await;
    // The same row versions in another order, as many in each block.
    it.run("CLUSTER t USING t_pkey").await;
    assert_eq!(it.compared().await.kept, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions() {
    let it = Probed::new(shared_pg15()).await;
    it.run("ALTER TYPE mood RENAME VALUE 'fine' TO 'well'").await;
    assert_eq!(it.compared().await.kept, 0);
    it.run("ALTER TABLE t ADD COLUMN more text DEFAULT 'fast'").await;
    assert_eq!(it.compared().await.kept, 0);
    it.run("ALTER TABLE t DROP COLUMN more, ADD COLUMN more text DEFAULT 'other'").await;
    assert_eq!(it.compared().await.kept, 0);
}

/// A volume that was copied and put back has the identifiers of its server and gives the same
/// transaction ids again, to other transactions.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_were_put_back() {
    let server = Postgres::start(Version::V15);
    let it = Probed::new(&server).await;
    let volume = server.data_dir();
    let copy = volume.with_extension("copy");
    let change = |v: &str| {
        let burn = "SELECT pg_current_xact_id();\n".repeat(20);
        server.psql(&it.db, &format!("UPDATE t SET v = rpad('{v}', 500) WHERE id = 1;\n{burn}"));
    };
    server.stop();
    copy_folder(&volume, &copy);
    server.start_again();
    change("lost");
    it.compared().await;
    let unchanged = it.compared().await;
    assert_eq!(unchanged.read, 0, "{unchanged:?}");

    server.stop();
    std::fs::remove_dir_all(&volume).unwrap();
    copy_folder(&copy, &volume);
    std::fs::remove_dir_all(&copy).unwrap();
    server.start_again();
    change("kept");
    assert_eq!(it.compared().await.kept, 0);
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
