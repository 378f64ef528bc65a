//! What every store must do, as checks that any store can be put through.
//!
//! The library's tests run them over `file`, memory and S3; none may be skipped for one of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::port::{Class, Condition, Etag, ObjectStore, Put, Result, StoreError};
use crate::model::Digest;

/// Passed, or what was wrong.
pub type Verdict = std::result::Result<(), String>;

type Store = Arc<dyn ObjectStore>;

macro_rules! expect {
    ($holds:expr, $($otherwise:tt)+) => {
        if !$holds {
            return Err(format!($($otherwise)+));
        }
    };
}

/// Puts an empty store through every check. `big`: bytes of the largest file written, which should
/// need a multipart upload where the store has such a thing.
pub async fn check(store: Store, big: u64) -> Verdict {
    let said = |name: &'static str| move |e: String| format!("{name}: {e}");
    create_only(&store).await.map_err(said("create-only"))?;
    many_creators(&store).await.map_err(said("many creators"))?;
    replace(&store).await.map_err(said("replace"))?;
    wrong_digest(&store).await.map_err(said("wrong digest"))?;
    missing(&store).await.map_err(said("missing objects"))?;
    heads(&store).await.map_err(said("head"))?;
    odd_keys(&store).await.map_err(said("odd keys"))?;
    listing(&store).await.map_err(said("listing"))?;
    folders(&store).await.map_err(said("folders"))?;
    removal(&store).await.map_err(said("removal"))?;
    files(&store, big).await.map_err(said("files"))?;
    clock(&store).await.map_err(said("clock"))
}

/// Checks `copy_within` from one store to another at the same endpoint; `big` as in `check`.
pub async fn check_copies(from: Store, to: Store, big: u64) -> Verdict {
    for size in [0, 1000, big] {
        let key = format!("copies/{size}");
        let bytes = sample(size, 7);
        let sha256 = Digest::of(&bytes);
        put_file(&from, &key, &bytes, sha256).await?;
        let copy = || async { to.copy_within(&*from, &key, size, sha256).await.map_err(told) };
        let first = copy().await?;
        expect!(matches!(first, Some(Put::Written(_))), "a copy of {size} bytes: {first:?}");
        expect!(read(&to, &key).await? == bytes, "a copy of {size} bytes has other bytes");
        let second = copy().await?;
        expect!(second == Some(Put::Refused), "a second copy of {size} bytes: {second:?}");
    }
    put(&to, "copies/taken", b"there first").await?;
    put(&from, "copies/taken", b"later").await?;
    let copied = to.copy_within(&*from, "copies/taken", 5, Digest::of(b"later")).await;
    let copied = copied.map_err(told)?;
    expect!(copied == Some(Put::Refused), "a copy over another object: {copied:?}");
    expect!(read(&to, "copies/taken").await? == "there first", "a copy replaced an object");
    match to.copy_within(&*from, "copies/none", 5, Digest::of(b"none!")).await {
        Err(e) if e.class == Class::NotFound => Ok(()),
        other => Err(format!("a copy of a missing object: {other:?}")),
    }
}

fn told(e: StoreError) -> String {
    let cause = e.source.as_ref().map(|s| format!(": {s}")).unwrap_or_default();
    format!("{} ({:?}){cause}", e.what, e.class)
}

/// `size` bytes that differ by `seed` and do not repeat soon.
fn sample(size: u64, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = BytesMut::with_capacity(size as usize + 8);
    while (bytes.len() as u64) < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size as usize);
    bytes.freeze()
}

async fn put(store: &Store, key: &str, bytes: &[u8]) -> std::result::Result<Put, String> {
    let (sha256, bytes) = (Digest::of(bytes), Bytes::copy_from_slice(bytes));
    store.put_if(key, bytes, sha256, Condition::Absent).await.map_err(told)
}

async fn put_at(
    store: &Store,
    key: &str,
    bytes: &[u8],
    etag: &Etag,
) -> std::result::Result<Put, String> {
    let (sha256, bytes) = (Digest::of(bytes), Bytes::copy_from_slice(bytes));
    store.put_if(key, bytes, sha256, Condition::Matches(etag.clone())).await.map_err(told)
}

