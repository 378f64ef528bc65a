//! The book over hours: folding, reminders, other tries, several processes.

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
}

fn alert(severity: Severity, minute: i64) -> Alert {
    Alert {
        key: "rpo/petforce/west".to_owned(),
        severity,
        summary: format!("{minute} minutes old"),
        detail: String::new(),
        at: at(minute),
        resolved: false,
    }
}

fn over(minute: i64) -> Alert {
    Alert { resolved: true, ..alert(Severity::Info, minute) }
}

/// Critical alerts page; all go to the team.
fn route(_: &str, severity: Severity) -> BTreeSet<String> {
    let mut channels = BTreeSet::from(["team".to_owned()]);
    if severity == Severity::Critical {
        channels.insert("pager".to_owned());
    }
    channels
}

const REMIND: Duration = Duration::from_hours(1);

/// Tends, claims and tells everything that is due, and gives it as "channel stage".
fn tell(book: &mut Book, minute: i64, fails: &[&str]) -> Vec<String> {
    book.tend(REMIND, &|channel| channel == "cluster", &route, at(minute));
    let tasks = book.claim("me", at(minute));
    let mut said = Vec::new();
    let outcomes: Vec<Outcome> = tasks
        .iter()
        .map(|task| {
            said.push(format!("{} {:?}", task.channel, task.stage));
            let sent = match fails.contains(&task.channel.as_str()) {
                true => Err(("status 500".to_owned(), None)),
                false => Ok(()),
            };
            let key = task.entry.alert.key.clone();
            Outcome { key, channel: task.channel.clone(), stage: task.stage, sent }
        })
        .collect();
    book.settle("me", &outcomes, at(minute));
    said
}

#[test]
fn repeats_are_folded_and_what_gets_worse_is_told_to_more() {
    let mut book = Book::default();
    assert!(book.take(&alert(Severity::Warning, 0), &route, at(0)));
    assert_eq!(tell(&mut book, 0, &[]), ["team Opened"]);
    for minute in 1..9 {
        assert!(!book.take(&alert(Severity::Warning, minute), &route, at(minute)), "{minute}");
        assert!(tell(&mut book, minute, &[]).is_empty());
    }
    // Noted now and then that it still lasts.
    assert!(book.take(&alert(Severity::Warning, 10), &route, at(10)));
    assert!(tell(&mut book, 10, &[]).is_empty());
    assert!(book.take(&alert(Severity::Critical, 15), &route, at(15)));
    assert_eq!(tell(&mut book, 15, &[]), ["pager Worse", "team Worse"]);
    // Easing and coming back is no news.
    assert!(book.take(&alert(Severity::Warning, 16), &route, at(16)));
    assert!(book.take(&alert(Severity::Critical, 17), &route, at(17)));
    assert!(tell(&mut book, 17, &[]).is_empty());
    assert!(book.take(&over(20), &route, at(20)));
    assert_eq!(tell(&mut book, 20, &[]), ["pager Resolved", "team Resolved"]);
    assert_eq!(book, Book::default());
    assert!(!book.take(&over(21), &route, at(21)), "what was never told has no end");
}

#[test]
fn what_lasts_is_reminded_of_until_somebody_takes_it_on() {
    let mut book = Book::default();
    book.take(&alert(Severity::Warning, 0), &route, at(0));
    tell(&mut book, 0, &[]);
    assert!(tell(&mut book, 59, &[]).is_empty());
    assert_eq!(tell(&mut book, 60, &[]), ["team Reminder(1)"]);
    assert!(tell(&mut book, 61, &[]).is_empty());
    assert_eq!(tell(&mut book, 120, &[]), ["team Reminder(2)"]);
    assert_eq!(book.acknowledge("rpo/petforce/west", "ann", at(121)), Some(()));
    assert_eq!(tell(&mut book, 121, &[]), ["team Acknowledged"]);
    assert!(tell(&mut book, 1000, &[]).is_empty());
    // Worse than what she took on.
    book.take(&alert(Severity::Critical, 1001), &route, at(1001));
    assert_eq!(tell(&mut book, 1001, &[]), ["pager Worse", "team Worse"]);
    assert_eq!(tell(&mut book, 1061, &[]), ["pager Reminder(3)", "team Reminder(3)"]);
    assert_eq!(book.acknowledge("other", "ann", at(1062)), None);
}

