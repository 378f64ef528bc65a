//! Signing in to AWS: whose credentials are used in which region, for stores and for providers.

use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;

use crate::config::Secret;
use crate::error::Result;

/// In which region, and as whom, requests are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignIn<'s> {
    /// Also the region whose STS is asked where a profile takes on a role.
    pub region: &'s str,
    /// A profile of the AWS configuration files; none: the default credential chain.
    pub profile: Option<&'s str>,
    /// Go before the profile where both are there.
    pub access_key_id: Option<&'s Secret>,
    pub secret_access_key: Option<&'s Secret>,
}

impl SignIn<'_> {
    /// What the SDK starts from. Sends nothing. `Kind::Usage` where a key is not to be had.
    pub(crate) fn loader(&self) -> Result<ConfigLoader> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.to_owned()));
        if let Some(profile) = self.profile {
            loader = loader.profile_name(profile);
        }
        if let (Some(id), Some(secret)) = (self.access_key_id, self.secret_access_key) {
            let (id, secret) = (id.expose()?, secret.expose()?);
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret,
                None,
                None,
                "configuration",
            ));
        }
        Ok(loader)
    }
}
