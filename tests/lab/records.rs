//! The hosted zone of PetForce, with records of every kind and a health check.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::calls::Api;
use super::furnish::Furnished;
use super::moto::Moto;
use super::world::ZONE;
use super::xml::one;

/// Where the switch object lies that moves `app` and `api` to the standby region while it is there.
pub const SWITCH: (&str, &str) = ("petforce-switch", "failover/us-west-2");

/// Both regions, as the zone names them.
pub struct Ends<'a> {
    pub east: (Ipv4Addr, &'a Furnished),
    pub west: (Ipv4Addr, &'a Furnished),
    /// The standby region's S3, which the switch's check asks.
    pub switch: std::net::SocketAddr,
    pub ttl: u32,
}

/// The hosted zone's id, and that of the health check that watches the switch object.
pub struct Made {
    pub zone: String,
    pub switch_check: String,
}

/// Makes the hosted zone and its records:
/// - `app`: failover records that are aliases of the regions' load balancers, the primary one healthy
///   as long as the switch object is not there: what the runbooks move;
/// - `api`: likewise, with addresses;
/// - `www`: an alias of us-east-1's load balancer;
/// - `beta`: weighted, all of it in us-east-1;
/// - `old`: one address.
pub fn make(global: &Moto, ends: &Ends<'_>) -> Made {
    let api = Api { port: global.port(), region: "us-east-1", service: "route53" };
    let reference = super::unique("zone");
    let made = api.rest(
        "POST",
        "/2013-04-01/hostedzone",
        &format!(
            "<CreateHostedZoneRequest><Name>{ZONE}.</Name>\
             <CallerReference>{reference}</CallerReference></CreateHostedZoneRequest>"
        ),
    );
    let id = one(&made, "Id").expect("an id").trim_start_matches("/hostedzone/").to_owned();
    let (ip, port) = (ends.switch.ip(), ends.switch.port());
    let check = api.rest(
        "POST",
        "/2013-04-01/healthcheck",
        &format!(
            "<CreateHealthCheckRequest><CallerReference>{reference}</CallerReference>\
             <HealthCheckConfig><IPAddress>{ip}</IPAddress><Port>{port}</Port><Type>HTTP</Type>\
             <ResourcePath>/{}/{}</ResourcePath><RequestInterval>10</RequestInterval>\
             <FailureThreshold>1</FailureThreshold><Inverted>true</Inverted></HealthCheckConfig>\
             </CreateHealthCheckRequest>",
            SWITCH.0, SWITCH.1
        ),
    );
    let check = one(&check, "Id").expect("an id");
    let (east, west, ttl) = (ends.east, ends.west, ends.ttl);
    let value = |ip: Ipv4Addr| {
        format!(
            "<TTL>{ttl}</TTL><ResourceRecords><ResourceRecord><Value>{ip}</Value>\
             </ResourceRecord></ResourceRecords>"
        )
    };
    let alias = |made: &Furnished| {
        format!(
            "<AliasTarget><HostedZoneId>{}</HostedZoneId><DNSName>{}</DNSName>\
             <EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
            made.balancer_zone, made.balancer
        )
    };
    let role = |set: &str, role: &str, check: &str| {
        format!("<SetIdentifier>{set}</SetIdentifier><Failover>{role}</Failover>{check}")
    };
    let share = |set: &str, weight: u8| {
        format!("<SetIdentifier>{set}</SetIdentifier><Weight>{weight}</Weight>")
    };
    let watched = format!("<HealthCheckId>{check}</HealthCheckId>");
    // Only `app` has the regions' names: moto, told to delete a set by its identifier, deletes it
    // under every name.
    let sets = [
        ("app", role("us-east-1", "PRIMARY", &watched), alias(east.1)),
        ("app", role("us-west-2", "SECONDARY", ""), alias(west.1)),
        ("old", String::new(), value(east.0)),
        ("www", String::new(), alias(east.1)),
        ("beta", share("beta-east", 100), value(east.0)),
        ("beta", share("beta-west", 0), value(west.0)),
        ("api", role("api-east", "PRIMARY", &watched), value(east.0)),
        ("api", role("api-west", "SECONDARY", ""), value(west.0)),
    ];
    let changes: String = sets
        .iter()
        .map(|(name, routing, value)| {
            format!(
                "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>{name}.{ZONE}.</Name>\
                 <Type>A</Type>{routing}{value}</ResourceRecordSet></Change>"
            )
        })
        .collect();
    api.rest(
        "POST",
        &format!("/2013-04-01/hostedzone/{id}/rrset/"),
        &format!(
            "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes>{changes}</Changes>\
             </ChangeBatch></ChangeResourceRecordSetsRequest>"
        ),
    );
    Made { zone: id, switch_check: check.to_owned() }
}

/// The load balancers' addresses, by name.
pub fn balancers(ends: &Ends<'_>) -> BTreeMap<String, Ipv4Addr> {
    [ends.east, ends.west].map(|(ip, made)| (made.balancer.clone(), ip)).into()
}
