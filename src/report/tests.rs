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
    insta::assert_snapshot!(markdown(&report), @r"
    # Region failure: us-east-1 to us-west-2

    | | |
    | --- | --- |
    | Ended | Done: the goal was reached, and some steps that may fail did |
    | Recovery time | 2 min 33 s, within the RTO of 15 min |
    | Run | `20260921T142640Z-3f9a1c` |
    | Runbook | region-failover, forced mode |
    | Regions | from us-east-1 to us-west-2 |
    | Confirmed | 2026-09-21 14:13:20 UTC, by ann on ops-1 |
    | Reason | us-east-1 &lt;does> not answer |
    | Operators | ann on ops-1 |

    ## What needs attention

    - UNFENCED: the old primary of `petforce` in us-east-1 may take writes
    - `fence`: primary UNFENCED
    - `quarantine` FAILED: connect to petforce in us-east-1: timed out

    ## Left to do

    - See to `quarantine`, which failed: run `drctl runs show` when it is back.
    - Keep the old primary of `petforce` in us-east-1 from coming back writable: stop it, or take its network away, before us-east-1 is let back in.
    - Tell by hand who was not told: team: no answer within 10 s.
    - Take a full snapshot of what runs in us-west-2: `drctl snapshot DATABASE --full`.
    - Make the server in us-east-1 a standby of the one in us-west-2: until then there is no region to fail over to.
    - Start deployments again, if they were frozen.

    ## Data loss

    - petforce, predicted before it was confirmed: 11 s of writes (the last sample of the primary)
    - petforce, predicted: 12 s of writes (the last sample of the primary)
    - petforce, measured: 9.5 s of writes, 80.0 KiB of WAL (the last sample of the primary)
    - accepted beforehand: 5m
    - objective (RPO): 1 h

    ## Not told

    - team: no answer within 10 s

    ## Approvals

    - `fence` by ben on ops-2, 2026-09-21 14:14:10 UTC
    - an unfenced primary, by ann on ops-1 (--accept-unfenced)

    ## Steps

    Seconds since confirmation.

    | step | | begun | took | limit | what came of it |
    | --- | --- | ---: | ---: | ---: | --- |
    | detect | done | 0.2 | 2.9 | 20 | 3 of 3 see it down |
    | loss | done | 3.2 | 0.8 | 120 | at most 12 s of writes |
    | scale | done | 4.1 | 145.9 | 180 | 4 of 4 tasks run |
    | fence | done | 4.1 | 59.9 | 60 | the primary could not be reached |
    | promote | done | 64.2 | 3.3 | 90 | left recovery on timeline 2 after 3.1 s |
    | | *point of no return* | | | | |
    | swap | done | 151.0 | 2.0 | 30 | app.petforce.example says us-west-2 |
    | tell | done | 153.1 | 9.9 | 15 | told 1 of 2 |
    | quarantine | FAILED | 153.1 | 29.9 | 30 | connect to petforce in us-east-1: timed out |

    ## Other events

    None.
    ");
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
