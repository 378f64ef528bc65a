//! The service of one region: PetForce's web app, small. It keeps a pool of connections to its
//! region's database, tells whether it is ready, and takes writes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

/// How long the app waits for its database.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Connections in the pool.
const CONNECTIONS: usize = 4;

/// Runs until [`stop`](Self::stop) or drop, which cut its connections as the end of a process does.
pub struct App {
    port: u16,
    runtime: Option<Runtime>,
}

impl App {
    /// On a free port of 127.0.0.1; `conninfo` is of the database.
    pub fn start(region: &str, conninfo: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let pool = Pool {
            conninfo: conninfo.to_owned(),
            idle: Mutex::default(),
            permits: tokio::sync::Semaphore::new(CONNECTIONS),
        };
        let service = Arc::new(Service { region: region.to_owned(), pool });
        let routes = Router::new()
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/write", post(write))
            .with_state(service);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { port, runtime: Some(runtime) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service {
    region: String,
    pool: Pool,
}

type Answer = (StatusCode, [(&'static str, String); 1], Json<Value>);

impl Service {
    fn answer(&self, status: StatusCode, body: Value) -> Answer {
        (status, [("x-region", self.region.clone())], Json(body))
    }

    fn unavailable(&self, why: &str) -> Answer {
        let body = json!({ "status": "unavailable", "region": self.region, "why": why });
        self.answer(StatusCode::SERVICE_UNAVAILABLE, body)
    }
}

async fn live(State(service): State<Arc<Service>>) -> impl IntoResponse {
    service.answer(StatusCode::OK, json!({ "status": "alive", "region": service.region }))
}

/// Ready is who can write.
async fn ready(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let sql =
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool";
    let asked = service.pool.with(async |client| {
        let row = client.query_one(sql, &[]).await?;
        row.try_get::<_, bool>(0)
    });
    match asked.await {
        Ok(false) => {
            service.answer(StatusCode::OK, json!({ "status": "ready", "region": service.region }))
        }
        Ok(true) => service.unavailable("the database takes no writes"),
        Err(why) => service.unavailable(&why),
    }
}

#[derive(serde::Deserialize)]
struct Write {
    client: String,
    n: i64,
}

/// Answers 201 once the row is committed.
async fn write(
    State(service): State<Arc<Service>>,
    Query(write): Query<Write>,
) -> impl IntoResponse {
    let sql = "INSERT INTO petforce.writes (client, n, region) VALUES ($1, $2, $3) \
               ON CONFLICT DO NOTHING";
    let region = service.region.as_str();
    let written = service
        .pool
        .with(async |client| client.execute(sql, &[&write.client, &write.n, &region]).await);
    match written.await {
        Ok(_) => service.answer(StatusCode::CREATED, json!({ "region": region, "n": write.n })),
        Err(why) => service.unavailable(&why),
    }
}

/// Connections are kept for as long as they work, wherever they lead.
struct Pool {
    conninfo: String,
    idle: Mutex<Vec<Client>>,
    permits: tokio::sync::Semaphore,
}

impl Pool {
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, String> {
        let turn = async {
            let _permit = self.permits.acquire().await.map_err(|e| e.to_string())?;
            let kept = self.idle.lock().unwrap().pop().filter(|client| !client.is_closed());
            let client = match kept {
                Some(client) => client,
                None => self.connect().await.map_err(|e| told(&e))?,
            };
            let done = work(&client).await.map_err(|e| told(&e));
            // After an error of the server's the connection still serves.
            self.idle.lock().unwrap().push(client);
            done
        };
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(done) => done,
            Err(_) => Err(format!("the database gave no answer in {PATIENCE:?}")),
        }
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.conninfo, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(e) => e.message().to_owned(),
        None => error.to_string(),
    }
}