#[test]
fn what_does_not_get_through_is_tried_again_later_and_less_and_less_often() {
    let mut book = Book::default();
    book.take(&alert(Severity::Critical, 0), &route, at(0));
    let mut tries = Vec::new();
    for minute in 0..60 {
        if !tell(&mut book, minute, &["pager", "team"]).is_empty() {
            tries.push(minute);
        }
    }
    assert_eq!(tries, [0, 1, 2, 3, 5, 9, 17, 33]);
    let due = &book.alerts["rpo/petforce/west"].due["pager"];
    assert_eq!((due.tries, due.why.as_deref()), (8, Some("status 500")));
    // A new thing to say waits as the old one did, and takes its place.
    book.take(&over(61), &route, at(61));
    assert!(tell(&mut book, 61, &[]).is_empty());
    assert_eq!(tell(&mut book, 63, &[]), ["pager Resolved", "team Resolved"]);
    assert_eq!(book, Book::default());
}

#[test]
fn two_processes_do_not_tell_the_same_and_one_that_died_is_stood_in_for() {
    let mut book = Book::default();
    book.take(&alert(Severity::Critical, 0), &route, at(0));
    assert_eq!(book.claim("one", at(0)).len(), 2);
    assert_eq!(book.claim("two", at(0) + TimeDelta::seconds(89)).len(), 0);
    assert_eq!(book.claim("one", at(0) + TimeDelta::seconds(89)).len(), 2, "its own");
    assert_eq!(book.claim("two", at(4)).len(), 2);
    // Its end while it is being told.
    book.take(&over(2), &route, at(2));
    let told = |channel: &str| Outcome {
        key: "rpo/petforce/west".to_owned(),
        channel: channel.to_owned(),
        stage: Stage::Opened,
        sent: Ok(()),
    };
    book.settle("two", &[told("pager"), told("team")], at(2));
    assert_eq!(tell(&mut book, 2, &[]), ["pager Resolved", "team Resolved"]);
}

#[test]
fn an_alert_that_comes_back_before_its_end_was_told_is_a_new_one() {
    let mut book = Book::default();
    book.take(&alert(Severity::Warning, 0), &route, at(0));
    tell(&mut book, 0, &[]);
    book.take(&over(1), &route, at(1));
    assert_eq!(tell(&mut book, 1, &["team"]), ["team Resolved"]);
    assert!(book.take(&alert(Severity::Warning, 2), &route, at(2)));
    assert_eq!(book.alerts["rpo/petforce/west"].since, at(2));
    assert_eq!(tell(&mut book, 2, &[]), ["team Opened"]);
}

#[test]
fn a_channel_that_forgets_is_told_again_and_again_and_also_of_what_somebody_took_on() {
    let mut book = Book::default();
    let everybody = |_: &str, _| BTreeSet::from(["cluster".to_owned(), "team".to_owned()]);
    book.take(&alert(Severity::Warning, 0), &everybody, at(0));
    tell(&mut book, 0, &[]);
    assert!(tell(&mut book, 4, &[]).is_empty());
    assert_eq!(tell(&mut book, 5, &[]), ["cluster Again"]);
    book.acknowledge("rpo/petforce/west", "ann", at(6));
    assert_eq!(tell(&mut book, 6, &[]), ["cluster Acknowledged", "team Acknowledged"]);
    assert_eq!(tell(&mut book, 11, &[]), ["cluster Again"]);
}

#[test]
fn informations_end_by_themselves_and_are_not_reminded_of() {
    let mut book = Book::default();
    book.take(&alert(Severity::Info, 0), &route, at(0));
    assert_eq!(tell(&mut book, 0, &[]), ["team Opened"]);
    assert!(tell(&mut book, 23 * 60, &[]).is_empty());
    assert_eq!(book.alerts.len(), 1);
    assert!(tell(&mut book, 24 * 60, &[]).is_empty());
    assert_eq!(book, Book::default());
}

#[test]
fn a_book_kept_apart_is_taken_over() {
    let mut store = Book::default();
    store.take(&alert(Severity::Warning, 0), &route, at(0));
    tell(&mut store, 0, &[]);
    // The store goes away; this process saw the end, and another trouble.
    let base = store.clone();
    let mut own = store.clone();
    own.take(&over(5), &route, at(5));
    let other = Alert { key: "job/verify".to_owned(), ..alert(Severity::Critical, 6) };
    own.take(&other, &route, at(6));
    assert_eq!(tell(&mut own, 6, &[]), ["pager Opened", "team Opened", "team Resolved"]);
    let mut untouched = store.clone();
    untouched.merge(&base, &own);
    assert_eq!(untouched, own);
    // Another runner has said more of the first since.
    store.take(&alert(Severity::Critical, 7), &route, at(7));
    store.merge(&base, &own);
    assert_eq!(store.alerts["job/verify"].told.len(), 2);
    assert_eq!(tell(&mut store, 7, &[]), ["pager Worse", "team Worse"]);
}
