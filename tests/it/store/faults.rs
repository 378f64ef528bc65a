//! What the S3 store makes of a server that misbehaves, alone and with retries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drctl::model::Digest;
use drctl::store::{Class, Condition, ObjectStore, Patience, Put, Retrying, S3Store};
use futures_util::TryStreamExt;

use super::moto::{Moto, make_bucket};
use super::rude::{Manner, Rude};
use super::{BIG, connect, file_of, put};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.\
                         </Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>We encountered an internal \
                        error.</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const NO_BUCKET: &str = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not \
                         exist</Message></Error>";
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the \
                      request time and the current time is too large.</Message></Error>";
const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code><Message>A conflicting \
                        operation occurred.</Message></Error>";
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.\
                       </Message></Error>";

struct Bench {
    moto: Moto,
    rude: Rude,
    store: Arc<S3Store>,
    retrying: Retrying,
}

async fn bench() -> Bench {
    let moto = Moto::start();
    make_bucket(&moto.endpoint(), "east");
    let rude = Rude::start(moto.address).await;
    let store = connect(&super::config(&rude.endpoint, "east")).await;
    // The first look at a missing object asks for the bucket too: done here, so that the requests of
    // each test are its own.
    store.now().await.unwrap();
    let patience = Patience {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
        window: Duration::from_secs(5),
    };
    let retrying = Retrying::new(store.clone(), patience);
    Bench { moto, rude, store, retrying }
}

