//! Arguments that suit, and everything that is told of those that do not.

use schemars::JsonSchema;
use serde_json::json;

use super::*;
use crate::model::Span;

/// Arguments of many shapes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct With {
    /// Which.
    database: String,
    /// How many.
    count: Option<u32>,
    /// How long.
    wait: Option<Span>,
    /// What to.
    targets: Vec<Target>,
    /// How.
    way: Option<Way>,
    #[serde(default)]
    deep: bool,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Target {
    name: String,
    weight: u8,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum Way {
    /// Soon.
    Fast,
    /// Later.
    Slow,
}

fn problems(value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let schema = schemars::schema_for!(With);
    judge(schema.as_value(), value, &mut |place, what| problems.push(format!("{place} {what}")));
    problems
}

#[test]
fn what_suits_is_let_through() {
    let whole = json!({
        "database": "petforce", "count": 3, "wait": "1m 30s", "way": "fast", "deep": true,
        "targets": [{"name": "a", "weight": 255}],
    });
    assert_eq!(problems(&whole), Vec::<String>::new());
    assert_eq!(problems(&json!({"database": "p", "targets": []})), Vec::<String>::new());
}

#[test]
fn everything_that_does_not_is_told_with_its_place() {
    let wrong = json!({
        "databse": "petforce", "count": -1, "wait": "soon", "way": "fats", "deep": "yes",
        "targets": [{"name": 5, "wieght": 1}, {"name": "a", "weight": 256}, "x"],
    });
    insta::assert_snapshot!(problems(&wrong).join("\n"), @r#"
    /count must be at least 0
    /databse is unknown; did you mean `database`?
    /deep must be true or false, not a string
    /targets/0/name must be a string, not a whole number
    /targets/0/wieght is unknown; did you mean `weight`?
    /targets/1/weight must be at most 255
    /targets/2 must be a table, not a string
    /wait must be a duration such as "30s", "5m" or "1h 30m"
    /way must be one of "fast", "slow"; did you mean `fast`?
    "#);
    let wrong = json!({"targets": "x", "wait": 30, "way": 3, "extra": 1});
    insta::assert_snapshot!(problems(&wrong).join("\n"), @r#"
    /extra is unknown; it takes count, database, deep, targets, wait, way
    /targets must be an array, not a string
    /wait must be a duration such as "30s", not a whole number
    /way must be a string, not a whole number
    /database is missing
    "#);
}
