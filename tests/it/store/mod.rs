//! The S3 store against moto, and against a server that misbehaves.

mod faults;
mod full_disk;
pub mod moto;
mod rude;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drctl::config::{Secret, StoreConfig, StoreUrl};
use drctl::model::Digest;
use drctl::store::mirror::{Copied, How, copy_object};
use drctl::store::{
    Condition, Holder, Lease, ObjectStore, Patience, Put, Result, Retrying, S3Store, conformance,
    keys, open_with,
};
use moto::Moto;

const PIECE: u64 = 5 << 20;
const BIG: u64 = 2 * PIECE + 12_345;

pub fn config(endpoint: &str, bucket: &str) -> StoreConfig {
    StoreConfig {
        name: bucket.to_owned(),
        url: StoreUrl::S3 { bucket: bucket.to_owned(), prefix: "dr".to_owned() },
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        path_style: true,
        sse: None,
        object_lock: None,
        patience: std::time::Duration::from_mins(2),
        is_replica: false,
        storage_class: None,
        aws_profile: None,
        access_key_id: Some(Secret::new("test")),
        secret_access_key: Some(Secret::new("test")),
    }
}

async fn connect(config: &StoreConfig) -> Arc<S3Store> {
    Arc::new(S3Store::connect(config).await.unwrap().in_pieces_of(PIECE))
}

async fn put(store: &dyn ObjectStore, key: &str, bytes: &'static [u8]) -> Result<Put> {
    let absent = Condition::Absent;
    store.put_if(key, Bytes::from_static(bytes), Digest::of(bytes), absent).await
}

/// Everything that needs nothing but two empty stores at one S3 endpoint.
async fn suite(stores: &[StoreConfig; 2]) {
    let east = connect(&stores[0]).await;
    let west = connect(&stores[1]).await;
    conformance::check(east.clone(), BIG).await.unwrap();
    // moto's answer to the completion of an upload is none that the SDK can read, and its parts that
    // are copied have no checksums: what was written is found out as after a lost answer.
    let west = Arc::new(Retrying::new(west, Patience::brief()));
    conformance::check_copies(east.clone(), west, BIG).await.unwrap();
    multipart_has_no_whole_digest(&east).await;
    leases_hold(&east).await;
    mirrors_copy_within(stores).await;
    multipart_of_wrong_bytes_leaves_nothing(&east).await;
}

#[tokio::test]
async fn s3_conforms() {
    let moto = Moto::start();
    let endpoint = moto.endpoint();
    moto::make_bucket(&endpoint, "east");
    moto::make_bucket(&endpoint, "west");
    suite(&["east", "west"].map(|bucket| config(&endpoint, bucket))).await;
    a_missing_bucket_is_no_missing_object(&endpoint).await;
    other_accounts_are_not_copied_within(&endpoint).await;
}

/// The same suite against any service that speaks S3; docs/configuration.md says what it needs.
///
///     DRCTL_S3_BUCKETS=one,another DRCTL_S3_ENDPOINT=https://s3.example.com \
///     AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… \
///     cargo test --test it -- --ignored an_endpoint_of_your_own_conforms
///
/// Without `DRCTL_S3_ENDPOINT` it is AWS itself. Both buckets must be there. All objects lie below a
/// prefix of their own, which it prints and leaves.
#[tokio::test]
#[ignore = "needs DRCTL_S3_BUCKETS, and DRCTL_S3_ENDPOINT where it is not AWS"]
async fn an_endpoint_of_your_own_conforms() {
    let given = |name| std::env::var(name).ok();
    let buckets =
        given("DRCTL_S3_BUCKETS").expect("DRCTL_S3_BUCKETS names two buckets: one,another");
    let (one, another) = buckets.split_once(',').expect("two buckets, with a comma between them");
    let prefix = format!("drctl-conformance-{:08x}", drctl::app::random().unwrap());
    eprintln!("all objects are below {prefix}/ in {one} and {another}");
    suite(&[one, another].map(|bucket| {
        let endpoint = given("DRCTL_S3_ENDPOINT");
        StoreConfig {
            url: StoreUrl::S3 { bucket: bucket.to_owned(), prefix: prefix.clone() },
            region: given("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
            path_style: endpoint.is_some(),
            endpoint,
            // The usual chain of credentials: these variables, a profile, a role.
            access_key_id: None,
            secret_access_key: None,
            ..config("", bucket)
        }
    }))
    .await;
}

async fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    tokio::fs::write(file.path(), bytes).await.unwrap();
    file
}

async fn multipart_has_no_whole_digest(store: &S3Store) {
    let bytes = vec![7; BIG as usize];
    let file = file_of(&bytes).await;
    let put = store.put_file_new("composite", file.path(), BIG, Digest::of(&bytes)).await.unwrap();
    assert!(matches!(put, Put::Written(_)));
    let meta = store.head("composite", true).await.unwrap().unwrap();
    assert_eq!((meta.size, meta.sha256), (BIG, None), "a digest of digests is none of the bytes");
}

async fn multipart_of_wrong_bytes_leaves_nothing(store: &S3Store) {
    let file = file_of(&vec![7; BIG as usize]).await;
    let wrong = Digest::of(b"other");
    let e = store.put_file_new("wrong-parts", file.path(), BIG, wrong).await.unwrap_err();
    assert_eq!(e.class, drctl::store::Class::Corrupt);
    assert_eq!(store.head("wrong-parts", false).await.unwrap(), None);
}

