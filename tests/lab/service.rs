//! What ECS does for a region's service: the app runs while tasks are wanted, starts anew with each
//! deployment, and its tasks are targets of the load balancer.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::json;

use super::app::App;
use super::background::Task;
use super::forwarder::Flow;
use super::moto::Moto;
use super::region::Region;
use super::xml::one;

/// The names of the cluster, its services, and the target group of the web service.
pub const CLUSTER: &str = "petforce";
pub const WEB: &str = "petforce-web";
pub const WORKER: &str = "petforce-worker";

/// How often ECS is asked.
const EVERY: Duration = Duration::from_millis(200);

/// The web service of one region, whose tasks are all one app.
#[derive(Default)]
pub struct Service {
    app: Mutex<Option<Running>>,
    killed: AtomicBool,
    /// As many as are registered at the load balancer.
    targets: Mutex<u8>,
}

struct Running {
    app: App,
    deployment: String,
}

/// What ECS says of the service.
struct Wanted {
    tasks: u8,
    deployment: String,
}

impl Service {
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.app.lock().unwrap().take();
    }

    /// After a kill.
    pub fn may_live(&self) {
        self.killed.store(false, Ordering::SeqCst);
    }

    pub fn runs(&self) -> bool {
        self.app.lock().unwrap().is_some()
    }

    /// The load balancer is another one now.
    pub fn has_no_targets(&self) {
        *self.targets.lock().unwrap() = 0;
    }
}

/// Keeps a region's service as ECS wants it; ended on drop.
pub struct Keeper(#[allow(dead_code)] Task);

impl Keeper {
    pub fn of(region: &Arc<Region>) -> Self {
        Self(Task::start(keep(Arc::downgrade(region))))
    }
}

async fn keep(region: Weak<Region>) {
    while let Some(region) = region.upgrade() {
        let _ = tokio::task::spawn_blocking(move || region.look_at_service()).await;
        tokio::time::sleep(EVERY).await;
    }
}

impl Region {
    /// Without an answer all stays as it is.
    fn look_at_service(&self) {
        let moto = self.moto();
        let Some(wanted) = self.wanted(&moto) else { return };
        self.run_app(&wanted);
        self.register_targets(&moto, wanted.tasks);
    }

    fn wanted(&self, moto: &Moto) -> Option<Wanted> {
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let asked = json!({ "cluster": CLUSTER, "services": [WEB] });
        let answer = self.api(moto, "ecs").try_json(target, &asked)?;
        let service = &answer["services"][0];
        let tasks = u8::try_from(service["desiredCount"].as_u64()?).unwrap_or(u8::MAX);
        let deployment = service["deployments"][0]["id"].as_str().unwrap_or_default();
        Some(Wanted { tasks, deployment: deployment.to_owned() })
    }

    /// How many tasks ECS wants of a service, if it answers.
    pub fn tasks(&self, service: &str) -> Option<u64> {
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let asked = json!({ "cluster": CLUSTER, "services": [service] });
        let answer = self.api(&self.moto(), "ecs").try_json(target, &asked)?;
        answer["services"][0]["desiredCount"].as_u64()
    }

    fn run_app(&self, wanted: &Wanted) {
        let mut running = self.app.app.lock().unwrap();
        let lives = wanted.tasks > 0 && !self.app.killed.load(Ordering::SeqCst);
        let is_right = match &*running {
            Some(running) => lives && running.deployment == wanted.deployment,
            None => !lives,
        };
        if is_right {
            return;
        }
        let first = running.is_none();
        // The new tasks are there before the old ones end.
        let next = lives.then(|| Running {
            app: App::start(&self.name, &self.app_conninfo()),
            deployment: wanted.deployment.clone(),
        });
        match &next {
            Some(next) => {
                self.web.lead_to(next.app.port());
                // A way that is broken on purpose stays so.
                if first {
                    self.web.set(Flow::Open);
                }
            }
            None => self.web.set(Flow::Refuse),
        }
        *running = next;
    }

    /// One target a task, each at an address of its own in the region.
    fn register_targets(&self, moto: &Moto, wanted: u8) {
        let mut have = self.app.targets.lock().unwrap();
        if *have == wanted {
            return;
        }
        let elb = self.api(moto, "elasticloadbalancing");
        let call = |action: &str, parameters: &[(&str, &str)]| {
            elb.try_query("2015-12-01", action, parameters).ok()
        };
        let Some(group) = call("DescribeTargetGroups", &[("Names.member.1", WEB)]) else { return };
        let Some(group) = one(&group, "TargetGroupArn") else { return };
        let (action, numbers) = match *have < wanted {
            true => ("RegisterTargets", *have..wanted),
            false => ("DeregisterTargets", wanted..*have),
        };
        let port = self.web.port().to_string();
        let mut parameters = vec![("TargetGroupArn".to_owned(), group.to_owned())];
        for (i, number) in numbers.enumerate() {
            let [a, b, c, d] = self.ip.octets();
            let ip = Ipv4Addr::new(a, b, c, d + number);
            parameters.push((format!("Targets.member.{}.Id", i + 1), ip.to_string()));
            parameters.push((format!("Targets.member.{}.Port", i + 1), port.clone()));
        }
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if call(action, &parameters).is_some() {
            *have = wanted;
        }
    }

    /// How the service is, in words.
    pub fn service(&self) -> &'static str {
        match (self.app.runs(), self.app.killed.load(Ordering::SeqCst)) {
            (true, _) => "running",
            (false, true) => "killed",
            (false, false) => "with no task: ECS wants none",
        }
    }

    fn app_conninfo(&self) -> String {
        format!(
            "host={} port={} user=petforce_app dbname=petforce connect_timeout=2 \
             application_name='web of {}'",
            self.ip,
            self.db.port(),
            self.name
        )
    }
}
