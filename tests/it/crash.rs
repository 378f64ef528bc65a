//! A snapshot that is killed, wherever that happens, leaves nothing half done: what is committed is
//! whole and stays as it is, and the next run takes up what had arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drctl::integrity::history;
use drctl::integrity::seal::Keys;
use drctl::model::Digest;
use drctl::snapshot;
use drctl::store::fault::FaultyStore;
use drctl::store::{Condition, FileStore, MemoryStore, ObjectStore, keys};

use crate::lab::{self, Postgres};
use crate::taking::{
    self, contents, contents_with, database_now, database_now_with, objects, proven, proven_with,
    request,
};

/// Small, and with everything that a snapshot puts: parts of several ranges, deltas, lists, large
/// objects in the archive.
const SCHEMA: &str = "
CREATE TABLE a AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) AS v
  FROM generate_series(1, 1200) i;
CREATE TABLE b AS SELECT 'lonely' AS only;
CREATE TABLE empty (n int);
CREATE SEQUENCE s;
SELECT lo_from_bytea(0, 'large');
";

/// Touches one row in each range of `a`, and leaves `b` alone.
const CHANGE: &str = "UPDATE a SET v = 'changed' || id WHERE id % 500 = 1; \
                      INSERT INTO empty VALUES (1)";

type Objects = BTreeMap<String, Digest>;

/// Two stores that can be stopped, one for each region.
struct Stores {
    faulty: [FaultyStore; 2],
    all: Vec<Arc<dyn ObjectStore>>,
}

impl Stores {
    /// New ones, each with copies of the objects of `from`.
    async fn copied(from: &[Arc<dyn ObjectStore>]) -> Self {
        let mut faulty = Vec::new();
        for (i, name) in ["east", "west"].into_iter().enumerate() {
            let store = MemoryStore::new(name);
            if let Some(from) = from.get(i) {
                for (key, digest) in objects(&**from).await {
                    let bytes = from.get(&key).await.unwrap().bytes;
                    store.put_if(&key, bytes, digest, Condition::Absent).await.unwrap();
                }
            }
            faulty.push(FaultyStore::new(Arc::new(store)));
        }
        let all = faulty.iter().map(|s| Arc::new(s.clone()) as Arc<dyn ObjectStore>).collect();
        let Ok(faulty) = <[FaultyStore; 2]>::try_from(faulty) else { unreachable!() };
        Self { faulty, all }
    }

    async fn objects(&self) -> [Objects; 2] {
        [objects(&*self.all[0]).await, objects(&*self.all[1]).await]
    }
}

fn kept(before: &Objects, after: &Objects, when: &str) {
    for (key, digest) in before.iter().filter(|(key, _)| !key.starts_with("leases/")) {
        assert_eq!(after.get(key), Some(digest), "{key} was changed or removed {when}");
    }
}

/// The keys of the parts that the snapshots of a store need.
async fn needed(store: &dyn ObjectStore, with: &Keys) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for manifest in proven_with(store, with).await {
        for table in &manifest.tables {
            let list = history::read_list(store, &manifest, table).await.unwrap();
            let kept = manifest.kept();
            let bases = list.bases.iter().map(|b| b.name(kept));
            let names = list.parts.iter().map(|p| p.name(kept)).chain(bases);
            needed.extend(names.map(|n| keys::part_key(taking::NAME, &manifest.generation, n)));
        }
    }
    needed
}

/// Kills a snapshot at each act of each store in turn, counted in a run that is left alone, and
/// after each of them takes it anew.
async fn killed_everywhere(server: &Postgres, db: &str, from: &[Arc<dyn ObjectStore>]) {
    killed_everywhere_with(server, db, from, &Keys::default()).await;
}

