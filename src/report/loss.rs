//! How much data a run was expected to lose, and how much it did.

use serde::Serialize;
use serde_json::Value;

use super::words;
use crate::providers::{ExpectedLoss, Facts};

/// An amount of lost writes. What is not known is `None`, never 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Amount {
    pub seconds: Option<f64>,
    pub bytes: Option<u64>,
    /// Committed on the old primary and nowhere else; known once it can be asked.
    pub transactions: Option<u64>,
    /// How it is known, or why it is not.
    pub basis: Option<String>,
}

/// The loss of one database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    pub database: Option<String>,
    /// As it was shown before the run was confirmed.
    pub expected: Option<Amount>,
    /// By the run itself, before anything was changed.
    pub predicted: Option<Amount>,
    /// After promotion.
    pub measured: Option<Amount>,
}

impl Amount {
    pub fn in_words(&self) -> String {
        let mut pieces = Vec::new();
        match self.transactions {
            Some(1) => pieces.push("1 transaction".to_owned()),
            Some(count) if count > 1 => pieces.push(format!("{count} transactions")),
            _ => {}
        }
        match self.seconds {
            Some(seconds) if seconds > 0.0 => {
                pieces.push(format!("{} of writes", words::span(seconds)));
            }
            _ => {}
        }
        if let Some(bytes) = self.bytes.filter(|b| *b > 0) {
            pieces.push(format!("{} of WAL", words::bytes(bytes)));
        }
        match (pieces.is_empty(), self.seconds, self.bytes) {
            (false, ..) => pieces.join(", "),
            (true, Some(_), Some(_)) => "none".to_owned(),
            // One figure of nought alone does not prove the other.
            (true, _, Some(_)) => "0 bytes of WAL; of what time is unknown".to_owned(),
            (true, Some(_), None) => "0 s of writes; how many bytes is unknown".to_owned(),
            (true, None, None) => "UNKNOWN".to_owned(),
        }
    }
}

/// Reads what was expected at the confirmation, and what the actions of `loss.assess`,
/// `postgres.promote` and `postgres.quarantine` left.
pub(super) fn of<'f>(expected: &[ExpectedLoss], all: impl Iterator<Item = &'f Facts>) -> Vec<Loss> {
    let amount_of = |e: &ExpectedLoss| Amount {
        seconds: e.prediction.seconds,
        bytes: e.prediction.bytes,
        transactions: None,
        basis: Some(e.prediction.basis.clone()),
    };
    let confirmed = expected.iter().map(|e| Loss {
        database: Some(e.database.clone()),
        expected: Some(amount_of(e)),
        predicted: None,
        measured: None,
    });
    let mut losses: Vec<Loss> = confirmed.collect();
    for facts in all {
        let database = facts.get("database").and_then(Value::as_str).map(str::to_owned);
        let predicted = amount(facts, "predicted_seconds", "predicted_bytes", "basis");
        let mut measured = amount(facts, "lost_seconds", "lost_bytes", "loss_basis");
        if let Some(exactly) = facts.get("lost_bytes_exactly").and_then(Value::as_u64) {
            let amount = measured.get_or_insert_default();
            amount.bytes = Some(exactly);
            amount.basis = Some("read from the old primary when it came back".to_owned());
        }
        if let Some(lost) = facts.get("lost_transactions").and_then(Value::as_u64) {
            measured.get_or_insert_default().transactions = Some(lost);
        }
        if predicted.is_none() && measured.is_none() {
            continue;
        }
        let known = losses.iter().position(|l| l.database == database).unwrap_or_else(|| {
            losses.push(Loss { database, expected: None, predicted: None, measured: None });
            losses.len() - 1
        });
        let loss = &mut losses[known];
        loss.predicted = predicted.or(loss.predicted.take());
        loss.measured = match (measured, loss.measured.take()) {
            // What came back later knows the bytes, and not the time.
            (Some(new), Some(old)) => Some(Amount {
                seconds: new.seconds.or(old.seconds),
                bytes: new.bytes.or(old.bytes),
                transactions: new.transactions.or(old.transactions),
                basis: new.basis.or(old.basis),
            }),
            (new, old) => new.or(old),
        };
    }
    losses
}

fn amount(facts: &Facts, seconds: &str, bytes: &str, basis: &str) -> Option<Amount> {
    if !facts.contains_key(seconds) && !facts.contains_key(bytes) {
        return None;
    }
    Some(Amount {
        seconds: facts.get(seconds).and_then(Value::as_f64),
        bytes: facts.get(bytes).and_then(Value::as_u64),
        transactions: None,
        basis: facts.get(basis).and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(value: Value) -> Facts {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_unknown_is_never_nought() {
        let known = |seconds, bytes| Amount { seconds, bytes, ..Amount::default() }.in_words();
        assert_eq!(known(None, None), "UNKNOWN");
        assert_eq!(known(Some(0.0), Some(0)), "none");
        assert_eq!(known(None, Some(0)), "0 bytes of WAL; of what time is unknown");
        assert_eq!(known(Some(2.5), None), "2.5 s of writes");
    }

    #[test]
    fn a_primary_that_came_back_knows_what_only_it_has() {
        let all = [
            facts(json!({"database": "p", "predicted_seconds": 3.0, "predicted_bytes": "unknown"})),
            facts(json!({"database": "p", "lost_seconds": 2.0, "lost_bytes": "unknown"})),
            facts(json!({"database": "p", "lost_bytes_exactly": 4096, "lost_transactions": 7})),
            facts(json!({"rows": 3})),
        ];
        let losses = of(&[], all.iter());
        assert_eq!(losses.len(), 1);
        let predicted = losses[0].predicted.clone().unwrap();
        assert_eq!((predicted.seconds, predicted.bytes), (Some(3.0), None));
        let measured = losses[0].measured.clone().unwrap();
        assert_eq!((measured.seconds, measured.bytes), (Some(2.0), Some(4096)));
        assert_eq!(measured.in_words(), "7 transactions, 2.0 s of writes, 4.0 KiB of WAL");
    }
}
