//! What is wrong: why it is not ready, incidents, late snapshots and failed jobs.

use maud::{Markup, html};

use super::{marked, unknown};
use crate::model::Learned;
use crate::report::words::{moment, span};
use crate::schedule::standing::{JobStanding, RpoLevel, RpoStanding};
use crate::web::intake::{Incident, Prepared};
use crate::web::view::View;

pub fn reasons(view: &View) -> Markup {
    html! {
        @if !view.reasons.is_empty() {
            section .warn {
                h2 { "Why not" }
                ul { @for reason in &view.reasons { li { (reason) } } }
            }
        }
    }
}

pub fn incidents(view: &View) -> Markup {
    html! {
        @match &view.incidents {
            Learned::Unknown(why) => section { h2 { "Incidents" } p { (unknown(why)) } },
            Learned::Known(all) => @for incident in all { (one(incident)) },
        }
    }
}

fn one(incident: &Incident) -> Markup {
    html! {
        section .warn {
            h2 { "Incident " (incident.id) }
            p { "Open since " (moment(incident.opened)) ", runbook " code { (incident.runbook) } "." }
            ul {
                @for alert in &incident.alerts {
                    li {
                        b { (alert.source) } ": " (alert.summary)
                        @match alert.over {
                            None => { ", since " (moment(alert.since)) }
                            Some(over) => { ", over since " (moment(over)) }
                        }
                    }
                }
            }
            @match &incident.prepared {
                None => p { (unknown("no plan was prepared yet")) },
                Some(prepared) => (plan(prepared)),
            }
        }
    }
}

fn plan(prepared: &Prepared) -> Markup {
    html! {
        p { "Prepared at " (moment(prepared.at)) ":" }
        dl {
            dt { "Loss to expect" } dd { (prepared.loss) }
            dt { "Preflight" } dd { (prepared.preflight) }
            dt { "Time planned" } dd { (prepared.steps) " steps, " (span(prepared.seconds)) " at most" }
        }
        @for trouble in &prepared.troubles { p .warning { (marked(trouble)) } }
        p { "To begin it, on a machine that reaches the stores:" }
        pre { code { (prepared.command) } }
    }
}

/// What the runner finds wrong; what it finds well stands further down.
pub fn schedule(view: &View) -> Markup {
    let Learned::Known(schedule) = &view.schedule else { return html! {} };
    let late: Vec<&RpoStanding> =
        schedule.rpo.iter().filter(|r| r.level != RpoLevel::Fine).collect();
    let failed: Vec<&JobStanding> = schedule
        .jobs
        .iter()
        .filter(|job| job.state.known().is_none_or(|state| state.failures > 0))
        .collect();
    let silent = schedule.runners.known().into_iter().flatten().filter(|r| r.silent);
    let silent: Vec<_> = silent.collect();
    html! {
        @if !(late.is_empty() && failed.is_empty() && silent.is_empty()) {
            section .warn {
                h2 { "Alerts" }
                ul {
                    @for rpo in late {
                        li {
                            @match rpo.level {
                                RpoLevel::Broken => b { "RPO broken" },
                                RpoLevel::Near => b { "RPO near" },
                                _ => span .unknown { "UNKNOWN" },
                            }
                            ": " (rpo.database) " in " (rpo.store) ", "
                            @match (rpo.age(view.at()), &rpo.newest) {
                                (Some(age), _) => { "the newest snapshot is " (span(age)) " old, of " (span(rpo.objective)) }
                                (None, Learned::Known(_)) => "no snapshot",
                                (None, Learned::Unknown(why)) => (why),
                            }
                        }
                    }
                    @for job in failed {
                        li {
                            b { "Job " (job.job) } @if let Some(name) = &job.database { " of " (name) } ": "
                            @match &job.state {
                                Learned::Unknown(why) => (unknown(why)),
                                Learned::Known(state) => {
                                    "failed " (state.failures) @if state.failures == 1 { " time" } @else { " times" } " in a row"
                                    @if let Some(last) = &state.last { ": " (marked(&last.summary)) }
                                }
                            }
                        }
                    }
                    @for runner in silent {
                        li { b { "Runner " (runner.name) } ": no sign of life since " (moment(runner.heartbeat)) }
                    }
                }
            }
        }
    }
}
