//! Reports of runs: a value, and its renderings as JSON, Markdown and HTML.

mod html;
mod left;
mod loss;
mod markdown;
mod run;
mod timeline;
mod words;

pub use html::html;
pub use loss::{Amount, Loss};
pub use markdown::markdown;
pub use run::{Approval, RunReport, StepReport, StepStanding, make};

#[cfg(test)]
mod specimen;
#[cfg(test)]
mod tests;