async fn put_file(
    store: &Store,
    key: &str,
    bytes: &[u8],
    sha256: Digest,
) -> std::result::Result<Put, String> {
    let mut file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    file.write_all(bytes).map_err(|e| e.to_string())?;
    let put = store.put_file_new(key, file.path(), bytes.len() as u64, sha256).await;
    put.map_err(told)
}

async fn read(store: &Store, key: &str) -> std::result::Result<Bytes, String> {
    store.get(key).await.map(|o| o.bytes).map_err(told)
}

fn class<T: std::fmt::Debug>(result: Result<T>) -> std::result::Result<Class, String> {
    match result {
        Err(e) => Ok(e.class),
        Ok(value) => Err(format!("there should have been an error, not {value:?}")),
    }
}

async fn create_only(store: &Store) -> Verdict {
    let first = put(store, "create/x", b"first").await?;
    expect!(matches!(first, Put::Written(_)), "the first put: {first:?}");
    let second = put(store, "create/x", b"second").await?;
    expect!(second == Put::Refused, "the second put: {second:?}");
    let same = put(store, "create/x", b"first").await?;
    expect!(same == Put::Refused, "the same bytes again: {same:?}");
    let empty = put(store, "create/empty", b"").await?;
    expect!(matches!(empty, Put::Written(_)), "an empty object: {empty:?}");
    expect!(read(store, "create/empty").await?.is_empty(), "an empty object has bytes");
    expect!(read(store, "create/x").await? == "first", "the first bytes did not stay");
    Ok(())
}

async fn many_creators(store: &Store) -> Verdict {
    for round in 0..5 {
        let key = &format!("race/{round}");
        let tries = (0..8u8).map(|i| async move { (i, put(store, key, &[i; 100]).await) });
        let ended: Vec<_> = stream::iter(tries).buffer_unordered(8).collect().await;
        let mut winners = Vec::new();
        for (i, put) in ended {
            match put? {
                Put::Written(_) => winners.push(i),
                Put::Refused => {}
            }
        }
        let [winner] = winners[..] else {
            return Err(format!("of 8 creators these won: {winners:?}"));
        };
        let bytes = read(store, key).await?;
        expect!(bytes == [winner; 100][..], "the winner's bytes are not there");
    }
    Ok(())
}

async fn replace(store: &Store) -> Verdict {
    let Put::Written(first) = put(store, "replace/x", b"1").await? else {
        return Err("it was there already".to_owned());
    };
    let seen = store.head("replace/x", false).await.map_err(told)?.map(|m| m.etag);
    expect!(seen.as_ref() == Some(&first), "head gives etag {seen:?}, put gave {first:?}");
    let Put::Written(second) = put_at(store, "replace/x", b"2", &first).await? else {
        return Err("a put at the present version was refused".to_owned());
    };
    expect!(first != second, "the etag did not change with the content");
    let stale = put_at(store, "replace/x", b"3", &first).await?;
    expect!(stale == Put::Refused, "a put at a stale version: {stale:?}");
    let got = store.get("replace/x").await.map_err(told)?;
    expect!(got.bytes == "2" && got.etag == second, "not what was written last: {got:?}");
    let missing = put_at(store, "replace/none", b"x", &second).await?;
    expect!(missing == Put::Refused, "a put at a version of a missing object: {missing:?}");
    let none = store.head("replace/none", false).await.map_err(told)?;
    expect!(none.is_none(), "a refused put made an object");
    let etag = &second;
    let tries = (0..6u8).map(|i| async move { put_at(store, "replace/x", &[i; 9], etag).await });
    let ended: Vec<_> = stream::iter(tries).buffer_unordered(6).try_collect().await?;
    let won = ended.iter().filter(|put| **put != Put::Refused).count();
    expect!(won == 1, "of 6 writers at one version {won} won");
    Ok(())
}

