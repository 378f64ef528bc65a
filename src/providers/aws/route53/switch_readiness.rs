//! Whether the switch would work: its bucket answers and its health check is inverted.

use aws_sdk_route53::types::HealthCheckConfig;

use super::health_switch::HealthSwitch;
use crate::providers::aws::clients::GLOBAL;
use crate::providers::aws::failure::Call;
use crate::providers::aws::identity::{failed, unproven};
use crate::providers::{Check, Context, Standing};

pub(super) async fn checks(cx: &Context<'_>, switch: &HealthSwitch, on: bool) -> Vec<Check> {
    let what = format!("switch object {}", switch.key);
    let mut checks = vec![match switch.is_on(cx).await {
        Ok(is) if is == on => {
            let found = if is { "there already" } else { "not there already" };
            Check::new(Standing::Warning, what, found)
                .hint("the step would change nothing: is the other region active?")
        }
        Ok(true) => Check::new(Standing::Ready, what, "there"),
        Ok(false) => Check::new(Standing::Ready, what, "not there; its bucket answers"),
        Err(f) => failed(what, f),
    }];
    // Putting it would turn DNS around, so it is not tried.
    let found =
        "to put and delete it (s3:PutObject, s3:DeleteObject): no form of it changes nothing";
    let what = format!("permission for switch object {}", switch.key);
    checks.push(Check::new(Standing::Unproven, what, found).hint("a drill proves it"));
    checks.push(match &switch.health_check {
        Some(id) => health_check(cx, switch, id).await,
        None => Check::new(Standing::Unproven, "health check of the switch", "the step names none")
            .hint("name it as `health_check`, so that drctl sees that it is inverted"),
    });
    checks
}

async fn health_check(cx: &Context<'_>, switch: &HealthSwitch, id: &str) -> Check {
    let what = format!("health check {id} of the switch");
    let call = Call::reads("route53:GetHealthCheck", format!("look at health check {id}"));
    let asked = async {
        let reach = cx.world.aws.at(GLOBAL).await?;
        let request = reach.route53().get_health_check().health_check_id(id);
        request.send().await.map_err(|e| call.failed(e))
    };
    match asked.await {
        Ok(answer) => match answer.health_check().and_then(|check| check.health_check_config()) {
            Some(config) => judged(what, config, &switch.key),
            None => Check::new(Standing::Unproven, what, "Route 53 does not tell how it is set"),
        },
        Err(f) => unproven(what, &f.error),
    }
}

fn judged(what: String, config: &HealthCheckConfig, key: &str) -> Check {
    if config.inverted() != Some(true) {
        return Check::new(Standing::NotReady, what, "it is not inverted")
            .hint("invert it: the object being there must make it unhealthy");
    }
    if config.disabled() == Some(true) {
        return Check::new(Standing::NotReady, what, "it is disabled, so it never changes");
    }
    let path = config.resource_path().unwrap_or_default();
    if !path.trim_start_matches('/').ends_with(key) {
        let found = format!("it asks for `{path}`, not for `{key}`");
        return Check::new(Standing::NotReady, what, found);
    }
    let after = i64::from(config.request_interval().unwrap_or(30))
        * i64::from(config.failure_threshold().unwrap_or(3));
    Check::new(Standing::Ready, what, format!("inverted, turns within about {after} s"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::HealthCheckType;

    use super::*;

    #[test]
    fn only_an_inverted_check_of_the_object_is_ready() {
        let standing = |inverted, path: &str| {
            let config = HealthCheckConfig::builder()
                .r#type(HealthCheckType::Https)
                .inverted(inverted)
                .resource_path(path)
                .build()
                .unwrap();
            judged(String::new(), &config, "switch").standing
        };
        assert_eq!(standing(true, "/dr/switch"), Standing::Ready);
        assert_eq!(standing(false, "/dr/switch"), Standing::NotReady);
        assert_eq!(standing(true, "/health"), Standing::NotReady);
    }
}
