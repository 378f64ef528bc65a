//! One ECS service: finding it, and marks on it that outlive this process.

use std::fmt;

use aws_sdk_ecs::types::{Deployment, Service, ServiceField, Tag};

use crate::error::{Error, Kind};
use crate::providers::aws::failure::Call;
use crate::providers::{Context, Description, Failure, Plane};

/// Where a service is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub region: String,
    pub cluster: String,
    pub service: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, cluster, service } = self;
        write!(f, "service `{service}` of cluster `{cluster}` in {region}")
    }
}

impl Place {
    pub fn leaning(&self, description: Description) -> Description {
        description.leans_on(&*self.region, Plane::Control, "the control plane of ECS")
    }

    /// The service as it is. One that is not there is a permanent failure.
    pub async fn look(&self, cx: &Context<'_>) -> Result<Service, Failure> {
        let call = Call::reads("ecs:DescribeServices", format!("look at {self}"));
        let found = cx
            .world
            .aws
            .at(&self.region)
            .await?
            .ecs()
            .describe_services()
            .cluster(&self.cluster)
            .services(&self.service)
            .include(ServiceField::Tags)
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        // Deleted services are shown as INACTIVE for a while (Amazon ECS API Reference,
        // DeleteService).
        let service = found.services.unwrap_or_default().into_iter().next();
        service.filter(|service| service.status() != Some("INACTIVE")).ok_or_else(|| {
            let cluster = &self.cluster;
            Failure::permanent(
                Error::new(Kind::Failed, format!("find {self}"))
                    .caused_by("ECS knows no such service")
                    .hint(format!("`aws ecs list-services --cluster {cluster}` lists them")),
            )
        })
    }

    /// What this step of this run wrote on the service under `key` before it changed anything.
    pub fn marked<'s>(&self, service: &'s Service, cx: &Context<'_>, key: &str) -> Option<&'s str> {
        let tag = service.tags().iter().find(|tag| tag.key() == Some(key))?;
        tag.value()?.strip_prefix(&owner(cx))
    }

    /// Writes `value` on the service under `key`, as a tag: it lies where the effect will be, so
    /// that any machine that goes on with the run finds it and no other system is needed.
    pub async fn mark(
        &self,
        cx: &Context<'_>,
        service: &Service,
        key: &str,
        value: &str,
    ) -> Result<(), Failure> {
        let call = Call::writes("ecs:TagResource", format!("mark {self} with `{key}`"));
        let value = format!("{}{value}", owner(cx));
        cx.world
            .aws
            .at(&self.region)
            .await?
            .writing()
            .ecs()
            .tag_resource()
            .resource_arn(service.service_arn().unwrap_or_default())
            .tags(Tag::builder().key(key).value(value).build())
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        Ok(())
    }
}

/// Whose a mark is. Values of tags take letters, digits, spaces and `+-=._:/@` (Amazon ECS API
/// Reference, TagResource).
fn owner(cx: &Context<'_>) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || "+-=._:/@".contains(c) { c } else { '_' };
    let clean = |text: &str| text.chars().map(allowed).collect::<String>();
    format!("{} {} ", clean(&cx.run.id), clean(cx.step))
}

/// The deployment that the service is brought to.
pub(super) fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments().iter().find(|d| d.status() == Some("PRIMARY"))
}