#[tokio::test]
async fn passing_faults_are_survived() {
    let Bench { rude, retrying, .. } = &bench().await;
    for (i, fault) in [
        Manner::Answer(503, SLOW_DOWN),
        Manner::Answer(503, ""),
        Manner::Answer(429, ""),
        Manner::Answer(500, INTERNAL),
        Manner::Answer(409, CONFLICT),
        Manner::Answer(200, INTERNAL),
        Manner::Close,
        Manner::LoseAnswer,
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("put/{i}");
        rude.next([fault.clone(), fault.clone()]);
        let written = put(retrying, &key, b"bytes").await.unwrap();
        assert!(matches!(written, Put::Written(_)), "{fault:?}");
        // A read's success is what the caller's digests judge; S3 hides no errors there.
        let reads = || Some(fault.clone()).filter(|f| !matches!(f, Manner::Answer(200, _)));
        rude.next(reads());
        assert_eq!(retrying.get(&key).await.unwrap().bytes, "bytes", "{fault:?}");
        rude.next(reads());
        let meta = retrying.head(&key, true).await.unwrap().unwrap();
        assert_eq!(meta.sha256, Some(Digest::of(b"bytes")), "{fault:?}");
        rude.next([fault.clone()]);
        let listed: Vec<_> = retrying.list("put/").try_collect().await.unwrap();
        assert_eq!(listed.len(), i + 1, "{fault:?}");
        rude.next([fault.clone()]);
        assert_eq!(retrying.list_dirs("").await.unwrap(), ["put"], "{fault:?}");
        rude.next(reads());
        retrying.now().await.unwrap();
        rude.next([fault]);
        retrying.delete(&["nothing".to_owned()]).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_unknown_until_settled() {
    let Bench { rude, store, retrying, .. } = &bench().await;
    rude.next([Manner::LoseAnswer]);
    assert_eq!(put(&**store, "lost/1", b"ours").await.unwrap_err().class, Class::Unknown);
    assert_eq!(put(&**store, "lost/1", b"ours").await.unwrap(), Put::Refused);
    rude.next([Manner::LoseAnswer]);
    assert!(matches!(put(retrying, "lost/2", b"ours").await.unwrap(), Put::Written(_)));
    // The same, but somebody else's object is there.
    rude.next([Manner::LoseAnswer]);
    assert_eq!(put(retrying, "lost/2", b"theirs").await.unwrap(), Put::Refused);
    // A replacing write.
    let etag = store.head("lost/2", false).await.unwrap().unwrap().etag;
    rude.next([Manner::LoseAnswer]);
    let new = Bytes::from_static(b"new");
    let condition = Condition::Matches(etag);
    let written = retrying.put_if("lost/2", new, Digest::of(b"new"), condition).await.unwrap();
    let etag = store.head("lost/2", false).await.unwrap().unwrap().etag;
    assert_eq!(written, Put::Written(etag));
    // A read that is not answered is just tried again.
    rude.next([Manner::Close]);
    assert_eq!(store.get("lost/2").await.unwrap_err().class, Class::Transient);
}

#[tokio::test]
async fn bodies_that_break_off_are_noticed() {
    let Bench { rude, store, retrying, .. } = &bench().await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let sha256 = Digest::of(&bytes);
    let whole = Bytes::from(bytes);
    store.put_if("big", whole.clone(), sha256, Condition::Absent).await.unwrap();
    for fault in [Manner::Truncate, Manner::Reset] {
        rude.next([fault.clone()]);
        assert_eq!(store.get("big").await.unwrap_err().class, Class::Transient, "{fault:?}");
        rude.next([fault.clone(), fault.clone()]);
        assert!(retrying.get("big").await.unwrap().bytes == whole, "{fault:?}");
        rude.next([fault.clone()]);
        let stream = store.get_stream("big").await.unwrap();
        let broken = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(broken.class, Class::Transient, "{fault:?}");
        rude.next([fault.clone(), fault.clone()]);
        let stream = retrying.get_stream("big").await.unwrap();
        let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(chunks.concat() == whole, "{fault:?}");
    }
}

#[tokio::test]
async fn lasting_faults_are_told_apart_and_say_the_next_move() {
    let Bench { rude, store, retrying, .. } = &bench().await;
    for (fault, class, hint) in [
        (Manner::Answer(403, DENIED), Class::Denied, "s3:PutObject"),
        (Manner::Answer(400, EXPIRED), Class::Denied, "expired"),
        (Manner::Answer(404, NO_BUCKET), Class::Permanent, "bucket is not there"),
        (Manner::Answer(403, SKEWED), Class::Permanent, "clock"),
        (Manner::Answer(301, ""), Class::Permanent, "region"),
    ] {
        rude.next([fault.clone()]);
        let e = put(retrying, "x", b"x").await.unwrap_err();
        assert_eq!(e.class, class, "{fault:?}");
        assert!(e.hint.as_ref().unwrap().contains(hint), "{fault:?}: {e:?}");
        assert_eq!(rude.heads().len(), 1, "{fault:?} must not be tried again");
    }
    // Answers to HEAD have no body: only their date tells a wrong clock from missing rights.
    rude.next([Manner::Dated(403, "", 20)]);
    let e = store.head("x", false).await.unwrap_err();
    assert_eq!(e.class, Class::Permanent);
    assert!(e.hint.unwrap().contains("clock"));
    rude.next([Manner::Dated(403, "", 0)]);
    assert_eq!(store.head("x", false).await.unwrap_err().class, Class::Denied);
    // S3's own words and the request's id reach the reader.
    rude.next([Manner::Answer(403, DENIED)]);
    let e = drctl::error::Error::from(store.get("x").await.unwrap_err()).one_line();
    assert_eq!(e, "read s3://east/dr/x: AccessDenied: Access Denied (HTTP 403, request REQ1)");
}

#[tokio::test]
async fn an_error_inside_a_success_of_a_multipart_upload_is_an_error() {
    let Bench { rude, store, retrying, .. } = &bench().await;
    let bytes = vec![3; BIG as usize];
    let (file, sha256) = (file_of(&bytes).await, Digest::of(&bytes));
    // head, create, three parts, then complete.
    let until_complete = || std::iter::repeat_n(Manner::Polite, 5);
    rude.next(until_complete().chain([Manner::Answer(200, INTERNAL)]));
    let e = store.put_file_new("parts", file.path(), BIG, sha256).await.unwrap_err();
    assert_eq!(e.class, Class::Transient, "{e:?}");
    let heads = rude.heads();
    assert!(heads[5].starts_with("post ") && heads[6].starts_with("delete "), "{heads:?}");
    assert_eq!(store.head("parts", false).await.unwrap(), None);
    rude.next(until_complete().chain([Manner::Answer(200, INTERNAL)]));
    let put = retrying.put_file_new("parts", file.path(), BIG, sha256).await.unwrap();
    assert!(matches!(put, Put::Written(_)));
    // The answer to completion is lost: found by content, since there is no digest of the whole.
    rude.next(until_complete().chain([Manner::LoseAnswer]));
    let put = retrying.put_file_new("parts-2", file.path(), BIG, sha256).await.unwrap();
    assert!(matches!(put, Put::Written(_)));
    // A part that fails is sent again by itself.
    let faults = [Manner::Polite, Manner::Polite, Manner::Answer(503, SLOW_DOWN), Manner::Close];
    rude.next(faults);
    let put = store.put_file_new("parts-3", file.path(), BIG, sha256).await.unwrap();
    assert!(matches!(put, Put::Written(_)));
}

#[tokio::test]
async fn an_error_inside_a_success_of_a_copy_or_removal_is_an_error() {
    let Bench { moto, rude, store, .. } = &bench().await;
    let other = connect(&super::config(&rude.endpoint, "west")).await;
    make_bucket(&moto.endpoint(), "west");
    other.now().await.unwrap();
    put(&**store, "copied", b"bytes").await.unwrap();
    let sha256 = Digest::of(b"bytes");
    // Two heads, then the copy.
    rude.next([Manner::Polite, Manner::Polite, Manner::Answer(200, INTERNAL)]);
    let e = other.copy_within(&**store, "copied", 5, sha256).await.unwrap_err();
    assert_eq!(e.class, Class::Transient);
    let copied = other.copy_within(&**store, "copied", 5, sha256).await.unwrap();
    assert!(matches!(copied, Some(Put::Written(_))));
    rude.next([Manner::Answer(
        200,
        "<DeleteResult><Error><Key>dr/copied</Key><Code>AccessDenied</Code>\
         <Message>Access Denied</Message></Error></DeleteResult>",
    )]);
    let e = store.delete(&["copied".to_owned()]).await.unwrap_err();
    assert_eq!(e.class, Class::Denied);
    assert!(e.what.contains("dr/copied"), "{}", e.what);
}

#[tokio::test]
async fn a_server_that_is_slow_or_gone_is_given_up_in_time() {
    let Bench { rude, store, retrying, .. } = &bench().await;
    put(&**store, "x", b"x").await.unwrap();
    rude.next([Manner::Stall(Duration::from_millis(1500))]);
    let began = Instant::now();
    assert_eq!(retrying.get("x").await.unwrap().bytes, "x", "slow is not gone");
    assert!(began.elapsed() < Duration::from_secs(20));
    let nobody = connect(&super::config("http://127.0.0.1:9", "east")).await;
    let brief = Patience { window: Duration::from_millis(300), ..Patience::brief() };
    let nobody = Retrying::new(nobody, brief);
    let e = put(&nobody, "x", b"x").await.unwrap_err();
    assert_eq!(e.class, Class::Transient, "nothing was sent");
    assert!(e.what.contains("gave up"), "{}", e.what);
    assert!(e.hint.unwrap().contains("`endpoint`"));
}