async fn wrong_digest(store: &Store) -> Verdict {
    let sha256 = Digest::of(b"promised");
    let put = store.put_if("wrong/x", Bytes::from_static(b"sent"), sha256, Condition::Absent).await;
    let found = class(put)?;
    expect!(found == Class::Corrupt, "the class is {found:?}");
    let there = store.head("wrong/x", false).await.map_err(told)?;
    expect!(there.is_none(), "the object was written");
    match put_file(store, "wrong/y", b"sent", sha256).await {
        Err(e) if e.contains("Corrupt") => {}
        other => return Err(format!("from a file: {other:?}")),
    }
    let there = store.head("wrong/y", false).await.map_err(told)?;
    expect!(there.is_none(), "the object was written from a file");
    Ok(())
}

async fn missing(store: &Store) -> Verdict {
    let head = store.head("missing/x", true).await.map_err(told)?;
    expect!(head.is_none(), "head of a missing object: {head:?}");
    let found = class(store.get("missing/x").await)?;
    expect!(found == Class::NotFound, "get of a missing object: {found:?}");
    let streamed = match store.get_stream("missing/x").await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await,
        Err(e) => Err(e),
    };
    let found = class(streamed)?;
    expect!(found == Class::NotFound, "get_stream of a missing object: {found:?}");
    Ok(())
}

async fn heads(store: &Store) -> Verdict {
    let bytes = sample(300_000, 1);
    put(store, "head/x", &bytes).await?;
    let meta = store.head("head/x", true).await.map_err(told)?.ok_or("it is not there")?;
    expect!(meta.size == 300_000, "size {}", meta.size);
    expect!(meta.sha256 == Some(Digest::of(&bytes)), "SHA-256 {:?}", meta.sha256);
    let got = store.get("head/x").await.map_err(told)?;
    expect!(got.bytes == bytes, "other bytes came back");
    expect!(got.etag == meta.etag, "get and head give different etags");
    let apart = (got.last_modified - meta.last_modified).num_milliseconds().abs();
    expect!(apart < 1000, "get and head give times {apart} ms apart");
    Ok(())
}

async fn odd_keys(store: &Store) -> Verdict {
    let keys = [
        "odd/a b",
        "odd/a+b",
        "odd/a%2Fb",
        "odd/a&b=c",
        "odd/quote'\"",
        "odd/ümläut",
        "odd/日本",
        "odd/~t(1)!*",
        "odd/.hidden",
        "odd/a..b",
        "odd/semi;colon,at@hash#q?",
        "odd/tick`$x",
    ];
    for key in keys {
        let written = put(store, key, key.as_bytes()).await?;
        expect!(matches!(written, Put::Written(_)), "{key}: {written:?}");
        expect!(read(store, key).await? == key.as_bytes(), "{key}: other bytes came back");
    }
    let expected: BTreeSet<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    let listed = list(store, "odd/").await?;
    expect!(listed.iter().eq(expected.iter()), "listed: {listed:?}");
    store.delete(&listed).await.map_err(told)?;
    let left = list(store, "odd/").await?;
    expect!(left.is_empty(), "left after removal: {left:?}");
    Ok(())
}

async fn list(store: &Store, prefix: &str) -> std::result::Result<Vec<String>, String> {
    store.list(prefix).map_ok(|o| o.key).try_collect().await.map_err(told)
}

async fn listing(store: &Store) -> Verdict {
    // More than one page, and keys whose order is not that of a folder walk.
    let mut keys: BTreeSet<String> =
        (0..1010).map(|i| format!("many/{:02}/{i:04}", i % 7)).collect();
    keys.extend(["many-x", "many/00-x", "many/00.x", "many/000", "manyx/y"].map(str::to_owned));
    let writes = keys.iter().map(|key| async move { put(store, key, b"xyz").await });
    stream::iter(writes).buffer_unordered(16).try_collect::<Vec<_>>().await?;
    for prefix in ["many", "many/", "many/0", "many/00", "many/00/", "many/00/0007", "many/zz"] {
        let listed = list(store, prefix).await?;
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        let (found, wanted) = (listed.len(), expected.len());
        expect!(
            listed.iter().eq(expected),
            "`{prefix}` gives {found} of {wanted} or another order"
        );
    }
    let one: Vec<_> = store.list("many-x").try_collect().await.map_err(told)?;
    expect!(one.len() == 1 && one[0].size == 3, "{one:?}");
    // A listing that is not drawn to its end must end too.
    let few: Vec<_> = store.list("many/").take(3).try_collect().await.map_err(told)?;
    expect!(few.len() == 3, "{few:?}");
    let keys: Vec<_> = keys.into_iter().collect();
    store.delete(&keys).await.map_err(told)?;
    let left = list(store, "many").await?;
    expect!(left.is_empty(), "{} left after the removal of {}", left.len(), keys.len());
    Ok(())
}

