//! Reports of a made-up run.

use super::{StepStanding, html, make, markdown, specimen};
use crate::runbook::record::Record;

#[test]
fn a_report_tells_times_losses_and_what_is_left() {
    let report = make(&specimen::plan(), &specimen::entries()).unwrap();
    // What may fail does not count.
    assert_eq!(report.recovered_seconds, Some(153.0));
    assert_eq!(report.within_rto, Some(true));
    assert_eq!(report.point_of_no_return, Some(64.2));
    insta::assert_snapshot!(markdown(&report), @r"");
}

#[test]
fn a_run_that_was_cut_off_is_open_and_says_how_to_go_on() {
    let mut entries = specimen::entries();
    let cut = entries
        .iter()
        .position(|e| matches!(&e.record, Record::StepEnded { step, .. } if step == "promote"))
        .unwrap();
    entries.truncate(cut);
    let report = make(&specimen::plan(), &entries).unwrap();
    assert_eq!((report.ending, report.recovered_seconds, report.within_rto), (None, None, None));
    let promote = report.steps.iter().find(|s| s.id == "promote").unwrap();
    assert_eq!(promote.standing, StepStanding::Open);
    assert!(report.left_to_do[0].contains("drctl resume"), "{:?}", report.left_to_do);
    assert!(!report.left_to_do[0].contains("abort"), "past the point of no return");
    assert!(make(&specimen::plan(), &entries[1..]).is_none());
}

#[test]
fn the_page_needs_nothing_else_and_escapes_what_people_wrote() {
    let page = html(&make(&specimen::plan(), &specimen::entries()).unwrap());
    for outside in ["<script", "http://", "https://", "url(", "@import", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("us-east-1 &lt;does&gt; not answer"));
    for word in ["UNFENCED", "point of no return", "ben on ops-2", "no answer within 10 s", "<svg"]
    {
        assert!(page.contains(word), "{word}");
    }
    if let Ok(path) = std::env::var("DRCTL_REPORT_PAGE") {
        std::fs::write(path, page).unwrap();
    }
}