async fn leases_hold(store: &Arc<S3Store>) {
    let holder = |pid| Holder {
        process: None,
        host: "db1".to_owned(),
        pid,
        user: "ops".to_owned(),
        purpose: "take a snapshot".to_owned(),
    };
    let ttl = Duration::from_secs(2);
    let tries = (0..4).map(|pid| Lease::acquire(store.clone(), "snapshot", holder(pid), ttl));
    let mut won = Vec::new();
    for attempt in futures_util::future::join_all(tries).await {
        match attempt {
            Ok(lease) => won.push(lease),
            Err(e) => assert_eq!(e.kind(), drctl::error::Kind::LeaseHeld, "{e:?}"),
        }
    }
    let [lease] = <[Lease; 1]>::try_from(won).unwrap();
    tokio::time::sleep(ttl * 2).await;
    assert!(lease.is_held(), "it is renewed");
    drop(lease);
    let began = std::time::Instant::now();
    let next = loop {
        match Lease::acquire(store.clone(), "snapshot", holder(9), ttl).await {
            Ok(lease) => break lease,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    assert!(began.elapsed() < Duration::from_secs(20), "one that died is taken over");
    assert_eq!(next.fence(), 2);
    next.release().await.unwrap();
}

async fn mirrors_copy_within(stores: &[StoreConfig; 2]) {
    let east = open_with(&stores[0], Patience::brief()).await.unwrap();
    let west = open_with(&stores[1], Patience::brief()).await.unwrap();
    put(&*east, "mirrored", b"bytes").await.unwrap();
    let sha256 = Digest::of(b"bytes");
    let first = copy_object(&*east, &*west, "mirrored", 5, sha256).await.unwrap();
    assert_eq!(first, Copied { bytes: 5, how: How::Within });
    let second = copy_object(&*east, &*west, "mirrored", 5, sha256).await.unwrap();
    assert_eq!(second, Copied { bytes: 0, how: How::Present });
}

async fn a_missing_bucket_is_no_missing_object(endpoint: &str) {
    let store = connect(&config(endpoint, "nowhere")).await;
    let e = store.head("x", false).await.unwrap_err();
    assert_eq!(e.class, drctl::store::Class::Permanent);
    assert!(e.hint.unwrap().contains("bucket is not there"));
    assert!(put(&*store, "x", b"x").await.unwrap_err().hint.unwrap().contains("bucket"));
    assert!(store.list_dirs("").await.unwrap_err().hint.unwrap().contains("bucket"));
    assert!(store.now().await.unwrap_err().hint.unwrap().contains("bucket"));
    assert!(store.get("x").await.unwrap_err().hint.unwrap().contains("bucket"));
}

async fn other_accounts_are_not_copied_within(endpoint: &str) {
    let east = connect(&config(endpoint, "east")).await;
    let other = StoreConfig {
        access_key_id: Some(Secret::new("somebody-else")),
        ..config(endpoint, "west")
    };
    let other = connect(&other).await;
    put(&*east, "account", b"x").await.unwrap();
    let copied = other.copy_within(&*east, "account", 1, Digest::of(b"x")).await.unwrap();
    assert_eq!(copied, None);
}

#[tokio::test]
async fn what_is_sent_is_what_s3_compatible_stores_understand() {
    let moto = Moto::start();
    moto::make_bucket(&moto.endpoint(), "east");
    let rude = rude::Rude::start(moto.address).await;
    let config = StoreConfig {
        sse: Some(drctl::config::Sse::Kms { key: Some("alias/dr".to_owned()) }),
        object_lock: Some(Duration::from_secs(30 * 86400)),
        storage_class: Some("STANDARD_IA".to_owned()),
        ..config(&rude.endpoint, "east")
    };
    let store = connect(&config).await;
    let generation = "g20261122T134512Z-3f9a1c".parse().unwrap();
    let digest = Digest::of(b"rows");
    let name = drctl::model::PartName { digest, base: None, kept: drctl::model::Kept::Open };
    let part = keys::part_key("petforce", &generation, name);
    rude.next([]);
    // moto does not know the lock of a bucket without one, so only the request counts.
    let _ = put(&*store, &part, b"rows").await;
    let _ = put(&*store, &keys::lease_key("snapshot"), b"{}").await;
    let file = file_of(b"rows").await;
    let _ = store.put_file_new("from-file", file.path(), 4, digest).await;
    let [part, lease, from_file] = <[String; 3]>::try_from(rude.heads()).unwrap();
    assert!(part.contains("\r\nif-none-match: *\r\n"), "{part}");
    assert!(part.contains("\r\nx-amz-storage-class: standard_ia\r\n"), "{part}");
    assert!(part.contains("\r\nx-amz-server-side-encryption: aws:kms\r\n"), "{part}");
    assert!(part.contains("\r\nx-amz-server-side-encryption-aws-kms-key-id: alias/dr"), "{part}");
    assert!(part.contains("\r\nx-amz-object-lock-mode: governance\r\n"), "{part}");
    assert!(part.contains("\r\nx-amz-object-lock-retain-until-date: "), "{part}");
    assert!(!lease.contains("object-lock") && !lease.contains("storage-class"), "{lease}");
    for head in [&part, &lease, &from_file] {
        assert!(head.contains("\r\nx-amz-checksum-sha256: "), "{head}");
        assert!(!head.contains("aws-chunked") && !head.contains("trailer"), "{head}");
        assert!(!head.contains("crc32"), "{head}");
    }
    for head in [&part, &from_file] {
        // Signed over the real digest, from a file too.
        assert!(head.contains(&format!("\r\nx-amz-content-sha256: {digest}\r\n")), "{head}");
        assert!(head.contains("\r\ncontent-length: 4\r\n"), "{head}");
    }
}
