//! What came of runs, drills and audits, and how the service stands, for people and programs.

pub mod audit;
pub mod document;
mod drill;
mod html;
mod left;
mod loss;
mod markdown;
pub mod metrics;
pub mod period;
mod run;
pub mod status;
mod timeline;
pub mod words;

pub use drill::{html as drill_html, markdown as drill_markdown};
pub use html::html;
pub use loss::{Amount, Loss};
pub use markdown::markdown;
pub use run::{Approval, RunReport, StepReport, StepStanding, make};

/// The style of every report.
pub const STYLE: &str = include_str!("style.css");

#[cfg(test)]
pub(crate) mod specimen;
#[cfg(test)]
mod tests;
