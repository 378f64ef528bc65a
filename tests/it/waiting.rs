//! Waiting for what comes by itself, and not for ever.

use std::time::{Duration, Instant};

/// How long anything may take that is about to be so.
pub const SOON: Duration = Duration::from_secs(30);

/// Polls until `so` holds.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < SOON, "not so after {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
