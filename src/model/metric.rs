//! Metrics as values: what is measured, in which unit, and for what. All are gauges: they are made
//! anew from what is known, so none needs a memory of its own.

/// The unit of a metric; its name ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Seconds,
    Bytes,
}

/// One metric with its values. What is unknown has no value, and never 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Without the unit.
    pub name: &'static str,
    pub unit: Unit,
    pub help: &'static str,
    pub samples: Vec<Sample>,
}

/// One value, and for what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Family {
    pub fn new(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, unit, help, samples: Vec::new() }
    }

    /// Adds a value where there is one.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
            self.samples.push(Sample { labels, value });
        }
    }

    /// With the unit, as it is exported.
    pub fn full_name(&self) -> String {
        match self.unit {
            Unit::None => self.name.to_owned(),
            Unit::Seconds => format!("{}_seconds", self.name),
            Unit::Bytes => format!("{}_bytes", self.name),
        }
    }
}
