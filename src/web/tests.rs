//! The page as it is sent, and what it must never do.

use super::answers::policy;
use super::page::{self, STYLE, Shown};
use super::specimen;
use super::view::View;

fn shown(view: &View) -> String {
    page::page(view, Shown { age: 2.0, still: false })
}

/// A line for every element, without the style.
fn lines(html: &str) -> String {
    html.replace(STYLE, "").replace("><", ">\n<").replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn the_page_when_all_is_well() {
    insta::assert_snapshot!(lines(&shown(&specimen::good())));
}

#[test]
fn the_page_while_a_failover_is_under_way() {
    insta::assert_snapshot!(lines(&shown(&specimen::bad())));
}

#[test]
fn the_page_when_nothing_is_known() {
    insta::assert_snapshot!(lines(&shown(&specimen::unknown())));
}

#[test]
fn what_is_not_known_is_never_shown_as_well() {
    let html = shown(&specimen::unknown());
    assert!(html.contains("NOT READY") && !html.contains("verdict good"));
    // Epoch, two servers, two stores, loss, snapshots, jobs, drills, runs, incidents, preflight, leases.
    let said = html.matches("UNKNOWN").count();
    assert!(said >= 13, "{said} times UNKNOWN");
    for comforting in ["0 bytes behind", "nothing behind", "none yet", "0 s old"] {
        assert!(!html.contains(comforting), "{comforting}");
    }
    assert!(page::nothing("no store can be opened").contains("UNKNOWN"));
}

#[test]
fn a_page_has_no_script_and_nothing_of_elsewhere() {
    for view in [specimen::good(), specimen::bad(), specimen::unknown()] {
        let html = shown(&view);
        for forbidden in ["<script", "javascript:", " style=", " onclick", "http://", "https://"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert_eq!(html.matches("<style>").count(), 1);
    }
    let html = shown(&specimen::bad());
    // What came from outside is text.
    assert!(html.contains("&lt;b&gt;db&lt;/b&gt;") && !html.contains("<b>db</b>"));
    let allowed = policy(&[STYLE]);
    let text = allowed.to_str().unwrap();
    assert!(text.starts_with("default-src 'none'; style-src 'sha256-"), "{text}");
    assert!(text.contains("frame-ancestors 'none'") && !text.contains("unsafe"), "{text}");
}

#[test]
fn an_old_look_says_how_old_it_is_and_a_still_page_stays() {
    let old = page::page(&specimen::good(), Shown { age: 200.0, still: true });
    assert!(old.contains("3 min 20 s AGO") && !old.contains("http-equiv"));
    assert!(shown(&specimen::good()).contains("http-equiv=\"refresh\" content=\"20\""));
    assert!(shown(&specimen::bad()).contains("content=\"3\""));
}

#[test]
fn a_page_fits_a_slow_line() {
    for view in [specimen::good(), specimen::bad(), specimen::unknown()] {
        let bytes = shown(&view).len();
        assert!(bytes < 48 << 10, "{bytes} bytes");
    }
}

/// For a look by eye: `DRCTL_PAGES=DIR cargo test --lib pages_for_a_browser -- --ignored`.
#[test]
#[ignore = "writes pages into the folder DRCTL_PAGES"]
fn pages_for_a_browser() {
    let dir = std::path::PathBuf::from(std::env::var("DRCTL_PAGES").expect("DRCTL_PAGES"));
    for (name, html) in [
        ("good", shown(&specimen::good())),
        ("bad", shown(&specimen::bad())),
        ("unknown", shown(&specimen::unknown())),
        ("login", page::login(true)),
        ("nothing", page::nothing("no store can be opened")),
    ] {
        std::fs::write(dir.join(format!("{name}.html")), html).expect("write a page");
    }
}

/// `.bad` colours words; on the banner of the same class they would be dark red on red.
#[test]
fn every_verdict_says_its_own_colours() {
    let mut found = 0;
    for rule in STYLE.split('}').filter(|rule| rule.trim().starts_with(".verdict.")) {
        assert!(rule.contains("background:#") && rule.contains(";color:#fff"), "{rule}");
        found += 1;
    }
    assert_eq!(found, 3, "good, bad and unknown");
}
