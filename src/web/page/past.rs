//! What was: rehearsals, jobs, runs; and who holds leases.

use maud::{Markup, html};

use super::unknown;
use crate::model::Learned;
use crate::report::words::{moment, span};
use crate::schedule::standing::JobStanding;
use crate::web::view::View;

pub fn drills(view: &View) -> Markup {
    html! {
        section {
            h2 { "Drills" }
            @match &view.drills {
                Learned::Unknown(why) => p { (unknown(why)) },
                Learned::Known(all) if all.is_empty() => {
                    p { span .unknown { "UNKNOWN" } " none yet: whether a restore works, and how long it takes, was never measured" }
                }
                Learned::Known(all) => table {
                    thead { tr { th { "What" } th { "Measured RTO" } th { "RPO" } } }
                    tbody { @for drill in all {
                        tr {
                            td { (drill.what) small { (moment(drill.at)) @if !drill.passed { ", " span .bad { "FAILED" } } } }
                            td { @match drill.rto_seconds {
                                Some(seconds) => span .bad[seconds > view.rto_seconds] { (span(seconds)) },
                                None => span .unknown { "UNKNOWN" },
                            } }
                            td { @match drill.rpo_seconds {
                                Some(seconds) => span .bad[seconds > view.rpo_seconds] { (span(seconds)) },
                                None => span .unknown { "UNKNOWN" },
                            } }
                        }
                    } }
                },
            }
        }
    }
}

pub fn jobs(view: &View) -> Markup {
    html! {
        section {
            h2 { "Jobs" }
            @match &view.schedule {
                Learned::Unknown(why) => p { (unknown(why)) },
                Learned::Known(schedule) => {
                    @if schedule.jobs.is_empty() { p .none { "None are configured." } } @else {
                        table {
                            thead { tr { th { "Job" } th { "Last" } th { "Next" } } }
                            tbody { @for job in &schedule.jobs { (row(view, job)) } }
                        }
                    }
                    @match &schedule.runners {
                        Learned::Unknown(why) => p { "Runners: " (unknown(why)) },
                        Learned::Known(runners) if runners.is_empty() => {
                            p { "Runners: " span .bad { "none gave a sign of life" } }
                        }
                        Learned::Known(runners) => p {
                            "Runners: "
                            @for (i, runner) in runners.iter().enumerate() {
                                @if i > 0 { ", " }
                                (runner.name) " "
                                span .bad[runner.silent] { "heard " (span((view.at() - runner.heartbeat).as_seconds_f64())) " ago" }
                            }
                        },
                    }
                },
            }
        }
    }
}

fn row(view: &View, job: &JobStanding) -> Markup {
    html! {
        tr {
            td { (job.job) small { @if let Some(name) = &job.database { (name) ", " } (job.on) } }
            td { @match &job.state {
                Learned::Unknown(why) => (unknown(why)),
                Learned::Known(state) => {
                    @if let Some(running) = &state.running { "running for " (span((view.at() - running.began).as_seconds_f64())) }
                    @match &state.last {
                        None if state.running.is_none() => "never ran",
                        None => {}
                        Some(last) => {
                            span .bad[!last.verdict.is_good()] { @if state.running.is_some() { "; " } (last.verdict.as_str()) }
                            small { (moment(last.ended)) ", took " (span(last.took().as_seconds_f64())) @if !last.verdict.is_good() { ": " (last.summary) } }
                        }
                    }
                }
            } }
            td {
                @if job.due.is_some() { b { "due" } } @else {
                    @match job.next {
                        Some(next) => { "in " (span((next - view.at()).as_seconds_f64().max(0.0))) small { (moment(next)) } }
                        None => "never",
                    }
                }
            }
        }
    }
}

pub fn runs(view: &View) -> Markup {
    html! {
        section {
            h2 { "Runs" }
            @match &view.past_runs {
                Learned::Unknown(why) => p { (unknown(why)) },
                Learned::Known(all) if all.is_empty() => p .none { "None have ended yet." },
                Learned::Known(all) => ul .plain { @for run in all {
                    li {
                        a href=(format!("/runs/{}", run.id)) { (run.runbook) }
                        @if run.drill { " (drill)" } ", " (moment(run.began)) ", " (span(run.seconds)) ": "
                        span .bad[!run.well] { (run.ending.as_deref().unwrap_or("not ended")) }
                    }
                } },
            }
            @match &view.status.preflight {
                Learned::Unknown(why) => p { "Preflight of " (view.status.runbook) ": " (unknown(why)) },
                Learned::Known(None) => p { "Preflight of " (view.status.runbook) ": " span .bad { "never" } },
                Learned::Known(Some(last)) => p {
                    "Preflight of " (view.status.runbook) ": " (span((view.at() - last.at).as_seconds_f64())) " ago, "
                    span .bad[last.not_ready > 0] { (last.not_ready) " not ready" } ", " (last.unproven) " unproven, " (last.warnings) " warnings"
                },
            }
        }
    }
}

pub fn leases(view: &View) -> Markup {
    html! {
        @if !view.status.leases.is_empty() || !view.status.leases_unknown.is_empty() {
            section {
                h2 { "Leases" }
                ul .plain {
                    @for lease in &view.status.leases {
                        li {
                            (lease.name) " in " (lease.store) ": " (lease.holder) ", since " (moment(lease.since))
                            @if lease.left.is_none() { ", " span .bad { "no sign of life" } }
                        }
                    }
                    @for (store, why) in &view.status.leases_unknown { li { (store) ": " (unknown(why)) } }
                }
            }
        }
    }
}
