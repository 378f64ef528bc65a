//! What PetForce has at AWS: buckets, an image, a service behind a load balancer in each region, and
//! a hosted zone with health checks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;

use super::calls::Api;
use super::moto::Moto;
use super::region::Region;
use super::world::{ZONE, bucket};
use super::xml::{all, one};

/// What moto made up.
pub struct Furnished {
    pub target_group: String,
    /// The load balancer's DNS name and zone.
    pub balancer: String,
    pub balancer_zone: String,
}

/// The container image that both regions run.
pub const IMAGE: &str = "petforce-web";
pub const TAG: &str = "2026.11";

/// Makes a region's things, with `tasks` of the service wanted.
pub fn region(region: &str, moto: &Moto, ip: Ipv4Addr, web_port: u16, tasks: u32) -> Furnished {
    moto.create_bucket(bucket(region));
    let api = |service| Api { port: moto.port(), region, service };
    image(api("ecr"));
    let made = balancer(api("ec2"), api("elasticloadbalancing"), ip, web_port);

    let ecs = |action: &str, body| {
        api("ecs").json(&format!("AmazonEC2ContainerServiceV20141113.{action}"), &body)
    };
    ecs("CreateCluster", json!({ "clusterName": Region::CLUSTER }));
    let image = format!("123456789012.dkr.ecr.{region}.amazonaws.com/{IMAGE}:{TAG}");
    ecs(
        "RegisterTaskDefinition",
        json!({
            "family": Region::SERVICE,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{
                "name": "web", "image": image, "memory": 512,
                "portMappings": [{ "containerPort": web_port }],
            }],
        }),
    );
    ecs(
        "CreateService",
        json!({
            "cluster": Region::CLUSTER,
            "serviceName": Region::SERVICE,
            "taskDefinition": Region::SERVICE,
            "desiredCount": tasks,
            "launchType": "FARGATE",
            "loadBalancers": [{
                "targetGroupArn": made.target_group,
                "containerName": "web",
                "containerPort": web_port,
            }],
        }),
    );
    made
}

fn image(ecr: Api<'_>) {
    let target = |action| format!("AmazonEC2ContainerRegistry_V20150921.{action}");
    ecr.json(&target("CreateRepository"), &json!({ "repositoryName": IMAGE }));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 7023,
            "digest": format!("sha256:{}", "5".repeat(64)),
        },
        "layers": [],
    });
    let put = json!({
        "repositoryName": IMAGE, "imageTag": TAG, "imageManifest": manifest.to_string(),
    });
    ecr.json(&target("PutImage"), &put);
}

fn balancer(ec2: Api<'_>, elb: Api<'_>, ip: Ipv4Addr, web_port: u16) -> Furnished {
    let subnets = ec2.query("2016-11-15", "DescribeSubnets", &[]);
    let vpc = one(&subnets, "vpcId").expect("moto has a default VPC").to_owned();
    let elb =
        |action: &str, parameters: &[(&str, &str)]| elb.query("2015-12-01", action, parameters);
    let port = web_port.to_string();
    let group = elb(
        "CreateTargetGroup",
        &[
            ("Name", Region::SERVICE),
            ("Protocol", "HTTP"),
            ("Port", &port),
            ("VpcId", &vpc),
            ("TargetType", "ip"),
            ("HealthCheckPath", "/health/ready"),
        ],
    );
    let group = one(&group, "TargetGroupArn").expect("an ARN").to_owned();
    let id = ip.to_string();
    let target = [("Targets.member.1.Id", id.as_str()), ("Targets.member.1.Port", &port)];
    elb("RegisterTargets", &[&[("TargetGroupArn", group.as_str())], &target[..]].concat());
    let subnets: Vec<&str> = all(&subnets, "subnetId").into_iter().take(2).collect();
    let made = elb(
        "CreateLoadBalancer",
        &[("Name", "petforce"), ("Subnets.member.1", subnets[0]), ("Subnets.member.2", subnets[1])],
    );
    let arn = one(&made, "LoadBalancerArn").expect("an ARN");
    elb(
        "CreateListener",
        &[
            ("LoadBalancerArn", arn),
            ("Protocol", "HTTP"),
            ("Port", "80"),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", &group),
        ],
    );
    Furnished {
        target_group: group,
        balancer: one(&made, "DNSName").expect("a name").to_lowercase(),
        balancer_zone: one(&made, "CanonicalHostedZoneId").expect("a zone").to_owned(),
    }
}

/// Where the switch object lies that moves `api` to the standby region while it is there.
pub const SWITCH: (&str, &str) = ("petforce-switch", "failover/us-west-2");

/// Both regions, as the zone names them.
pub struct Ends<'a> {
    pub east: (Ipv4Addr, &'a Furnished),
    pub west: (Ipv4Addr, &'a Furnished),
    /// The standby region's S3, which the switch's check asks.
    pub switch: std::net::SocketAddr,
    pub ttl: u32,
}

/// Makes the hosted zone and its records, and gives its id:
/// - `app`: one address, for `route53.swap`;
/// - `www`: an alias of the region's load balancer;
/// - `beta`: weighted, all of it in us-east-1;
/// - `api`: failover records, whose primary is healthy as long as the switch object is not there.
pub fn zone(global: &Moto, ends: &Ends<'_>) -> String {
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
    let alias = format!(
        "<AliasTarget><HostedZoneId>{}</HostedZoneId><DNSName>{}</DNSName>\
         <EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>",
        east.1.balancer_zone, east.1.balancer
    );
    let role = |set: &str, role: &str, check: &str| {
        format!("<SetIdentifier>{set}</SetIdentifier><Failover>{role}</Failover>{check}")
    };
    let share = |set: &str, weight: u8| {
        format!("<SetIdentifier>{set}</SetIdentifier><Weight>{weight}</Weight>")
    };
    let watched = format!("<HealthCheckId>{check}</HealthCheckId>");
    let sets = [
        ("app", String::new(), value(east.0)),
        ("www", String::new(), alias),
        ("beta", share("us-east-1", 100), value(east.0)),
        ("beta", share("us-west-2", 0), value(west.0)),
        ("api", role("us-east-1", "PRIMARY", &watched), value(east.0)),
        ("api", role("us-west-2", "SECONDARY", ""), value(west.0)),
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
    id
}

/// The load balancers' addresses, by name.
pub fn balancers(ends: &Ends<'_>) -> BTreeMap<String, Ipv4Addr> {
    [ends.east, ends.west].map(|(ip, made)| (made.balancer.clone(), ip)).into()
}
