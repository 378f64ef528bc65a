//! Clients of AWS services by region, which lean on no other region and give up soon.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::error::{Attempt, Error, Kind, Result};
use crate::providers::Failure;
use crate::store::SignIn;

/// The name under which the configuration tells how to reach Route 53.
pub const GLOBAL: &str = "global";

const CONNECT: Duration = Duration::from_secs(3);
/// An endpoint that takes the connection and never answers costs this.
const ATTEMPT: Duration = Duration::from_secs(8);
/// A request with its retries: what an endpoint that is gone may take of the clock.
const OPERATION: Duration = Duration::from_secs(12);
/// From the instance metadata service, STS, SSO or a program.
const CREDENTIALS: Duration = Duration::from_secs(5);

/// Made once, however many ask at the same time.
type Kept = Arc<OnceCell<Arc<Reach>>>;

/// The clients of one run.
#[derive(Clone)]
pub struct Clients {
    config: Arc<Config>,
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    /// Opens nothing: a client is made when it is first asked for, and kept.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, kept: Arc::default() }
    }

    /// AWS in `region`, or its global services as `GLOBAL`.
    pub(super) async fn at(&self, region: &str) -> Result<Arc<Reach>, Failure> {
        let cell = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(region.to_owned()).or_default())
        };
        let made = cell.get_or_try_init(|| self.reach(region)).await;
        // Whatever is wrong here is wrong in the configuration or the environment.
        made.cloned().map_err(|e| Failure::permanent(e.during(format!("sign in to AWS {region}"))))
    }

    /// The RDS instances that the configuration names as servers of databases.
    pub(super) fn rds_instances(&self) -> Vec<String> {
        let databases = self.config.database_names().filter_map(|n| self.config.database(n).ok());
        let servers = databases.flat_map(|database| database.servers.values());
        servers.filter_map(|server| server.rds_instance.clone()).collect()
    }

    /// Whether the configuration gives `region` an endpoint.
    pub(super) fn has_own_endpoint(&self, region: &str) -> bool {
        self.config.aws(region).is_ok_and(|aws| aws.endpoint.is_some())
    }

    async fn reach(&self, name: &str) -> Result<Arc<Reach>> {
        let aws = self.config.aws(name)?;
        // Route 53 has one address for all regions. The region decides whose STS lends the
        // credentials, which must not be that of the region that failed.
        let regions = &self.config.regions;
        let region = match name {
            GLOBAL => regions.standby.as_deref().unwrap_or(&regions.primary),
            region => region,
        };
        let sign_in = SignIn {
            region,
            profile: aws.profile.as_deref(),
            access_key_id: aws.access_key_id.as_ref(),
            secret_access_key: aws.secret_access_key.as_ref(),
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let mut loader = sign_in
            .loader()?
            // Addresses of the region itself: FIPS endpoints are not in every region.
            .use_fips(false)
            .use_dual_stack(false)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build());
        if let Some(endpoint) = &aws.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Ok(Arc::new(Reach::new(loader.load().await)))
    }
}

/// The clients of one region. They retry what only reads; a request that changes something goes
/// through `writing`, which sends it once: whether it is sent again is for the engine to decide.
pub(super) struct Reach {
    sdk: SdkConfig,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
    rds: OnceLock<aws_sdk_rds::Client>,
    ecs: OnceLock<aws_sdk_ecs::Client>,
    ecr: OnceLock<aws_sdk_ecr::Client>,
    elb: OnceLock<aws_sdk_elasticloadbalancingv2::Client>,
    route53: OnceLock<aws_sdk_route53::Client>,
    quotas: OnceLock<aws_sdk_servicequotas::Client>,
    sts: OnceLock<aws_sdk_sts::Client>,
    writing: OnceLock<Arc<Reach>>,
}

impl Reach {
    fn new(sdk: SdkConfig) -> Self {
        Self {
            sdk,
            cloudwatch: OnceLock::new(),
            rds: OnceLock::new(),
            ecs: OnceLock::new(),
            ecr: OnceLock::new(),
            elb: OnceLock::new(),
            route53: OnceLock::new(),
            quotas: OnceLock::new(),
            sts: OnceLock::new(),
            writing: OnceLock::new(),
        }
    }

    /// The same, sending each request once.
    pub fn writing(&self) -> &Self {
        self.writing.get_or_init(|| {
            let once = self.sdk.to_builder().retry_config(RetryConfig::disabled()).build();
            Arc::new(Self::new(once))
        })
    }

