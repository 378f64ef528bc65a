//! Whether and since when clients are served, from one look after another. Pure.

/// What was seen of the service since the fault. Times are seconds since then.
#[derive(Debug, Clone, Default)]
pub struct Served {
    looks: u64,
    /// When it was first seen not to serve.
    lost: Option<f64>,
    /// Since when every look was good.
    since: Option<f64>,
    /// How often it was served again and then not any more.
    relapses: u64,
    /// Why the last bad look was bad.
    why: Option<String>,
}

impl Served {
    /// Takes one look into account; `Err`: it does not serve, and why.
    pub fn seen(&mut self, at: f64, look: Result<(), String>) {
        self.looks += 1;
        match look {
            Ok(()) => _ = self.since.get_or_insert(at),
            Err(why) => {
                if self.lost.is_some() && self.since.is_some() {
                    self.relapses += 1;
                }
                self.lost.get_or_insert(at);
                self.since = None;
                self.why = Some(why);
            }
        }
    }

    /// Whether the fault was felt at all.
    pub fn was_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// When the service came back for good, as far as seen; none: it is not back, or never was gone.
    pub fn recovered(&self) -> Option<f64> {
        self.lost.and(self.since)
    }

    /// For how long every look was good.
    pub fn held(&self, now: f64) -> f64 {
        self.since.map_or(0.0, |since| now - since)
    }

    /// How often it was served again and then not any more.
    pub fn relapses(&self) -> u64 {
        self.relapses
    }

    pub fn looks(&self) -> u64 {
        self.looks
    }

    pub fn lost(&self) -> Option<f64> {
        self.lost
    }

    /// Why the last bad look was bad.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_return_counts() {
        let mut served = Served::default();
        // A cache answers for a moment after the fault.
        served.seen(0.5, Ok(()));
        assert_eq!((served.was_lost(), served.recovered()), (false, None));
        served.seen(1.0, Err("refused".to_owned()));
        assert_eq!((served.was_lost(), served.recovered()), (true, None));
        served.seen(5.0, Ok(()));
        served.seen(6.0, Ok(()));
        assert_eq!((served.recovered(), served.held(8.0)), (Some(5.0), 3.0));
        served.seen(9.0, Err("500".to_owned()));
        assert_eq!((served.recovered(), served.held(9.0), served.relapses()), (None, 0.0, 1));
        served.seen(11.0, Ok(()));
        assert_eq!((served.recovered(), served.why()), (Some(11.0), Some("500")));
    }
}
