//! What each action leaves for later steps: the facts that `${steps.ID.FACT}` may ask for. The engine
//! holds, wherever assertions are on, that an action leaves no other.

/// The names of the facts that an action may leave; some only where they could be found out.
pub fn by(action: &str) -> &'static [&'static str] {
    match action {
        "command.run" => &["exit_status", "stdout"],
        "dns.await_answer" => &["name", "type", "expected", "answers", "new", "asked"],
        "ecs.await_steady" => &["running", "health_checked"],
        "ecs.redeploy" => &["deployment"],
        "ecs.scale" => &["from", "to"],
        "elb.await_healthy" => &["healthy"],
        "epoch.activate" => &["epoch", "region"],
        "http.await_ready" => &["status", "millis", "asked"],
        "human.approve" => &["by", "at", "approval", "reason"],
        "loss.assess" => &[
            "database",
            "predicted_seconds",
            "predicted_bytes",
            "bytes_at_least",
            "safe_until",
            "basis",
            "old_timeline",
            "system_identifier",
            "accepted_by",
        ],
        "notify.alertmanager"
        | "notify.all"
        | "notify.datadog"
        | "notify.email"
        | "notify.pagerduty"
        | "notify.slack"
        | "notify.webhook" => &["told", "untold", "message"],
        "postgres.check_primary" => {
            &["database", "sequences", "sequences_moved_on", "slots_here", "slots_lost"]
        }
        "postgres.drain" => &["database", "drained_to", "last_commit", "old_timeline", "seconds"],
        "postgres.fence" => &[
            "database",
            "region",
            "fenced",
            "unfenced",
            "why",
            "last_lsn",
            "slots",
            "system_identifier",
            "old_timeline",
            "ended",
            "accepted_by",
        ],
        "postgres.promote" => &[
            "database",
            "promoted",
            "new_timeline",
            "old_timeline",
            "last_commit",
            "ended_at",
            "lost_seconds",
            "lost_bytes",
            "lost_bytes_at_least",
            "loss_basis",
            "next_transaction",
            "seconds",
        ],
        "postgres.quarantine" => &[
            "database",
            "quarantined",
            "standby",
            "ended",
            "lost_bytes_exactly",
            "lost_transactions",
        ],
        "probe.quorum" => &["down", "up", "unknown", "need", "seen", "primary_is_broken"],
        "rds.await_available" => &["endpoint"],
        "rds.check_replica" => &["found"],
        "rds.promote_replica" => &["seconds"],
        "route53.swap" => &["zone", "change", "records"],
        "snapshot.find_good" => &["database", "snapshot", "taken", "loss_seconds", "passed_over"],
        "snapshot.restore" => &["database", "region", "name", "snapshot", "taken", "rows", "proof"],
        "snapshot.swap" => &["database", "name", "kept_as"],
        "snapshot.take" => &["database", "snapshot", "taken", "rows", "stores"],
        "verify.sql" => &["checks"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::kinds;

    #[test]
    fn what_is_told_of_is_an_action() {
        let silent = ["rds.modify_class", "route53.await_insync", "route53.health_switch"];
        for kind in kinds() {
            assert_eq!(by(kind.name).is_empty(), silent.contains(&kind.name), "{}", kind.name);
        }
        assert_eq!(by("postgres.promotion"), [""; 0]);
    }
}