/// As `killed_everywhere`, encrypting as these keys say. The key of a generation lies in a folder.
async fn killed_everywhere_with(
    server: &Postgres,
    db: &str,
    from: &[Arc<dyn ObjectStore>],
    with: &Keys,
) {
    let request = |stores: &[Arc<dyn ObjectStore>], folder: &lab::Folder| {
        let mut request = request(server, db, stores);
        request.keys = with.clone();
        if !with.access().recipients().is_empty() {
            request.config.cache_dir = Some(folder.path().to_owned());
        }
        request
    };
    let folder = lab::folder("crash");
    let whole = Stores::copied(from).await;
    snapshot::take(&request(&whole.all, &folder)).await.unwrap();
    let acts = whole.faulty.each_ref().map(FaultyStore::total);
    let full = [needed(&*whole.all[0], with).await, needed(&*whole.all[1], with).await];
    let mut taken_up = 0;
    for (which, acts) in acts.into_iter().enumerate() {
        for nth in 1..=acts {
            let stores = Stores::copied(from).await;
            let folder = lab::folder("crash");
            let before = stores.objects().await;
            let when = format!("by a kill at act {nth} of {acts} of {which}");
            let base = stores.faulty[which].total();
            let held = stores.faulty[which].hold(base + nth);
            let request_killed = request(&stores.all, &folder);
            tokio::select! {
                () = held.reached() => {}
                // Acts side by side come in another order each time, and may be fewer.
                done = snapshot::take(&request_killed) => { done.unwrap(); }
            }
            // Tasks end at their next await.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let left = stores.objects().await;
            for i in 0..2 {
                kept(&before[i], &left[i], &when);
                proven_with(&*stores.all[i], with).await;
            }

            stores.faulty[which].heal();
            let outcome = snapshot::take(&request(&stores.all, &folder)).await;
            let outcome = outcome.unwrap_or_else(|e| panic!("after a kill {when}: {e:?}"));
            let after = stores.objects().await;
            let now = database_now_with(&server.url(db), &outcome.manifest, with).await;
            for i in 0..2 {
                kept(&left[i], &after[i], &when);
                let store = &*stores.all[i];
                let snapshots = proven_with(store, with).await;
                assert_eq!(snapshots.last().map(|m| &m.id), Some(&outcome.manifest.id), "{when}");
                assert_eq!(contents_with(store, &outcome.manifest, with).await, now, "{when}");
                assert!(outcome.stores[i].complete, "{when}");
                // What the store gained is what was told; what had arrived is used, all of it.
                let mut gained = 0;
                let new = |key: &&String| !left[i].contains_key(*key) && *key != keys::marker();
                for key in after[i].keys().filter(new) {
                    gained += store.head(key, false).await.unwrap().unwrap().size;
                }
                assert_eq!(outcome.stores[i].new_bytes, gained, "{when}");
                let parts: BTreeSet<_> =
                    after[i].keys().filter(|k| k.contains("/parts/")).cloned().collect();
                assert_eq!(parts, needed(store, with).await, "left over {when}");
                assert_eq!(parts.len(), full[i].len(), "{when}");
                let arrived = left[i].keys().filter(|k| k.contains("/parts/")).count();
                let had = before[i].keys().filter(|k| k.contains("/parts/")).count();
                taken_up += arrived - had;
            }
        }
    }
    assert!(taken_up > 10, "hardly a part had arrived: {taken_up}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_snapshot_is_killed_at_every_act() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("crash");
    server.psql(&db, SCHEMA);
    killed_everywhere(server, &db, &[]).await;
}

/// Encrypting gives other bytes each time, so what had arrived must be taken as it is.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_snapshots_are_killed_at_every_act() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("crash");
    server.psql(&db, SCHEMA);
    let with = crate::encryption::keys(&age::x25519::Identity::generate());
    killed_everywhere_with(server, &db, &[], &with).await;
    let first = Stores::copied(&[]).await;
    let request =
        drctl::snapshot::Request { keys: with.clone(), ..request(server, &db, &first.all) };
    snapshot::take(&request).await.unwrap();
    server.psql(&db, CHANGE);
    killed_everywhere_with(server, &db, &first.all, &with).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_snapshot_is_killed_at_every_act() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("crash");
    server.psql(&db, SCHEMA);
    let first = Stores::copied(&[]).await;
    snapshot::take(&request(server, &db, &first.all)).await.unwrap();
    server.psql(&db, CHANGE);
    killed_everywhere(server, &db, &first.all).await;
}

/// The west store has missed a snapshot, and what it lacks comes from the east one.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fills_a_gap_is_killed_at_every_act() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("crash");
    server.psql(&db, SCHEMA);
    let stores = Stores::copied(&[]).await;
    snapshot::take(&request(server, &db, &stores.all)).await.unwrap();
    server.psql(&db, CHANGE);
    stores.faulty[1].lose_after(stores.faulty[1].total());
    let outcome = snapshot::take(&request(server, &db, &stores.all)).await.unwrap();
    assert!(outcome.stores[0].complete && !outcome.stores[1].complete);
    stores.faulty[1].heal();
    server.psql(&db, "UPDATE a SET v = 'again' WHERE id = 1");
    killed_everywhere(server, &db, &stores.all).await;
}

/// The whole process, by `kill -9`, at moments all over its run.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_killed_at_many_moments() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("crash");
    server.psql(&db, SCHEMA);
    let home = lab::folder("crash");
    let stores = ["east", "west"];
    let config = taking::config_file(&home, server, &db, &stores, "");
    let stores = stores.map(|name| FileStore::new(name, "local", &home.join(name)));
    let command = || {
        let mut command = lab::drctl(home.path());
        command.args(["snapshot", taking::NAME, "--json", "--config"]).arg(&config);
        command
    };
    let begun = Instant::now();
    lab::run(&mut command()).expect(0);
    let whole = begun.elapsed();
    let mut killed = 0;
    for round in 0..12u32 {
        server.psql(&db, "UPDATE a SET v = md5(v) WHERE id % 400 = 7");
        let before = [objects(&stores[0]).await, objects(&stores[1]).await];
        let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(whole * (round + 1) / 13).await;
        let _ = child.kill();
        killed += u32::from(child.wait().unwrap().code().is_none());
        for (store, before) in stores.iter().zip(&before) {
            kept(before, &objects(store).await, "by a kill of the process");
            proven(store).await;
        }
        if round % 4 == 3 {
            let ran = lab::run(&mut command()).expect(0).result();
            for (store, told) in stores.iter().zip(ran["stores"].as_array().unwrap()) {
                assert_eq!(told["complete"], true);
                let snapshots = proven(store).await;
                let newest = snapshots.last().unwrap();
                assert_eq!(ran["id"], newest.id.as_str());
                let now = database_now(&server.url(&db), newest).await;
                assert_eq!(contents(store, newest).await, now);
            }
        }
    }
    assert!(killed >= 6, "only {killed} of 12 runs were killed before they ended");
}
