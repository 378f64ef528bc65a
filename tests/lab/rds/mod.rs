//! RDS of one region, where moto's promotion is only a flag: instances go through the documented
//! states, and PromoteReadReplica promotes and restarts the region's real server. CreateDBInstance
//! starts a real server too, and DeleteDBInstance ends it. All that is not RDS goes on to moto.

mod answers;
mod made;

pub use made::{Lot, Made};

use std::net::TcpListener;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::background::{Task, runtime};
use super::http::request;
use super::region::Region;
use super::xml::tag;
use answers::{Form, envelope, refusal};

/// How long each state lasts; real ones last minutes.
const STATE: Duration = Duration::from_millis(400);

/// Stands before a region's moto; ended on drop.
pub struct Rds {
    port: u16,
    instance: Arc<Mutex<Instance>>,
    /// What CreateDBInstance made.
    pub made: Made,
    _task: Task,
}

#[derive(Debug, Clone)]
struct Instance {
    id: String,
    region: String,
    class: String,
    status: &'static str,
    /// The ARN of the instance that it is a read replica of.
    source: Option<String>,
    address: String,
    port: u16,
    backup_days: u32,
}

/// The ARN of an instance.
fn arn(region: &str, id: &str) -> String {
    format!("arn:aws:rds:{region}:123456789012:db:{id}")
}

/// The instance that is a region's server: `petforce-us-east-1`.
pub fn instance(region: &str) -> String {
    format!("petforce-{region}")
}

#[derive(Clone)]
struct Front {
    region: Weak<Region>,
    instance: Arc<Mutex<Instance>>,
    made: Made,
}

impl Rds {
    /// Before the region's moto, with one instance: the region's server, which replicates that of
    /// the region `source`.
    pub fn before(region: &Arc<Region>, source: Option<&str>) -> Self {
        let instance = Arc::new(Mutex::new(Instance {
            id: instance(&region.name),
            region: region.name.clone(),
            class: "db.t4g.medium".to_owned(),
            status: "available",
            source: source.map(|source| arn(source, &instance(source))),
            address: region.ip.to_string(),
            port: region.db.port(),
            backup_days: 7,
        }));
        let rds = Self::of(Arc::downgrade(region), instance, &region.name);
        region.aws.lead_to(rds.port);
        rds
    }

    /// By itself, with an instance in the region `name` whose server is at that port of the loopback.
    /// It has nothing but RDS.
    pub fn alone(name: &str, port: u16) -> Self {
        let instance = Arc::new(Mutex::new(Instance {
            id: instance(name),
            region: name.to_owned(),
            class: "db.t4g.medium".to_owned(),
            status: "available",
            source: None,
            address: "127.0.0.1".to_owned(),
            port,
            backup_days: 7,
        }));
        Self::of(Weak::new(), instance, name)
    }

    fn of(region: Weak<Region>, instance: Arc<Mutex<Instance>>, name: &str) -> Self {
        let made = Made::new(name);
        let front = Front { region, instance: Arc::clone(&instance), made: made.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = Task::start(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let routes = Router::new().fallback(answer).with_state(front);
            let _ = axum::serve(listener, routes).await;
        });
        Self { port, instance, made, _task: task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn status(&self) -> &'static str {
        self.instance.lock().unwrap().status
    }

    /// What it is a read replica of.
    pub fn source(&self) -> Option<String> {
        self.instance.lock().unwrap().source.clone()
    }

    /// A backup begins or ends.
    pub fn back_up(&self, begins: bool) {
        self.instance.lock().unwrap().status = if begins { "backing-up" } else { "available" };
    }
}

async fn answer(State(front): State<Front>, whole: Request) -> Response {
    let (head, body) = whole.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let signed = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    if signed.is_some_and(|signed| signed.contains("/rds/aws4_request")) {
        return front.rds(&body);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = head.method.as_str().to_owned();
    let passed =
        tokio::task::spawn_blocking(move || front.moto(&method, &path, &head.headers, &body));
    passed.await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

impl Front {
    fn moto(&self, method: &str, path: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let Some(region) = self.region.upgrade() else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| !OF_ONE_HOP.contains(&name.as_str()) && *name != "host")
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let Ok(answer) = request(region.moto().port(), method, path, &headers, body) else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = Response::new(answer.body.into());
        *response.status_mut() = status;
        for (name, value) in answer.head.lines().skip(1).filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim()));
            // The length of an answer without its body cannot be counted here.
            let passes = |name: &str| {
                !OF_ONE_HOP.contains(&name) || (method == "HEAD" && name == "content-length")
            };
            if let (Ok(name), Ok(value)) = (name, value)
                && passes(name.as_str())
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }

