//! How long to go on trying, and when the next try is.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::store::port::{Class, Result, StoreError};

/// How long to go on trying, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The wait after the first failure; each is about twice the one before.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// How long after the first failure another try may begin. It counts from there, not from the
    /// beginning, so that a transfer of an hour that breaks off is worth another try too.
    pub window: Duration,
}

impl Default for Patience {
    /// For unattended work: sits out a throttled minute.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(10),
            window: Duration::from_secs(120),
        }
    }
}

impl Patience {
    /// As the default, for another window.
    pub fn of(window: Duration) -> Self {
        Self { window, ..Self::default() }
    }

    /// For work against the clock, where a store that is gone must be found gone soon.
    pub fn brief() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(2),
            window: Duration::from_secs(10),
        }
    }

    /// Runs `act` until it succeeds, fails for good, or the window ends.
    pub async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut act: impl FnMut() -> F,
    ) -> Result<T> {
        let mut tries = self.begin();
        loop {
            match act().await {
                Ok(value) => return Ok(value),
                Err(e) => tries.wait_after(e).await?,
            }
        }
    }

    pub(super) fn begin(&self) -> Tries {
        let waits = ExponentialBuilder::default()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        Tries { patience: *self, waits, failed: 0, first_failure: None }
    }
}

/// The tries of one act, so far.
pub(super) struct Tries {
    patience: Patience,
    pub(super) waits: ExponentialBackoff,
    pub(super) failed: u32,
    first_failure: Option<Instant>,
}

impl Tries {
    /// Waits before the next try, or gives the error back if there is to be none.
    pub(super) async fn wait_after(&mut self, e: StoreError) -> Result<()> {
        if !matches!(e.class, Class::Transient | Class::Unknown) {
            return Err(e);
        }
        self.failed += 1;
        let since = self.first_failure.get_or_insert_with(Instant::now).elapsed();
        match self.waits.next() {
            Some(wait) if since + wait <= self.patience.window => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => {
                let (failed, seconds) = (self.failed, since.as_secs());
                let what = format!("{} (gave up after {failed} tries in {seconds} s)", e.what);
                Err(StoreError { what, ..e })
            }
        }
    }
}
