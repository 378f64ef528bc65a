//! What PetForce has at AWS in each region: buckets, an image, a web service behind a load balancer and
//! workers.

use serde_json::json;

use super::calls::Api;
use super::moto::Moto;
use super::service::{CLUSTER, WEB, WORKER};
use super::world::bucket;
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

/// Makes a region's things, with `tasks` of the web service wanted, and workers if there are any.
pub fn region(region: &str, moto: &Moto, web_port: u16, tasks: u32) -> Furnished {
    let workers = tasks.min(1);
    moto.create_bucket(bucket(region));
    let api = |service| Api { port: moto.port(), region, service };
    image(api("ecr"));
    let made = balancer(api("ec2"), api("elasticloadbalancing"), web_port);

    let ecs = |action: &str, body| {
        api("ecs").json(&format!("AmazonEC2ContainerServiceV20141113.{action}"), &body)
    };
    ecs("CreateCluster", json!({ "clusterName": CLUSTER }));
    let image = format!("123456789012.dkr.ecr.{region}.amazonaws.com/{IMAGE}:{TAG}");
    let balanced = json!([{
        "targetGroupArn": made.target_group, "containerName": "main", "containerPort": web_port,
    }]);
    for (service, tasks, balancers) in [(WEB, tasks, balanced), (WORKER, workers, json!([]))] {
        ecs(
            "RegisterTaskDefinition",
            json!({
                "family": service,
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [{
                    "name": "main", "image": image, "memory": 512,
                    "portMappings": [{ "containerPort": web_port }],
                }],
            }),
        );
        ecs(
            "CreateService",
            json!({
                "cluster": CLUSTER,
                "serviceName": service,
                "taskDefinition": service,
                "desiredCount": 0,
                "launchType": "FARGATE",
                "loadBalancers": balancers,
            }),
        );
        // moto has the tasks of a new service pending for ever, and those of a changed one running.
        ecs(
            "UpdateService",
            json!({ "cluster": CLUSTER, "service": service, "desiredCount": tasks }),
        );
    }
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

/// Targets are registered by the service as its tasks start.
fn balancer(ec2: Api<'_>, elb: Api<'_>, web_port: u16) -> Furnished {
    let subnets = ec2.query("2016-11-15", "DescribeSubnets", &[]);
    let vpc = one(&subnets, "vpcId").expect("moto has a default VPC").to_owned();
    let elb =
        |action: &str, parameters: &[(&str, &str)]| elb.query("2015-12-01", action, parameters);
    let port = web_port.to_string();
    let group = elb(
        "CreateTargetGroup",
        &[
            ("Name", WEB),
            ("Protocol", "HTTP"),
            ("Port", &port),
            ("VpcId", &vpc),
            ("TargetType", "ip"),
            ("HealthCheckPath", "/health/ready"),
        ],
    );
    let group = one(&group, "TargetGroupArn").expect("an ARN").to_owned();
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