    fn rds(&self, body: &Bytes) -> Response {
        let form = Form::read(body);
        let action = form.get("Action").unwrap_or_default();
        let id = form.get("DBInstanceIdentifier");
        let instance = self.instance.lock().unwrap();
        let own =
            id.is_some_and(|id| id == instance.id || id == arn(&instance.region, &instance.id));
        if action == "DescribeDBInstances" && id.is_none() {
            let all = [vec![instance.xml()], self.made.all()].concat();
            return answers::page(&form, &all);
        }
        if !own {
            return self.made.answer(action, &form);
        }
        let result = match action {
            "DescribeDBInstances" => tag("DBInstances", &instance.xml()),
            "PromoteReadReplica" | "ModifyDBInstance" | "RebootDBInstance"
                if instance.status != "available" =>
            {
                let why = format!("DB Instance {} is {}", instance.id, instance.status);
                return refusal(400, "InvalidDBInstanceState", &why);
            }
            "PromoteReadReplica" if instance.source.is_none() => {
                let why = format!("DB Instance {} is not a read replica", instance.id);
                return refusal(400, "InvalidDBInstanceState", &why);
            }
            "PromoteReadReplica" => {
                runtime().spawn(promote(self.clone()));
                instance.xml()
            }
            "ModifyDBInstance" => {
                if let Some(class) = form.get("DBInstanceClass") {
                    runtime().spawn(change_class(self.clone(), class.to_owned()));
                }
                instance.xml()
            }
            // The lab's own is never deleted: whoever asks for that has a fault.
            _ => return refusal(400, "InvalidAction", &format!("the lab's RDS has no `{action}`")),
        };
        envelope(action, &result)
    }

    fn now(&self, status: &'static str) {
        self.instance.lock().unwrap().status = status;
    }
}

/// As the RDS User Guide tells it ("Promoting a read replica to be a standalone DB instance"): the
/// answer comes before the state changes; then it is modified, rebooted, and available, with no
/// source any more.
async fn promote(front: Front) {
    tokio::time::sleep(STATE).await;
    front.now("modifying");
    tokio::time::sleep(STATE).await;
    front.now("rebooting");
    let Some(region) = front.region.upgrade() else { return };
    let server = region.server();
    let done = tokio::task::spawn_blocking(move || {
        server.promote();
        server.restart();
    });
    if done.await.is_ok() {
        let mut instance = front.instance.lock().unwrap();
        instance.source = None;
        instance.status = "available";
    }
}

/// "Modifying an Amazon RDS DB instance": a change of class takes the instance down for a while.
async fn change_class(front: Front, class: String) {
    tokio::time::sleep(STATE).await;
    front.now("modifying");
    tokio::time::sleep(STATE).await;
    let mut instance = front.instance.lock().unwrap();
    instance.class = class;
    instance.status = "available";
}

impl Instance {
    fn xml(&self) -> String {
        let endpoint = tag("Address", &self.address) + &tag("Port", &self.port.to_string());
        let mut inside = [
            tag("DBInstanceIdentifier", &self.id),
            tag("DBInstanceArn", &arn(&self.region, &self.id)),
            tag("DBInstanceClass", &self.class),
            tag("Engine", "postgres"),
            tag("EngineVersion", "15.8"),
            tag("DBInstanceStatus", self.status),
            tag("Endpoint", &endpoint),
            tag("StorageType", "gp3"),
            tag("PubliclyAccessible", "false"),
            tag("DeletionProtection", "true"),
            tag("AllocatedStorage", "100"),
            tag("MultiAZ", "false"),
            tag("BackupRetentionPeriod", &self.backup_days.to_string()),
            tag("PendingModifiedValues", ""),
        ]
        .concat();
        if let Some(source) = &self.source {
            inside.push_str(&tag("ReadReplicaSourceDBInstanceIdentifier", source));
        }
        tag("DBInstance", &inside)
    }
}

/// Headers that are not passed on (RFC 9110, 7.6.1), and those that the server sets itself.
const OF_ONE_HOP: [&str; 5] =
    ["connection", "transfer-encoding", "content-length", "keep-alive", "expect"];
