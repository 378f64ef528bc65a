//! Slack: a message to an incoming webhook.

use serde_json::{Value, json};

use super::notification::Notification;

/// The request's body. Slack's own formatting: https://docs.slack.dev/messaging/formatting-message-text
pub fn body(told: &Notification) -> Value {
    let mut text = format!("*{}*\n", escaped(&told.headline));
    if let Some(rest) = &told.text {
        text.push_str(&format!("{}\n", escaped(rest)));
    }
    for (name, value) in &told.standing {
        text.push_str(&format!("• {name}: {}\n", escaped(value)));
    }
    json!({ "text": text })
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn what_slack_would_take_for_markup_is_escaped() {
        let text = body(&message().notification())["text"].as_str().unwrap().to_owned();
        assert!(
            text.starts_with("*petforce, us-east-1 to us-west-2: promoted &amp; serving*\n"),
            "{text}"
        );
        assert!(text.contains("writes go to &lt;us-west-2&gt; now\n• run: "), "{text}");
    }
}
