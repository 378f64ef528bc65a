//! What is particular to folders: leftovers, full disks, odd files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;

use super::super::{Condition, conformance};
use super::*;

fn new() -> (tempfile::TempDir, FileStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::new("east", "local", &dir.path().join("root"));
    (dir, store)
}

async fn put(store: &FileStore, key: &str, bytes: &'static [u8]) -> Result<Put> {
    store.put_if(key, Bytes::from_static(bytes), Digest::of(bytes), Condition::Absent).await
}

fn leftovers(store: &FileStore) -> usize {
    fs::read_dir(store.tree.root.join(TEMP))
        .map(|dir| dir.flatten().filter(|e| e.file_name() != "lock").count())
        .unwrap_or(0)
}

#[tokio::test]
async fn the_file_store_conforms() {
    let (_dir, store) = new();
    let store = Arc::new(store);
    conformance::check(store.clone(), 12 << 20).await.unwrap();
    assert_eq!(leftovers(&store), 0);
}

#[tokio::test]
async fn two_stores_over_one_folder_hold_to_create_only() {
    // Two processes have nothing in common but the folder, as these two have.
    let (_dir, one) = new();
    let two = FileStore::new("east", "local", &one.tree.root);
    for round in 0..50 {
        let key = format!("a/{round}/x");
        let (a, b) = tokio::join!(put(&one, &key, b"one"), put(&two, &key, b"two"));
        let won = [a.unwrap(), b.unwrap()].iter().filter(|p| **p != Put::Refused).count();
        assert_eq!(won, 1, "{key}");
    }
}

#[tokio::test]
async fn keys_that_leave_the_root_are_refused() {
    let (_dir, store) = new();
    for key in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", ".tmp/x", "a\0b"] {
        let e = put(&store, key, b"x").await.unwrap_err();
        assert_eq!(e.class, Class::Permanent, "{key}");
        assert!(store.get(key).await.is_err(), "{key}");
        assert!(store.delete(&[key.to_owned()]).await.is_err() || !store.tree.root.exists());
    }
    assert!(!store.tree.root.exists(), "nothing was made");
    put(&store, "a/.tmp/x", b"only the root's .tmp is special").await.unwrap();
}

#[tokio::test]
async fn removal_and_creation_side_by_side_lose_nothing() {
    let (_dir, store) = new();
    put(&store, "d/e/first", b"x").await.unwrap();
    let removing = async {
        for _ in 0..200 {
            let keys = ["d/e/first".to_owned(), "d/e/gone".to_owned()];
            store.delete(&keys).await.unwrap();
        }
    };
    let creating = async {
        for _ in 0..200 {
            put(&store, "d/e/gone", b"y").await.unwrap();
        }
        put(&store, "d/e/stays", b"z").await.unwrap();
    };
    tokio::join!(removing, creating);
    assert_eq!(store.get("d/e/stays").await.unwrap().bytes, "z");
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_after_a_day() {
    let (_dir, store) = new();
    let temp = store.tree.root.join(TEMP);
    fs::create_dir_all(&temp).unwrap();
    for (name, hours) in [("put-old", 25), ("put-new", 23), ("lock", 25)] {
        let file = fs::File::create(temp.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    }
    put(&store, "a", b"x").await.unwrap();
    assert!(!temp.join("put-old").exists());
    assert!(temp.join("put-new").exists() && temp.join("lock").exists());
    let keys: Vec<_> = store.list("").map_ok(|o| o.key).try_collect().await.unwrap();
    assert_eq!(keys, ["a"]);
    for outside in [".tmp/", "../", "/", "a/../"] {
        assert_eq!(store.list(outside).try_collect::<Vec<_>>().await.unwrap(), [], "{outside}");
        assert!(store.list_dirs(outside).await.unwrap().is_empty(), "{outside}");
    }
}

/// Real full disks are the end-to-end tests' business: they need a file system of their own.
#[test]
fn a_full_disk_is_said() {
    let e = failure::write_failure(Path::new("/x"), rustix::io::Errno::NOSPC.into());
    assert_eq!(e.class, Class::Permanent);
    assert!(e.hint.unwrap().contains("disk is full"));
    let e = failure::write_failure(Path::new("/x"), rustix::io::Errno::NOENT.into());
    assert_eq!(e.class, Class::Permanent, "a write never says that the object is missing");
}

#[tokio::test]
async fn files_are_not_readable_by_all_and_free_space_is_known_before_the_root_is() {
    let (_dir, store) = new();
    assert!(store.free_bytes().unwrap() > 0);
    put(&store, "a/b", b"x").await.unwrap();
    let mode = |path: &str| fs::metadata(store.tree.root.join(path)).unwrap().permissions().mode();
    assert_eq!(mode("a/b") & 0o007, 0);
    assert_eq!(mode("a") & 0o007, 0);
    let drift = (store.now().await.unwrap() - Utc::now()).num_seconds().abs();
    assert!(drift < 5, "{drift}");
}

#[tokio::test]
async fn a_file_that_is_not_as_promised_is_refused_and_leaves_nothing() {
    let (dir, store) = new();
    let file = dir.path().join("f");
    fs::write(&file, b"content").unwrap();
    let sha256 = Digest::of(b"content");
    let e = store.put_file_new("k", &file, 8, sha256).await.unwrap_err();
    assert_eq!(e.class, Class::Corrupt);
    let e = store.put_file_new("k", &file, 7, Digest::of(b"other")).await.unwrap_err();
    assert_eq!(e.class, Class::Corrupt);
    assert_eq!(store.head("k", false).await.unwrap(), None);
    assert_eq!(leftovers(&store), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_place_where_no_folder_can_be_made_is_an_error() {
    let store = FileStore::new("east", "local", std::path::Path::new("/proc/drctl/dr"));
    let e = put(&store, "a/b/k", b"x").await.unwrap_err();
    assert_eq!(e.class, Class::Permanent);
    assert!(e.hint.unwrap().contains("mounted"));
    assert_eq!(store.now().await.unwrap_err().class, Class::Permanent);
}

#[tokio::test]
async fn what_is_no_folder_is_no_empty_store() {
    let (_dir, store) = new();
    assert_eq!(store.head("a/b", false).await.unwrap(), None, "a store that nobody wrote to yet");
    fs::write(&store.tree.root, "").unwrap();
    let mut seen = Vec::new();
    seen.push(store.head("a/b", false).await.unwrap_err());
    seen.push(store.get("a/b").await.unwrap_err());
    seen.push(store.list("a/").try_next().await.unwrap_err());
    seen.push(store.list_dirs("").await.unwrap_err());
    for e in seen {
        assert_eq!(e.class, Class::Permanent, "{e:?}");
        assert!(e.hint.is_some(), "{e:?}");
    }
}
