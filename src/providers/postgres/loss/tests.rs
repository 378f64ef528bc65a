//! What is told of losses, and that nothing is lost that was said to be safe.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;

fn at(milliseconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds)
}

fn sample(milliseconds: i64, end: u64, timeline: u32) -> Sample {
    Sample {
        at: at(milliseconds),
        primary: Some(Lsn(end)),
        timeline: Some(timeline),
        system_identifier: None,
        received: None,
        replayed: None,
    }
}

fn standby(secured: u64) -> Option<Standby> {
    Some(Standby { secured: Lsn(secured), timeline: Some(1) })
}

#[test]
fn what_is_not_known_is_never_nothing() {
    let now = at(100_000);
    let none = predict(None, None, &[sample(0, 1, 1)], now);
    assert_eq!((none.seconds, none.bytes), (None, None));
    let blind = predict(None, standby(100), &[], now);
    assert_eq!(
        (blind.seconds, blind.bytes, blind.in_words().as_str()),
        (None, None, "an unknown time, an unknown amount of WAL")
    );
    // Another timeline's positions, or those of an unknown one, say nothing.
    let foreign = predict(None, standby(100), &[sample(1, 50, 2)], now);
    assert_eq!(foreign.seconds, None);
    let lost = Some(Standby { secured: Lsn(100), timeline: None });
    assert_eq!(predict(None, lost, &[sample(1, 50, 1)], now).seconds, None);
    // A primary that is dead may have written on after the last look.
    let dead = predict(None, standby(100), &[sample(10_000, 100, 1)], now);
    assert_eq!((dead.seconds, dead.bytes, dead.is_nothing()), (Some(90.0), None, false));
    // Behind every sample: at least so much, since nobody knows when.
    let far = predict(None, standby(100), &[sample(10_000, 140, 1)], now);
    assert_eq!((far.seconds, far.bytes, far.bytes_at_least), (None, None, 40));
    // A sample from the future of a clock that runs ahead is no promise.
    assert_eq!(predict(None, standby(100), &[sample(200_000, 10, 1)], now).seconds, None);
}

#[test]
fn a_primary_that_answers_is_measured() {
    let now = at(100_000);
    let alive = |end, fenced| Some(Primary { end: Lsn(end), timeline: Some(1), fenced });
    let fenced = predict(alive(100, true), standby(100), &[], now);
    assert!(fenced.is_nothing());
    assert_eq!(fenced.in_words(), "nothing");
    // One that goes on writing has an end only for a moment.
    let open = predict(alive(100, false), standby(100), &[sample(99_000, 90, 1)], now);
    assert_eq!((open.seconds, open.bytes), (Some(1.0), Some(0)));
    let behind = predict(alive(180, true), standby(100), &[sample(90_000, 100, 1)], now);
    assert_eq!((behind.seconds, behind.bytes), (Some(10.0), Some(80)));
    assert_eq!(behind.in_words(), "at most the last 10.0 s, 80 bytes of WAL");
}

#[test]
fn agreement_is_asked_for_what_is_more_or_unknown() {
    let rpo = Span::from_secs(3600);
    let loss = |seconds: Option<f64>, bytes: Option<u64>| Prediction {
        seconds,
        bytes,
        bytes_at_least: 0,
        safe_until: None,
        basis: "a test".to_owned(),
    };
    let said = |loss: &Prediction, accepted: Option<&str>| {
        judge(loss, accepted.map(|text| text.parse().unwrap()), rpo).map_err(|(what, hint)| {
            assert!(hint.contains("--accept-loss"), "{hint}");
            what
        })
    };
    assert_eq!(said(&loss(Some(0.0), Some(0)), Some("0s")), Ok(()));
    assert_eq!(said(&loss(Some(60.0), None), None), Ok(()));
    assert!(said(&loss(Some(4000.0), None), None).unwrap_err().contains("RPO of 1h"));
    assert!(said(&loss(None, None), None).unwrap_err().contains("is unknown"));
    assert_eq!(said(&loss(None, None), Some("unknown")), Ok(()));
    assert_eq!(said(&loss(Some(60.0), None), Some("1m")), Ok(()));
    assert!(said(&loss(Some(61.0), None), Some("1m")).unwrap_err().contains("the accepted 1m"));
    assert!(said(&loss(None, Some(1)), Some("1m")).unwrap_err().contains("not known"));
    assert_eq!(said(&loss(None, Some(1 << 20)), Some("1MiB")), Ok(()));
    assert!(said(&loss(None, Some(1 << 21)), Some("1MiB")).unwrap_err().contains("more than"));
    assert!(said(&loss(Some(1.0), None), Some("1MiB")).unwrap_err().contains("not known"));
    for wrong in ["", "5", "5 apples", "99999999999GiB", "-1s"] {
        assert!(wrong.parse::<Accepted>().is_err(), "{wrong}");
    }
}

proptest! {
    /// A primary commits, somebody looks at it now and then, the standby follows with any delay, the
    /// primary dies, and later the loss is predicted: nothing that is lost is older than was said.
    #[test]
    fn nothing_is_lost_that_was_said_to_be_safe(
        steps in prop::collection::vec((1_i64..5000, 0_u64..500, any::<bool>(), any::<bool>()), 1..60),
        received in 0.0_f64..1.0,
        dead_for in 0_i64..600_000,
        dropped in prop::collection::vec(any::<bool>(), 60),
    ) {
        let (mut now, mut end) = (0, 1);
        let (mut commits, mut samples) = (Vec::new(), Vec::new());
        for (wait, bytes, looked, committed) in steps {
            now += wait;
            if looked {
                samples.push(sample(now, end, 1));
            }
            // WAL that is no commit: a transaction under way.
            end += bytes;
            if committed {
                end += 1;
                commits.push((now, end));
            }
        }
        let secured = (end as f64 * received) as u64;
        let kept: Vec<Sample> = samples
            .iter()
            .zip(&dropped)
            .filter(|(_, dropped)| !**dropped)
            .map(|(sample, _)| sample.clone())
            .collect();
        let now = now + dead_for;
        let said = predict(None, standby(secured), &kept, at(now));
        prop_assert_eq!(said.bytes, None);
        prop_assert!(said.bytes_at_least <= end.saturating_sub(secured));
        for (committed, position) in commits {
            let lost = position > secured;
            if let (true, Some(seconds)) = (lost, said.seconds) {
                let age = (now - committed) as f64 / 1000.0;
                prop_assert!(age <= seconds, "lost {age} s old, {seconds} s were said");
            }
        }
        // The bound is as good as the samples: the newest that the standby has.
        let best = kept.iter().filter(|s| s.primary.unwrap().0 <= secured).map(|s| s.at).max();
        prop_assert_eq!(said.safe_until, best);
    }
}