    pub fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        self.cloudwatch.get_or_init(|| aws_sdk_cloudwatch::Client::new(&self.sdk))
    }

    pub fn rds(&self) -> &aws_sdk_rds::Client {
        self.rds.get_or_init(|| aws_sdk_rds::Client::new(&self.sdk))
    }

    pub fn ecs(&self) -> &aws_sdk_ecs::Client {
        self.ecs.get_or_init(|| aws_sdk_ecs::Client::new(&self.sdk))
    }

    pub fn ecr(&self) -> &aws_sdk_ecr::Client {
        self.ecr.get_or_init(|| aws_sdk_ecr::Client::new(&self.sdk))
    }

    pub fn elb(&self) -> &aws_sdk_elasticloadbalancingv2::Client {
        self.elb.get_or_init(|| aws_sdk_elasticloadbalancingv2::Client::new(&self.sdk))
    }

    pub fn route53(&self) -> &aws_sdk_route53::Client {
        self.route53.get_or_init(|| aws_sdk_route53::Client::new(&self.sdk))
    }

    pub fn quotas(&self) -> &aws_sdk_servicequotas::Client {
        self.quotas.get_or_init(|| aws_sdk_servicequotas::Client::new(&self.sdk))
    }

    pub fn sts(&self) -> &aws_sdk_sts::Client {
        self.sts.get_or_init(|| aws_sdk_sts::Client::new(&self.sdk))
    }

    /// The credentials that requests are signed with now.
    pub async fn credentials(&self) -> Result<Credentials> {
        const WHAT: &str = "have AWS credentials";
        let missing = || Error::new(Kind::Usage, WHAT).hint(super::failure::NO_CREDENTIALS);
        let provider = self.sdk.credentials_provider().ok_or_else(missing)?;
        tokio::time::timeout(CREDENTIALS, provider.provide_credentials())
            .await
            .attempt(Kind::Failed, || format!("{WHAT} within {} s", CREDENTIALS.as_secs()))?
            .map_err(|e| missing().caused_by(super::failure::chain(&e)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_sdk_sts::config::interceptors::BeforeTransmitInterceptorContextRef;
    use aws_sdk_sts::config::{ConfigBag, Intercept, RuntimeComponents};
    use aws_sdk_sts::error::BoxError;

    use super::*;

    /// Keeps where a request would go, and lets none go.
    #[derive(Debug, Clone, Default)]
    struct Seen(Arc<Mutex<String>>);

    impl Intercept for Seen {
        fn name(&self) -> &'static str {
            "Seen"
        }

        fn read_before_transmit(
            &self,
            request: &BeforeTransmitInterceptorContextRef<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> Result<(), BoxError> {
            request.request().uri().clone_into(&mut self.0.lock().unwrap());
            Err("not sent".into())
        }
    }

    fn clients() -> Clients {
        let mut text = String::from(
            "[project]\nname = \"petforce\"\n[regions]\nprimary = \"us-east-1\"\n\
             standby = \"us-west-2\"\n[store.s]\nurl = \"file:///nowhere/x\"\n\
             region = \"us-west-2\"\n[database.petforce]\nurl = \"host=127.0.0.1 dbname=x\"\n\
             stores = [\"s\"]\n",
        );
        for name in ["us-west-2", GLOBAL] {
            text.push_str(&format!(
                "[aws.{name}]\naccess_key_id = \"test\"\nsecret_access_key = \"${{KEY}}\"\n"
            ));
        }
        let env = |name: &str| (name == "KEY").then(|| "test".to_owned());
        Clients::new(Arc::new(Config::parse(&text, Path::new("drctl.toml"), &env).unwrap()))
    }

    #[tokio::test]
    async fn requests_go_to_the_region_itself() {
        let clients = clients();
        let west = clients.at("us-west-2").await.unwrap();
        let global = clients.at(GLOBAL).await.unwrap();
        let seen = Seen::default();
        macro_rules! goes {
            ($request:expr, $to:expr) => {
                let _ = $request.customize().interceptor(seen.clone()).send().await;
                let uri = seen.0.lock().unwrap().clone();
                assert!(uri.starts_with($to), "{uri}");
            };
        }
        goes!(west.sts().get_caller_identity(), "https://sts.us-west-2.amazonaws.com");
        goes!(west.rds().describe_db_instances(), "https://rds.us-west-2.amazonaws.com");
        goes!(west.ecs().list_clusters(), "https://ecs.us-west-2.amazonaws.com");
        goes!(west.ecr().describe_repositories(), "https://api.ecr.us-west-2.amazonaws.com");
        let elb = west.elb().describe_target_groups();
        goes!(elb, "https://elasticloadbalancing.us-west-2.amazonaws.com");
        let quotas = west.quotas().list_services();
        goes!(quotas, "https://servicequotas.us-west-2.amazonaws.com");
        goes!(global.route53().list_hosted_zones(), "https://route53.amazonaws.com");
        // Whoever lends credentials for Route 53 is in the standby region.
        goes!(global.sts().get_caller_identity(), "https://sts.us-west-2.amazonaws.com");
        let again = clients.at("us-west-2").await.unwrap();
        assert!(Arc::ptr_eq(&west, &again), "clients are kept");
    }
}
