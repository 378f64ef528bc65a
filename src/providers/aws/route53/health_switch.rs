//! `route53.health_switch`: puts or deletes the object that an inverted health check watches, so
//! that DNS fails over without Route 53's control plane.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::switch_readiness;
use crate::config::{Config, StoreConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Plane,
};
use crate::store::{Class, Condition, ObjectStore, Patience, Put, StoreError, open_with};

/// The arguments of `route53.health_switch`: either `store` and `key`, or `object`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The region of the bucket: the standby one.
    r#in: String,
    /// A store of the configuration.
    #[serde(default)]
    store: Option<String>,
    /// The object's key in that store.
    #[serde(default)]
    key: Option<String>,
    /// The object, as `s3://bucket/key`.
    #[serde(default)]
    object: Option<String>,
    /// Whether the object should be there, so that the primary record counts as unhealthy.
    on: bool,
    /// The id of the health check that watches it, for the readiness checks.
    #[serde(default)]
    health_check: Option<String>,
}

pub(super) struct HealthSwitch {
    pub(super) region: String,
    place: Place,
    pub(super) key: String,
    on: bool,
    pub(super) health_check: Option<String>,
}

enum Place {
    Store(String),
    Url(StoreUrl),
}

pub(super) fn make(with: With, config: &Config) -> Result<HealthSwitch> {
    let usage = |what: String| Error::new(Kind::Usage, what);
    let With { r#in: region, store, key, object, on, health_check } = with;
    let (place, key) = match (store, key, object) {
        (Some(store), Some(key), None) => {
            let of = &config.store(&store)?.region;
            if *of != region {
                return Err(usage(format!("store `{store}` is in {of}, not in {region}"))
                    .hint("the switch must not depend on the region that fails"));
            }
            (Place::Store(store), key)
        }
        (None, None, Some(object)) => {
            let url = StoreUrl::parse(&object)
                .map_err(|why| usage(format!("`object` of `route53.health_switch`: {why}")))?;
            let StoreUrl::S3 { bucket, prefix } = url else {
                return Err(usage("`object` of `route53.health_switch` must be s3://".into()));
            };
            let (prefix, key) = match prefix.rsplit_once('/') {
                Some((prefix, key)) => (prefix.to_owned(), key.to_owned()),
                None => (String::new(), prefix),
            };
            (Place::Url(StoreUrl::S3 { bucket, prefix }), key)
        }
        _ => {
            return Err(usage(
                "`route53.health_switch` takes `store` and `key`, or `object`".into(),
            ));
        }
    };
    if key.is_empty() {
        return Err(usage("`route53.health_switch` names no key".into()));
    }
    Ok(HealthSwitch { region, place, key, on, health_check })
}

impl HealthSwitch {
    fn url(&self) -> String {
        match &self.place {
            Place::Store(name) => format!("{} in store `{name}`", self.key),
            Place::Url(url) => format!("{url}/{}", self.key),
        }
    }

    pub(super) fn what(&self) -> String {
        let act = if self.on { "put the switch object" } else { "delete the switch object" };
        format!("{act} {} ({})", self.url(), self.region)
    }

    pub(super) async fn store(&self, cx: &Context<'_>) -> Result<Arc<dyn ObjectStore>, Failure> {
        let url = match &self.place {
            Place::Store(name) => {
                return cx.world.stores.get(name).cloned().ok_or_else(|| {
                    Failure::permanent(Error::new(
                        Kind::Storage,
                        format!("{}: store `{name}` could not be opened", self.what()),
                    ))
                });
            }
            Place::Url(url) => url,
        };
        let aws = cx.world.config.aws(&self.region).map_err(Failure::permanent)?;
        let mut config = StoreConfig::new("switch", url.clone(), &*self.region);
        config.path_style = aws.endpoint.is_some();
        config.endpoint = aws.endpoint;
        config.aws_profile = aws.profile;
        config.access_key_id = aws.access_key_id;
        config.secret_access_key = aws.secret_access_key;
        open_with(&config, Patience::brief()).await.map_err(failure)
    }

    /// Whether the object is there.
    pub(super) async fn is_on(&self, cx: &Context<'_>) -> Result<bool, Failure> {
        let store = self.store(cx).await?;
        Ok(store.head(&self.key, false).await.map_err(failure)?.is_some())
    }

    /// What the object holds: who put it, for people and for the way back.
    fn content(cx: &Context<'_>) -> Bytes {
        let by = serde_json::json!({ "run": cx.run.id, "step": cx.step });
        Bytes::from(by.to_string())
    }
}

/// `s3:…` permissions are named by the store's own hints.
fn failure(e: StoreError) -> Failure {
    match e.class {
        Class::Transient => Failure::transient(e.into()),
        Class::Unknown => Failure::unknown(e.into()),
        _ => Failure::permanent(e.into()),
    }
}

impl Action for HealthSwitch {
    fn describe(&self) -> Description {
        let effect = match self.on {
            true => "its inverted health check turns unhealthy, so DNS answers with the secondary",
            false => "its inverted health check turns healthy, so DNS answers with the primary",
        };
        // AWS Networking Blog, "Creating Disaster Recovery Mechanisms Using Amazon Route 53":
        // standby takes over primary. Route 53's health checkers and name servers are data plane.
        let description = Description::changes(self.what())
            .detail(effect)
            .detail("needs S3 in this region and Route 53's health checkers, no control plane")
            .detail("takes effect after the health check's interval times its failure threshold, and the record's TTL")
            .leans_on(&*self.region, Plane::Data, "S3");
        match self.on {
            true => description.compensated_by("the object is deleted, if this run put it"),
            false => description,
        }
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        switch_readiness::checks(cx, self, self.on).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let on = self.is_on(cx).await?;
        Ok(match on == self.on {
            true => Observed::Done(Facts::new()),
            false => {
                let is = if on { "is there" } else { "is not there" };
                Observed::NotDone(format!("the object {is}"))
            }
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let store = self.store(cx).await?;
        if !self.on {
            store.delete(std::slice::from_ref(&self.key)).await.map_err(failure)?;
            return Ok(Applied::new(format!("{} is gone", self.url())));
        }
        let content = Self::content(cx);
        let digest = Digest::of(&content);
        let put = store.put_if(&self.key, content, digest, Condition::Absent).await;
        Ok(match put.map_err(failure)? {
            Put::Written(_) => Applied::new(format!("{} is there", self.url())),
            Put::Refused => Applied::new(format!("{} was there already", self.url())),
        })
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let store = self.store(cx).await?;
        match store.get(&self.key).await {
            Ok(object) if object.bytes == Self::content(cx) => {
                store.delete(std::slice::from_ref(&self.key)).await.map_err(failure)?;
                Ok(Applied::new(format!("{} is gone", self.url())))
            }
            Ok(_) => {
                let found = format!("{} was not put by this run", self.url());
                Ok(Applied::new(&*found).warning(format!("{found}: it is left there")))
            }
            Err(e) if e.class == Class::NotFound => {
                Ok(Applied::new(format!("{} is not there", self.url())))
            }
            Err(e) => Err(failure(e)),
        }
    }
}
