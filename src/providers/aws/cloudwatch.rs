//! Metrics to CloudWatch.

use aws_sdk_cloudwatch::primitives::DateTime as SdkTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use chrono::{DateTime, Utc};

use super::clients::Clients;
use super::failure::Call;
use crate::model::{Family, Sample, Unit};
use crate::providers::Failure;

/// Metrics in one request, and the longest value of a dimension (API reference of PutMetricData and
/// of Dimension).
const AT_ONCE: usize = 1000;
const LONGEST: usize = 1024;

/// Sends every value under `namespace` in `region`, as of `now`.
pub async fn put_metrics(
    clients: &Clients,
    region: &str,
    namespace: &str,
    project: &str,
    families: &[Family],
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let reach = clients.at(region).await?;
    let what = format!("send metrics to CloudWatch in {region}");
    let call = Call::writes("cloudwatch:PutMetricData", what);
    let data: Vec<MetricDatum> = families
        .iter()
        .flat_map(|family| family.samples.iter().map(|sample| datum(project, family, sample, now)))
        .collect();
    for part in data.chunks(AT_ONCE) {
        let request = reach.cloudwatch().put_metric_data().namespace(namespace);
        let request = request.set_metric_data(Some(part.to_vec()));
        request.send().await.map_err(|e| call.failed(e))?;
    }
    Ok(())
}

fn datum(project: &str, family: &Family, sample: &Sample, now: DateTime<Utc>) -> MetricDatum {
    let unit = match family.unit {
        Unit::Seconds => StandardUnit::Seconds,
        Unit::Bytes => StandardUnit::Bytes,
        Unit::None => StandardUnit::None,
    };
    let dimension =
        |name: &str, value: &str| Dimension::builder().name(name).value(plain(value)).build();
    // A dimension without a value is refused.
    let labels = sample.labels.iter().filter(|(_, value)| !value.trim().is_empty());
    let dimensions = std::iter::once(dimension("project", project))
        .chain(labels.map(|(name, value)| dimension(name, value)));
    MetricDatum::builder()
        .metric_name(family.full_name())
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(SdkTime::from_millis(now.timestamp_millis()))
        .value(sample.value)
        .unit(unit)
        .build()
}

/// ASCII that can be seen.
fn plain(value: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    value.chars().map(shown).take(LONGEST).collect()
}
