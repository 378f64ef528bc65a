//! What somebody sees and types on a terminal.

use crate::home::Home;
use crate::lab::Terminal;
use crate::runs::{counted, effects, failover, home, once};

const FAILOVER: [&str; 3] = ["failover", "--skip-preflight", "a test without servers"];

fn at(home: &Home, args: &[&str]) -> Terminal {
    Terminal::start(&home.command(args))
}

#[test]
fn a_failover_begins_when_the_regions_name_is_typed() {
    let home = home(&failover(""));
    let mut terminal = at(&home, &FAILOVER);
    terminal.until("To begin, type the name of the region that becomes active: ");
    for piece in ["Region failure", "promote", "POINT OF NO RETURN"] {
        assert!(terminal.text().contains(piece), "no {piece} in {}", terminal.text());
    }
    terminal.types("us-east-1\n");
    let (code, text) = terminal.ends();
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("`us-east-1` is not us-west-2"), "{text}");
    assert!(effects(&home).is_empty() && home.west.keys_with("runs/").is_empty());

    let mut terminal = at(&home, &FAILOVER);
    terminal.until("becomes active: ");
    terminal.types("us-west-2\n");
    let (code, text) = terminal.ends();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Done: Region failure"), "{text}");
    assert_eq!(counted(&home), once());
}

/// A failover in which Ctrl-C was typed while a step is under way.
fn interrupted() -> (Home, Terminal) {
    let slow = failover("").replace("sleep 0.03; echo scale", "sleep 3; echo scale");
    let home = home(&slow);
    let mut terminal = at(&home, &FAILOVER);
    terminal.until("becomes active: ");
    terminal.types("us-west-2\n");
    crate::runs::until(&home, "fence");
    terminal.interrupts();
    (home, terminal)
}

#[test]
fn ctrl_c_asks_and_does_what_is_answered() {
    let (home, mut terminal) = interrupted();
    terminal.until("[p]ause after what is under way, [a]bort and undo, or [g]o on?");
    terminal.types("g\n");
    // It goes on, and asks again.
    terminal.interrupts();
    terminal.types("p\n");
    let (code, text) = terminal.ends();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("drctl resume"), "{text}");
    assert_eq!(effects(&home), ["freeze", "fence", "scale"]);

    let (code, text) = at(&home, &["resume", "latest"]).ends();
    assert_eq!(code, 0, "{text}");
    assert_eq!(counted(&home), once());
}

#[test]
fn an_abort_by_ctrl_c_undoes_what_was_done() {
    let (home, mut terminal) = interrupted();
    terminal.until("[a]bort and undo");
    terminal.types("a\n");
    let (_, text) = terminal.ends();
    assert!(text.contains("Aborted"), "{text}");
    assert_eq!(effects(&home)[3..].len(), 3, "{text}");
    assert_eq!(effects(&home).last().unwrap(), "undo freeze");
}

#[test]
fn the_status_is_shown_again_and_again_until_ctrl_c() {
    let home = home(&failover(""));
    let mut terminal = at(&home, &["status", "--watch", "1s"]);
    terminal.until("not ready");
    let shown = terminal.text().matches("not ready").count();
    let begun = std::time::Instant::now();
    while terminal.text().matches("not ready").count() < shown + 2 {
        assert!(begun.elapsed().as_secs() < 60, "{}", terminal.text());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    terminal.interrupts();
    let (code, text) = terminal.ends();
    assert_eq!(code, 1, "{text}");
}
