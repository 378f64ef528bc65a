//! Reading and writing the records of a hosted zone.

use aws_sdk_route53::types::{
    AliasTarget, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet,
    ResourceRecordSetFailover, ResourceRecordSetRegion,
};

use super::state::{Alias, Role, State, name};
use super::swap_arguments::Wanted;
use crate::error::{Error, Kind};
use crate::providers::aws::clients::GLOBAL;
use crate::providers::aws::failure::Call;
use crate::providers::{Context, Failure};

/// The record as it is in the zone; `None`: there is none.
pub(super) async fn find(
    cx: &Context<'_>,
    zone: &str,
    wanted: &Wanted,
) -> Result<Option<ResourceRecordSet>, Failure> {
    let call = Call::reads(
        "route53:ListResourceRecordSets",
        format!("look at record {wanted} of zone {zone}"),
    );
    let reach = cx.world.aws.at(GLOBAL).await?;
    let mut start = (wanted.name.clone(), wanted.kind.clone(), None);
    loop {
        let answer = reach
            .route53()
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(&start.0)
            .start_record_type(start.1)
            .set_start_record_identifier(start.2)
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        for record in answer.resource_record_sets() {
            if is(record, wanted) {
                return Ok(Some(record.clone()));
            }
        }
        // Sorted by name and type, so all of a name stand together.
        match (answer.next_record_name, answer.next_record_type) {
            (Some(next), Some(kind)) if answer.is_truncated && name(&next) == wanted.name => {
                start = (next, kind, answer.next_record_identifier);
            }
            _ => return Ok(None),
        }
    }
}

fn is(record: &ResourceRecordSet, wanted: &Wanted) -> bool {
    name(record.name()) == wanted.name
        && *record.r#type() == wanted.kind
        && record.set_identifier() == wanted.set_identifier.as_deref()
}

/// What a record says, ready to be compared.
pub(super) fn state(record: &ResourceRecordSet) -> State {
    let values: Vec<_> = record.resource_records().iter().map(|r| r.value().to_owned()).collect();
    let role = |failover: &ResourceRecordSetFailover| match failover {
        ResourceRecordSetFailover::Primary => Some(Role::Primary),
        ResourceRecordSetFailover::Secondary => Some(Role::Secondary),
        _ => None,
    };
    let state = State {
        values: (!values.is_empty()).then_some(values),
        ttl: record.ttl(),
        alias: record.alias_target().map(|alias| Alias {
            name: alias.dns_name().to_owned(),
            zone: alias.hosted_zone_id().to_owned(),
            evaluate_target_health: alias.evaluate_target_health(),
        }),
        weight: record.weight(),
        failover: record.failover().and_then(role),
        region: record.region().map(|region| region.as_str().to_owned()),
        multivalue: record.multi_value_answer(),
        health_check: record.health_check_id().map(str::to_owned),
    };
    state.normal(record.r#type().as_str())
}

/// The record that says `state`; what drctl does not know of (a place on Earth, a range of client
/// addresses) stays as it is in `current`.
pub(super) fn record(
    wanted: &Wanted,
    current: Option<&ResourceRecordSet>,
    state: &State,
) -> Result<ResourceRecordSet, Failure> {
    let built = |what: &str, e: aws_sdk_route53::error::BuildError| {
        Failure::permanent(Error::new(Kind::Bug, format!("make {what} of {wanted}")).caused_by(e))
    };
    let mut values = Vec::new();
    for value in state.values.iter().flatten() {
        let value = ResourceRecord::builder().value(value).build();
        values.push(value.map_err(|e| built("a value", e))?);
    }
    let alias = state.alias.as_ref().map(|alias| {
        AliasTarget::builder()
            .dns_name(&alias.name)
            .hosted_zone_id(&alias.zone)
            .evaluate_target_health(alias.evaluate_target_health)
            .build()
    });
    let role = |role| match role {
        Role::Primary => ResourceRecordSetFailover::Primary,
        Role::Secondary => ResourceRecordSetFailover::Secondary,
    };
    let region = state.region.as_deref().map(ResourceRecordSetRegion::from);
    ResourceRecordSet::builder()
        .name(current.map_or(wanted.name.as_str(), ResourceRecordSet::name))
        .r#type(wanted.kind.clone())
        .set_set_identifier(wanted.set_identifier.clone())
        .set_resource_records((!values.is_empty()).then_some(values))
        .set_ttl(state.ttl)
        .set_alias_target(alias.transpose().map_err(|e| built("the alias", e))?)
        .set_weight(state.weight)
        .set_failover(state.failover.map(role))
        .set_region(region)
        .set_multi_value_answer(state.multivalue)
        .set_health_check_id(state.health_check.clone())
        .set_geo_location(current.and_then(|c| c.geo_location().cloned()))
        .set_cidr_routing_config(current.and_then(|c| c.cidr_routing_config().cloned()))
        .set_geo_proximity_location(current.and_then(|c| c.geo_proximity_location().cloned()))
        .build()
        .map_err(|e| built("the record", e))
}

/// One change of a batch.
pub(super) type Entry = (ChangeAction, ResourceRecordSet);

/// Sends all changes at once: Route 53 makes all of them or none (API Reference,
/// ChangeResourceRecordSets). Gives the id of the change.
pub(super) async fn change(
    cx: &Context<'_>,
    zone: &str,
    what: &str,
    entries: Vec<Entry>,
) -> Result<String, Failure> {
    let call = Call::writes("route53:ChangeResourceRecordSets", what);
    let bug = |e| Failure::permanent(Error::new(Kind::Bug, what).caused_by(e));
    let mut batch = ChangeBatch::builder().comment(format!("drctl {} {}", cx.run.id, cx.step));
    for (action, record) in entries {
        let change =
            aws_sdk_route53::types::Change::builder().action(action).resource_record_set(record);
        batch = batch.changes(change.build().map_err(bug)?);
    }
    let answer = cx
        .world
        .aws
        .at(GLOBAL)
        .await?
        .writing()
        .route53()
        .change_resource_record_sets()
        .hosted_zone_id(zone)
        .change_batch(batch.build().map_err(bug)?)
        .send()
        .await
        .map_err(|e| call.failed(e))?;
    let id = answer.change_info().map_or("", |info| info.id());
    Ok(id.strip_prefix("/change/").unwrap_or(id).to_owned())
}
