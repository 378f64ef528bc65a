//! A file store on a disk that is really full: a small file system of the test's own.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use drctl::model::Digest;
use drctl::store::{Class, Condition, FileStore, ObjectStore, Put};

const NAME: &str = "store::full_disk::a_full_disk_is_said_and_leaves_nothing";
const DISK: &str = "DRCTL_TEST_SMALL_DISK";

/// Runs itself again where a disk of 4 MiB is mounted: in a mount namespace, which the kernel takes
/// away with the process.
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    if let Some(disk) = std::env::var_os(DISK) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        return runtime.block_on(fill(Path::new(&disk)));
    }
    let dir = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(DISK, dir.path())
        .output()
        .expect("unshare (util-linux) must be installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

async fn fill(disk: &Path) {
    let store = FileStore::new("east", "local", disk);
    assert!(store.free_bytes().unwrap() <= 4 << 20);
    let bytes = Bytes::from(vec![7; 3 << 20]);
    let sha256 = Digest::of(&bytes);
    let put = async |key: &str| store.put_if(key, bytes.clone(), sha256, Condition::Absent).await;
    assert!(matches!(put("a/first").await.unwrap(), Put::Written(_)));
    let e = put("a/second").await.unwrap_err();
    assert_eq!(e.class, Class::Permanent);
    assert!(e.hint.unwrap().contains("disk is full"));
    let file = super::file_of(&bytes).await;
    let e = store.put_file_new("a/third", file.path(), 3 << 20, sha256).await.unwrap_err();
    assert_eq!(e.class, Class::Permanent);
    // Nothing half-written is there, nor takes up room.
    assert_eq!(store.head("a/second", false).await.unwrap(), None);
    assert!(std::fs::read_dir(disk.join(".tmp")).unwrap().next().is_none());
    assert!(store.free_bytes().unwrap() > 900 << 10);
    let small = Bytes::from_static(b"still fits");
    let digest = Digest::of(&small);
    store.put_if("a/small", small, digest, Condition::Absent).await.unwrap();
    assert_eq!(store.get("a/first").await.unwrap().bytes, bytes);
}