async fn folders(store: &Store) -> Verdict {
    for key in ["dirs/b/x", "dirs/b/y/z", "dirs/a/x", "dirs/a-c/x", "dirs/file", "dirs/d/e/f/g"] {
        put(store, key, b"x").await?;
    }
    let dirs = store.list_dirs("dirs/").await.map_err(told)?;
    expect!(dirs == ["a", "a-c", "b", "d"], "{dirs:?}");
    let top = store.list_dirs("").await.map_err(told)?;
    expect!(top.contains(&"dirs".to_owned()), "at the top: {top:?}");
    let none = store.list_dirs("dirs/none/").await.map_err(told)?;
    expect!(none.is_empty(), "{none:?}");
    store.delete(&["dirs/d/e/f/g".to_owned()]).await.map_err(told)?;
    let dirs = store.list_dirs("dirs/").await.map_err(told)?;
    expect!(dirs == ["a", "a-c", "b"], "after a removal: {dirs:?}");
    Ok(())
}

async fn removal(store: &Store) -> Verdict {
    put(store, "remove/x", b"x").await?;
    let keys = ["remove/x".to_owned(), "remove/never".to_owned()];
    store.delete(&keys).await.map_err(told)?;
    store.delete(&keys).await.map_err(told)?;
    store.delete(&[]).await.map_err(told)?;
    let head = store.head("remove/x", false).await.map_err(told)?;
    expect!(head.is_none(), "it is still there");
    let again = put(store, "remove/x", b"y").await?;
    expect!(matches!(again, Put::Written(_)), "written anew: {again:?}");
    Ok(())
}

async fn files(store: &Store, big: u64) -> Verdict {
    for size in [0, 1, 100_000, 1 << 20, big] {
        let key = format!("files/{size}");
        let bytes = sample(size, 3);
        let sha256 = Digest::of(&bytes);
        let first = put_file(store, &key, &bytes, sha256).await?;
        expect!(matches!(first, Put::Written(_)), "{size} bytes: {first:?}");
        let second = put_file(store, &key, &bytes, sha256).await?;
        expect!(second == Put::Refused, "{size} bytes again: {second:?}");
        let stream = store.get_stream(&key).await.map_err(told)?;
        let chunks: Vec<Bytes> = stream.try_collect().await.map_err(told)?;
        expect!(chunks.concat() == bytes, "{size} bytes came back otherwise");
        let meta = store.head(&key, true).await.map_err(told)?.ok_or("it is not there")?;
        expect!(meta.size == size, "{size} bytes have size {}", meta.size);
        // A store may have no digest over a multipart upload, but never a wrong one.
        let fits = meta.sha256.map_or(size == big, |found| found == sha256);
        expect!(fits, "{size} bytes have SHA-256 {:?}", meta.sha256);
    }
    // Dropping a stream half-read must not hurt.
    let mut stream = store.get_stream(&format!("files/{big}")).await.map_err(told)?;
    let first = stream.next().await.ok_or("the stream is empty")?.map_err(told)?;
    expect!(!first.is_empty(), "the first chunk is empty");
    Ok(())
}

async fn clock(store: &Store) -> Verdict {
    let before = store.now().await.map_err(told)?;
    put(store, "clock/x", b"x").await?;
    let meta = store.head("clock/x", false).await.map_err(told)?.ok_or("it is not there")?;
    let apart = (meta.last_modified - before).num_seconds().abs();
    expect!(apart < 10, "the store's clock and its dates are {apart} s apart");
    Ok(())
}
