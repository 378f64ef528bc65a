//! A session on one server.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Connection, SimpleQueryMessage};

use super::conninfo::Conninfo;
use super::error::{ConnectionLost, ServerError, failed, lost_the_connection, told};
use super::row::Row;
use super::tls::Connector;
use crate::error::{Attempt, Error, Kind, Result};

/// How long a statement that found its connection closed waits for the reason.
const REASON_WITHIN: Duration = Duration::from_secs(2);
/// How long closing a session and asking for a cancel may take.
const POLITE: Duration = Duration::from_secs(10);

/// A connection and the task that drives it.
///
/// Dropping it closes the socket at once, whatever is under way; the server rolls back.
pub struct Session {
    client: Client,
    /// Ends with the session.
    _driver: AbortOnDrop,
    ended: watch::Receiver<Option<Ended>>,
    info: Conninfo,
    tls: Option<Connector>,
    server_version: Option<String>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a connection ended.
#[derive(Debug, Clone)]
enum Ended {
    ByServer(ServerError),
    Lost(ConnectionLost),
}

impl Ended {
    fn into_error(self, what: impl Into<String>) -> Error {
        let error = Error::new(Kind::Postgres, what);
        match self {
            Self::ByServer(said) => told(error, said),
            Self::Lost(lost) => error.caused_by(lost).hint(
                "the server crashed or was stopped, or the network failed: its log says which",
            ),
        }
    }
}

impl Session {
    pub(super) fn start<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        info: Conninfo,
        tls: Option<Connector>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server_version = connection.parameter("server_version").map(str::to_owned);
        let (end, ended) = watch::channel(None);
        let driver = tokio::spawn(async move {
            let mut messages = poll_fn(move |cx| connection.poll_message(cx));
            let why = loop {
                match messages.next().await {
                    // Notices tell a person at a psql prompt things; here they tell nothing new.
                    Some(Ok(_)) => {}
                    Some(Err(e)) => break why_ended(&e),
                    None => break Ended::Lost(ConnectionLost { why: "it was closed here".into() }),
                }
            };
            end.send_replace(Some(why));
        });
        Self { client, _driver: AbortOnDrop(driver), ended, info, tls, server_version }
    }

    /// Runs one or more statements and drops their rows.
    pub async fn simple(&self, sql: &str) -> Result<()> {
        match self.client.batch_execute(sql).await {
            Ok(()) => Ok(()),
            Err(e) => Err(self.failed(running(sql), e).await),
        }
    }

    /// Runs one or more statements through the simple protocol and gives all their rows, as text.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>> {
        match self.client.simple_query(sql).await {
            Ok(messages) => Ok(messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(Row(row)),
                    _ => None,
                })
                .collect()),
            Err(e) => Err(self.failed(running(sql), e).await),
        }
    }

    /// The one row that the statement gives.
    pub async fn row(&self, sql: &str) -> Result<Row> {
        let mut rows = self.rows(sql).await?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (None, _) => Err(Error::new(Kind::Postgres, running(sql)).caused_by("it gave no row")),
            (Some(_), more) => Err(Error::new(Kind::Postgres, running(sql))
                .caused_by(format!("it gave {} rows where one was expected", more + 1))),
        }
    }

    /// The driver's client, for COPY. Its errors go through [`Session::failed`].
    pub(in crate::postgres) fn client(&self) -> &Client {
        &self.client
    }

    /// A failure of the driver's client while `what` was attempted. Where the connection is gone,
    /// the reason that ended it becomes the cause.
    pub(in crate::postgres) async fn failed(
        &self,
        what: impl Into<String>,
        e: tokio_postgres::Error,
    ) -> Error {
        if lost_the_connection(&e) {
            let mut ended = self.ended.clone();
            let reason = timeout(REASON_WITHIN, ended.wait_for(Option::is_some)).await;
            if let Ok(Ok(reason)) = reason
                && let Some(reason) = reason.clone()
            {
                return reason.into_error(what);
            }
        }
        failed(what, &e)
    }

    /// Waits for the end of the connection and says why it ended.
    pub async fn closed(&self) -> Error {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason
            .unwrap_or_else(|| Ended::Lost(ConnectionLost { why: "its task was stopped".into() }))
            .into_error(format!("keep the session with {}", self.place()))
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Asks the server to stop what this session is doing; whether it did is not told.
    pub async fn cancel(&self) -> Result<()> {
        let what = || format!("cancel what runs on {}", self.place());
        let token = self.client.cancel_token();
        let asked = async {
            match &self.tls {
                Some(tls) => token.cancel_query(tls.clone()).await,
                None => token.cancel_query(tokio_postgres::NoTls).await,
            }
        };
        match timeout(POLITE, asked).await {
            Ok(result) => result.map_err(|e| failed(what(), &e)),
            Err(late) => Err(late).attempt(Kind::Postgres, what),
        }
    }

    /// Says goodbye to the server and waits until the connection is closed.
    pub async fn close(self) {
        let Self { client, _driver, mut ended, .. } = self;
        drop(client);
        // Only a courtesy: whoever does not answer is hung up on.
        let _ = timeout(POLITE, ended.wait_for(Option::is_some)).await;
    }

    /// The server that was reached, by name and address, so that further sessions and child
    /// programs meet the very same one.
    pub fn info(&self) -> &Conninfo {
        &self.info
    }

    /// Where this session is, for messages.
    pub fn place(&self) -> String {
        self.info.host_for_people()
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// `server_version` as the server announced it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub fn server_version(&self) -> Option<&str> {
        self.server_version.as_deref()
    }
}

fn why_ended(e: &tokio_postgres::Error) -> Ended {
    match e.as_db_error() {
        Some(db) => Ended::ByServer(ServerError::from(db)),
        None => {
            let cause = std::error::Error::source(e).map(ToString::to_string);
            let why = cause.unwrap_or_else(|| "the server closed it without a word".to_owned());
            Ended::Lost(ConnectionLost { why })
        }
    }
}

/// A statement in a message: on one line, and not all of it if it is long.
fn running(sql: &str) -> String {
    const SHOWN: usize = 120;
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("run `{} …`", &line[..cut]),
        None => format!("run `{line}`"),
    }
}
