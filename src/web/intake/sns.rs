//! CloudWatch alarms through SNS (https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html).
//! SNS signs; only configured topics are listened to, and only to those a subscription is confirmed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Refusal, Told, line, recent};
use crate::providers::World;
use crate::providers::aws::SnsMessage;

/// What CloudWatch puts into the message, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    #[serde(default)]
    alarm_arn: Option<String>,
    #[serde(rename = "AWSAccountId", default)]
    account: Option<String>,
    new_state_value: String,
    #[serde(default)]
    new_state_reason: String,
    state_change_time: String,
}

pub async fn told(
    world: &World,
    topics: &[String],
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<Told>, Refusal> {
    let message = SnsMessage::read(body)
        .map_err(|why| Refusal::Senseless(format!("not a message of SNS: {why}")))?;
    // Before anything is fetched for it.
    if !topics.contains(&message.topic_arn) {
        return Err(Refusal::Stranger("it is of a topic that is not listened to".to_owned()));
    }
    recent(message.timestamp, now)?;
    message.verify(world, now).await.map_err(|e| Refusal::of(&e))?;
    if message.asks_to_confirm() {
        message.confirm(world).await.map_err(|e| Refusal::Later(e.one_line()))?;
        return Ok(Vec::new());
    }
    if message.kind != "Notification" {
        return Ok(Vec::new());
    }
    alarm(&message)
}

fn alarm(message: &SnsMessage) -> Result<Vec<Told>, Refusal> {
    let senseless = |why: String| Refusal::Senseless(format!("not an alarm of CloudWatch: {why}"));
    let alarm: Alarm =
        serde_json::from_str(&message.message).map_err(|e| senseless(e.to_string()))?;
    let firing = match alarm.new_state_value.as_str() {
        "ALARM" => true,
        "OK" => false,
        // Nothing is known: what lasts goes on, and nothing begins by it.
        _ => return Ok(Vec::new()),
    };
    let at = DateTime::parse_from_str(&alarm.state_change_time, "%Y-%m-%dT%H:%M:%S%.f%z")
        .map_err(|e| senseless(e.to_string()))?;
    let region = message.topic_arn.split(':').nth(3).unwrap_or_default();
    let mut labels = BTreeMap::from([
        ("alarm".to_owned(), alarm.alarm_name.clone()),
        ("region".to_owned(), region.to_owned()),
        ("topic".to_owned(), message.topic_arn.clone()),
    ]);
    labels.extend(alarm.account.map(|account| ("account".to_owned(), account)));
    Ok(vec![Told {
        key: alarm.alarm_arn.unwrap_or_else(|| alarm.alarm_name.clone()),
        firing,
        at: at.with_timezone(&Utc),
        summary: line(&format!("{}: {}", alarm.alarm_name, alarm.new_state_reason)),
        labels,
    }])
}
