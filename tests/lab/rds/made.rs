//! Instances that CreateDBInstance makes: each a real server of its own, from `creating` to gone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use axum::response::Response;

use super::answers::{Form, envelope, refusal};
use super::{STATE, arn};
use crate::lab::background::runtime;
use crate::lab::options::Version;
use crate::lab::postgres::Postgres;
use crate::lab::process::run_tool;
use crate::lab::tls::Tls;
use crate::lab::xml::tag;

/// The certificate of all its servers: those of RDS take TLS.
static TLS: LazyLock<Tls> = LazyLock::new(Tls::make);

/// What becomes of an instance that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lot {
    /// It becomes available soon.
    Well,
    /// It is `creating` for so many states, and RDS deletes none that it is still making.
    Slow(u32),
    /// Its end is this status.
    Ends(&'static str),
    /// It is said to be at this port of the loopback, where another server is.
    LeadsTo(u16),
}

/// The instances that were made, and what becomes of the next.
#[derive(Clone)]
pub struct Made(Arc<Mutex<State>>);

struct State {
    region: String,
    lot: Lot,
    all: BTreeMap<String, Instance>,
    /// DescribeDBInstances gives no tags.
    without_tags: bool,
    /// Of every server that was ever started.
    folders: Vec<PathBuf>,
    /// Every request for one, as it came.
    asked: Vec<BTreeMap<&'static str, String>>,
}

struct Instance {
    id: String,
    class: String,
    version: String,
    storage: String,
    user: String,
    status: &'static str,
    tags: Vec<(String, String)>,
    protected: bool,
    port: Option<u16>,
    server: Option<Arc<Postgres>>,
}

