//! What a task needs from its region before it starts: images, secrets, a place for its log.

use aws_sdk_ecr::types::ImageIdentifier;
use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition};

use super::service::Place;
use crate::providers::aws::failure::Call;
use crate::providers::aws::identity::unproven;
use crate::providers::{Check, Context, Failure, Standing};

/// An image in ECR: `123456789012.dkr.ecr.us-west-2.amazonaws.com/petforce/web:v7`.
#[derive(Debug, Clone, PartialEq)]
struct Image<'i> {
    account: &'i str,
    region: &'i str,
    repository: &'i str,
    tag: Option<&'i str>,
    digest: Option<&'i str>,
}

/// `None`: it is in another registry.
fn in_ecr(image: &str) -> Option<Image<'_>> {
    let (host, path) = image.split_once('/')?;
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let region = rest.split_once(".amazonaws.com")?.0;
    let (path, digest) = match path.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (path, None),
    };
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    Some(Image { account, region, repository, tag, digest })
}

/// The region in an ARN of Secrets Manager or Systems Manager; a bare name is in the task's region.
fn region_of_secret(value: &str) -> Option<&str> {
    value.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

pub(super) async fn checks(
    cx: &Context<'_>,
    place: &Place,
    definition: &TaskDefinition,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for container in definition.container_definitions() {
        checks.push(image(cx, place, container).await);
        checks.extend(elsewhere(place, container));
    }
    checks
}

async fn image(cx: &Context<'_>, place: &Place, container: &ContainerDefinition) -> Check {
    let name = container.image().unwrap_or_default();
    let what = format!("image {name} of {place}");
    let Some(image) = in_ecr(name) else {
        return Check::new(Standing::Unproven, what, "not in ECR, so drctl did not look for it")
            .hint("a registry of one's own in the standby region does not depend on others");
    };
    if image.region != place.region {
        let found =
            format!("it is pulled from {}, which may be the region that failed", image.region);
        return Check::new(Standing::NotReady, what, found)
            .hint(format!("replicate the repository and pull from ECR in {}", place.region));
    }
    match has(cx, place, &image).await {
        Ok(true) => Check::new(Standing::Ready, what, format!("in ECR of {}", image.region)),
        Ok(false) => {
            Check::new(Standing::NotReady, what, format!("not in ECR of {}", image.region))
                .hint("push it there, or set up replication of the registry")
        }
        Err(f) => unproven(what, &f.error),
    }
}

async fn has(cx: &Context<'_>, place: &Place, image: &Image<'_>) -> Result<bool, Failure> {
    let what = format!("look for `{}` in ECR of {}", image.repository, image.region);
    let call = Call::reads("ecr:DescribeImages", what);
    let id = ImageIdentifier::builder()
        .set_image_digest(image.digest.map(str::to_owned))
        .set_image_tag(match image.digest {
            // The digest alone decides what is pulled.
            Some(_) => None,
            None => Some(image.tag.unwrap_or("latest").to_owned()),
        })
        .build();
    let answer = cx
        .world
        .aws
        .at(&place.region)
        .await?
        .ecr()
        .describe_images()
        .registry_id(image.account)
        .repository_name(image.repository)
        .image_ids(id)
        .send()
        .await;
    match answer {
        Ok(found) => Ok(!found.image_details().is_empty()),
        Err(e)
            if e.as_service_error().is_some_and(|e| {
                e.is_image_not_found_exception() || e.is_repository_not_found_exception()
            }) =>
        {
            Ok(false)
        }
        Err(e) => Err(call.failed(e)),
    }
}

/// Secrets and logs in another region keep a task from starting when that region is gone.
fn elsewhere(place: &Place, container: &ContainerDefinition) -> Vec<Check> {
    let mut found = Vec::new();
    let name = container.name().unwrap_or_default();
    for secret in container.secrets() {
        if let Some(region) = region_of_secret(secret.value_from()).filter(|r| *r != place.region) {
            found.push((format!("secret `{}`", secret.name()), region.to_owned()));
        }
    }
    let options = container.log_configuration().and_then(|log| log.options());
    if let Some(region) = options.and_then(|options| options.get("awslogs-region"))
        && *region != place.region
    {
        found.push(("log".to_owned(), region.clone()));
    }
    let told = |(thing, region): (String, String)| {
        Check::new(
            Standing::NotReady,
            format!("{thing} of container `{name}` of {place}"),
            format!("it lies in {region}: without that region no task starts"),
        )
        .hint(format!("keep a copy in {} and name that one", place.region))
    };
    found.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_ecr_are_read_and_others_left() {
        let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
        let plain = format!("{host}/petforce/web:v7");
        let image = in_ecr(&plain).unwrap();
        assert_eq!((image.account, image.region), ("123456789012", "us-west-2"));
        assert_eq!((image.repository, image.tag, image.digest), ("petforce/web", Some("v7"), None));
        let pinned = format!("{host}/web:v7@sha256:ab");
        let image = in_ecr(&pinned).unwrap();
        assert_eq!((image.repository, image.digest), ("web", Some("sha256:ab")));
        for other in ["nginx", "nginx:1", "public.ecr.aws/nginx/nginx:1", "docker.io/library/x"] {
            assert_eq!(in_ecr(other), None, "{other}");
        }
    }

    #[test]
    fn the_region_of_a_secret_is_that_of_its_arn() {
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";
        assert_eq!(region_of_secret(arn), Some("us-east-1"));
        assert_eq!(region_of_secret("/petforce/db"), None);
    }
}
