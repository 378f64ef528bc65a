//! What `[web]`, `[intake.NAME]` and `auto` in `[failover]` mean once checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// Where the page, the metrics and the intake are served.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Default 127.0.0.1:8440.
    pub listen: SocketAddr,
    /// What a reader must know; none: only loopback, or certificates.
    pub token: Option<Secret>,
    /// How the page is reached from elsewhere, for links in notifications.
    pub public_url: Option<String>,
    pub tls: Option<WebTls>,
}

impl Default for WebConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8440));
        Self { listen, token: None, public_url: None, tls: None }
    }
}

/// PEM files of a server that speaks TLS itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Readers must show a certificate of one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// Alerts that are taken in at `/intake/NAME`.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    pub name: String,
    pub from: IntakeKind,
    /// An alert counts where each of these labels fits its pattern (`*` and `?`). Never empty.
    pub labels: BTreeMap<String, String>,
    /// The runbook that is prepared; none: that of `drctl failover`.
    pub runbook: Option<String>,
    /// Whether the primary is taken for lost.
    pub forced: bool,
}

/// Who sends, and by what it is known.
#[derive(Debug, Clone)]
pub enum IntakeKind {
    /// Its webhook receiver, with a bearer token.
    Alertmanager { secret: Secret },
    /// CloudWatch alarms through SNS, signed by AWS. ARNs of topics.
    Sns { topics: Vec<String> },
    /// PagerDuty webhooks V3, signed with this secret.
    PagerDuty { secret: Secret },
}

impl IntakeKind {
    /// As the configuration spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Alertmanager { .. } => "alertmanager",
            Self::Sns { .. } => "sns",
            Self::PagerDuty { .. } => "pagerduty",
        }
    }
}

/// When drctl may begin a failover by itself. Every one of these must hold; there is no default
/// for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoPolicy {
    /// So many intakes must tell of it at the same time.
    pub quorum: usize,
    /// For so long without a break.
    pub held_for: Duration,
    /// Only while this epoch holds; 0: none was ever written. So it acts once, and a person arms
    /// it again.
    pub epoch: u64,
    /// The loss to expect must be known and no more than this.
    pub max_loss: Duration,
    /// Go on with an old primary that cannot be shut: `--accept-unfenced`. A primary that is gone
    /// cannot be; without this the run waits there for a person.
    pub accept_unfenced: bool,
}