impl Made {
    pub fn new(region: &str) -> Self {
        Self(Arc::new(Mutex::new(State {
            region: region.to_owned(),
            lot: Lot::Well,
            all: BTreeMap::new(),
            without_tags: false,
            folders: Vec::new(),
            asked: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What becomes of the instances that are asked for from now on.
    pub fn next(&self, lot: Lot) {
        self.state().lot = lot;
    }

    /// From now on tags are told only to those who ask for them.
    pub fn hide_tags(&self) {
        self.state().without_tags = true;
    }

    /// The instances that are there, with their status.
    pub fn there(&self) -> Vec<(String, &'static str)> {
        self.state().all.values().map(|i| (i.id.clone(), i.status)).collect()
    }

    /// Folders of servers that still lie there.
    pub fn left(&self) -> Vec<PathBuf> {
        self.state().folders.iter().filter(|folder| folder.exists()).cloned().collect()
    }

    /// The parameters of every CreateDBInstance, with the tags by their keys.
    pub fn asked(&self) -> Vec<BTreeMap<&'static str, String>> {
        self.state().asked.clone()
    }

    /// What `rdsadmin`, whom nobody else may be, sees in a database of an instance.
    pub fn psql(&self, id: &str, db: &str, sql: &str) -> String {
        let server = self.state().all[id].server.clone().unwrap();
        let mut psql = server.program("psql");
        psql.args(["-X", "-A", "-t", "-U", "rdsadmin", "-d", db, "-c", sql]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The tags of an instance.
    pub fn tags(&self, id: &str) -> Vec<(String, String)> {
        self.state().all[id].tags.clone()
    }

    /// Gives an instance, which is made where there is none, these tags and no others.
    pub fn tag(&self, id: &str, tags: &[(String, String)]) {
        let mut state = self.state();
        let made = state.all.entry(id.to_owned()).or_insert_with(|| Instance {
            id: id.to_owned(),
            class: "db.t4g.medium".into(),
            version: "15.8".into(),
            storage: "20".into(),
            user: "somebody".into(),
            status: "available",
            tags: Vec::new(),
            protected: false,
            port: Some(1),
            server: None,
        });
        made.tags = tags.to_vec();
    }

    /// Somebody switches its deletion protection.
    pub fn protect(&self, id: &str, protected: bool) {
        self.state().all.get_mut(id).unwrap().protected = protected;
    }

    pub(super) fn all(&self) -> Vec<String> {
        let state = self.state();
        state.all.values().map(|found| found.xml(&state)).collect()
    }

    pub(super) fn answer(&self, action: &str, form: &Form) -> Response {
        let id = form.get("DBInstanceIdentifier").unwrap_or_default().to_lowercase();
        if action == "CreateDBInstance" {
            return self.create(&id, form);
        }
        // ListTagsForResource names it by its ARN.
        let named = form.get("ResourceName").and_then(|arn| arn.rsplit(':').next());
        let id = named.map_or(id, str::to_owned);
        let mut state = self.state();
        let Some(xml) = state.all.get(&id).map(|found| found.xml(&state)) else {
            return refusal(404, "DBInstanceNotFound", &format!("DBInstance {id} not found."));
        };
        let Some(found) = state.all.get_mut(&id) else { unreachable!() };
        match action {
            "DescribeDBInstances" => envelope(action, &tag("DBInstances", &xml)),
            "ListTagsForResource" => envelope(action, &tag("TagList", &tags(&found.tags))),
            "DeleteDBInstance" if found.protected => refusal(
                400,
                "InvalidParameterCombination",
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            ),
            "DeleteDBInstance" if form.get("SkipFinalSnapshot") != Some("true") => refusal(
                400,
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            ),
            "DeleteDBInstance" if matches!(found.status, "creating" | "deleting") => {
                let why = format!("Instance {id} is currently {}.", found.status);
                refusal(400, "InvalidDBInstanceState", &why)
            }
            "DeleteDBInstance" => {
                found.status = "deleting";
                let answer = envelope(action, &xml);
                runtime().spawn(self.clone().end(id));
                answer
            }
            _ => refusal(400, "InvalidAction", &format!("the lab's RDS has no `{action}`")),
        }
    }

    /// Refuses what the API Reference says that RDS refuses.
    fn create(&self, id: &str, form: &Form) -> Response {
        let given = |name: &str| form.get(name).unwrap_or_default().to_owned();
        let invalid = |why: &str| refusal(400, "InvalidParameterValue", why);
        let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let begins = id.starts_with(|c: char| c.is_ascii_alphabetic());
        if !plain || !begins || id.contains("--") || id.ends_with('-') || id.len() > 63 {
            return invalid("The parameter DBInstanceIdentifier is not a valid identifier.");
        }
        let password = given("MasterUserPassword");
        if !(8..=128).contains(&password.len()) || password.contains(['/', '"', '@', ' ']) {
            return invalid("The parameter MasterUserPassword is not a valid password.");
        }
        let user = given("MasterUsername");
        if !(1..=16).contains(&user.len()) || given("Engine") != "postgres" {
            return invalid("Invalid master user name or engine");
        }
        if given("AllocatedStorage").parse::<u32>().is_ok_and(|gib| gib < 20) {
            return invalid("Invalid storage size for engine name postgres and storage type gp3");
        }
        let version = given("EngineVersion");
        let (major, minor) = version.split_once('.').unwrap_or((&version, "0"));
        let program = match (major, minor.parse::<u32>()) {
            ("15", Ok(..=20)) => Version::V15,
            ("16", Ok(..=20)) => Version::V16,
            ("18", Ok(..=20)) => Version::V18,
            _ => return invalid(&format!("Cannot find version {version} for postgres")),
        };
        let mut state = self.state();
        if state.all.contains_key(id) {
            return refusal(400, "DBInstanceAlreadyExists", "DB instance already exists");
        }
        let names = [
            "DBInstanceClass",
            "BackupRetentionPeriod",
            "DeletionProtection",
            "PubliclyAccessible",
            "MultiAZ",
            "StorageEncrypted",
            "AllocatedStorage",
            "StorageType",
            "EngineVersion",
        ];
        state.asked.push(names.iter().map(|name| (*name, given(name))).collect());
        let instance = Instance {
            id: id.to_owned(),
            class: given("DBInstanceClass"),
            version,
            storage: given("AllocatedStorage"),
            user: user.clone(),
            status: "creating",
            tags: form.tags(),
            protected: given("DeletionProtection") == "true",
            port: None,
            server: None,
        };
        let answer = envelope("CreateDBInstance", &instance.xml(&state));
        state.all.insert(id.to_owned(), instance);
        let lot = state.lot;
        runtime().spawn(self.clone().begin(id.to_owned(), program, user, password, lot));
        answer
    }

    /// As "Viewing Amazon RDS DB instance status" in the RDS User Guide has it.
    async fn begin(self, id: String, program: Version, user: String, password: String, lot: Lot) {
        let states = if let Lot::Slow(states) = lot { states } else { 1 };
        tokio::time::sleep(STATE * states).await;
        if let Lot::Ends(status) = lot {
            if let Some(found) = self.state().all.get_mut(&id) {
                found.status = status;
            }
            return;
        }
        let started = tokio::task::spawn_blocking(move || server(program, &user, &password)).await;
        let Ok(server) = started else { return };
        let mut state = self.state();
        state.folders.push(server.socket_dir().to_owned());
        if let Some(found) = state.all.get_mut(&id) {
            found.port = Some(if let Lot::LeadsTo(port) = lot { port } else { server.port() });
            found.server = Some(Arc::new(server));
            found.status = "available";
        }
    }

    async fn end(self, id: String) {
        tokio::time::sleep(STATE).await;
        let server = self.state().all.get_mut(&id).and_then(|found| found.server.take());
        let _ = tokio::task::spawn_blocking(move || drop(server)).await;
        self.state().all.remove(&id);
    }
}

/// A server whose master is, as at RDS, no superuser: a member of `rds_superuser`, with CREATEROLE and
/// CREATEDB ("Master user account privileges" in the RDS User Guide). The superuser is `rdsadmin`.
fn server(version: Version, user: &str, password: &str) -> Postgres {
    let options = Postgres::options(version).password("the provider's own");
    let options = match version {
        // The others are built without TLS.
        Version::V15 => options.tls(&TLS),
        _ => options,
    };
    let server = options.start();
    server.psql(
        "postgres",
        &format!(
            "CREATE ROLE rds_superuser; CREATE ROLE renamer LOGIN SUPERUSER; \
             GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser; \
             CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD '{password}' IN ROLE rds_superuser"
        ),
    );
    let mut rename = server.program("psql");
    rename.args(["-X", "-q", "-U", "renamer", "-d", "postgres", "-c"]);
    run_tool(rename.arg("ALTER ROLE postgres RENAME TO rdsadmin"));
    server
}

impl Instance {
    fn xml(&self, state: &State) -> String {
        let mut inside = [
            tag("DBInstanceIdentifier", &self.id),
            tag("DBInstanceArn", &arn(&state.region, &self.id)),
            tag("DBInstanceClass", &self.class),
            tag("Engine", "postgres"),
            tag("EngineVersion", &self.version),
            tag("MasterUsername", &self.user),
            tag("DBInstanceStatus", self.status),
            tag("AllocatedStorage", &self.storage),
            tag("BackupRetentionPeriod", "0"),
        ]
        .concat();
        if let Some(port) = self.port {
            let endpoint = tag("Address", "127.0.0.1") + &tag("Port", &port.to_string());
            inside.push_str(&tag("Endpoint", &endpoint));
        }
        if !state.without_tags {
            inside.push_str(&tag("TagList", &tags(&self.tags)));
        }
        tag("DBInstance", &inside)
    }
}

fn tags(tags: &[(String, String)]) -> String {
    tags.iter().map(|(k, v)| tag("Tag", &(tag("Key", k) + &tag("Value", v)))).collect()
}
