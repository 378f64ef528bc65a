//! Metrics as text for Prometheus: OpenMetrics 1.0 for `/metrics`, and the older text format 0.0.4
//! for files, since the textfile collector of node_exporter reads no other.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as ClientUnit};

use crate::error::{Attempt as _, Kind, Result};
use crate::model::{Family, Unit};

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let unit = match family.unit {
                Unit::None => None,
                Unit::Seconds => Some(ClientUnit::Seconds),
                Unit::Bytes => Some(ClientUnit::Bytes),
            };
            let mut metric = encoder.encode_descriptor(
                family.name,
                family.help,
                unit.as_ref(),
                MetricType::Gauge,
            )?;
            for sample in &family.samples {
                metric.encode_family(&sample.labels)?.encode_gauge(&sample.value)?;
            }
        }
        Ok(())
    }
}

fn registry(families: &[Family]) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families.to_vec())));
    registry
}

/// As `application/openmetrics-text; version=1.0.0`.
pub fn openmetrics(families: &[Family]) -> Result<String> {
    let mut written = String::new();
    text::encode(&mut written, &registry(families))
        .attempt(Kind::Bug, || "write metrics as OpenMetrics".to_owned())?;
    Ok(written)
}

/// As `text/plain; version=0.0.4`.
pub fn prometheus(families: &[Family]) -> Result<String> {
    let mut written = String::new();
    prometheus_text::encode(&mut written, &registry(families))
        .attempt(Kind::Bug, || "write metrics as text".to_owned())?;
    Ok(written)
}
