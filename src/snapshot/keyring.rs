//! The keys of generations on the machine that takes snapshots: which generation may go on under
//! them, and where they are kept from one run to the next.

use std::collections::HashMap;

use super::cache::Cache;
use super::opening::Opened;
use crate::error::Result;
use crate::integrity::encryption::{Access, Cipher, GenerationKey};
use crate::model::{Encryption, GenerationId, Level, Manifest, Recipient, Sink};

const TURNED_ON: &str = "encryption was turned on";
const TURNED_OFF: &str = "encryption was turned off";
const CHANGED: &str = "the recipients were changed";
const LOST: &str =
    "the last generation's key is not in `cache_dir`, and no `identity` is configured";
const CLOSED: &str = "the last generation's key is not in `cache_dir`, and the configured `identity` does not open it";
const ANOTHER: &str = "the key in `cache_dir` is not the one that the last manifest names";
const CUT_SHORT: &str = "the key of the generation that was cut short is not in `cache_dir`";

/// Whether a reason to begin a generation is about keys; these are told as they happen.
pub fn is_of_keys(reason: &str) -> bool {
    [TURNED_ON, TURNED_OFF, CHANGED, LOST, CLOSED, ANOTHER, CUT_SHORT].contains(&reason)
}

/// A generation's key as it is at hand.
#[derive(Debug, Clone)]
struct Held {
    cipher: Cipher,
    /// As a manifest has it; none where no manifest of the generation was finished.
    encryption: Option<Encryption>,
}

/// What is known of the keys of the generations that a run may go on with.
#[derive(Debug, Default)]
pub struct Keyring {
    recipients: Vec<Recipient>,
    known: HashMap<GenerationId, Result<Held, &'static str>>,
}

impl Keyring {
    /// Looks for the keys of the newest generations of the stores.
    pub async fn gather(
        access: &Access,
        cache: Option<&Cache>,
        database: &str,
        opened: &[Opened],
    ) -> Self {
        let mut known = HashMap::new();
        let manifests = opened.iter().filter_map(|o| o.newest.as_ref().ok()?.as_ref());
        let newest = manifests.map(|m| (&m.generation, Some(m)));
        let unfinished = opened.iter().filter_map(|o| Some((o.newest_generation.as_ref()?, None)));
        for (generation, manifest) in newest.chain(unfinished) {
            if !known.contains_key(generation) {
                let kept = match cache {
                    Some(cache) => kept(cache, database, generation).await,
                    None => None,
                };
                known.insert(generation.clone(), find(access, kept, manifest));
            }
        }
        Self { recipients: access.recipients().to_vec(), known }
    }

    /// Whether the generation may go on; else why a new one must begin.
    pub fn may_go_on(&self, generation: &GenerationId) -> Result<(), &'static str> {
        match self.known.get(generation) {
            Some(Err(reason)) => Err(*reason),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The key of a generation that goes on, and what its manifests say of it.
    pub fn take(&self, generation: &GenerationId) -> Result<(Cipher, Option<Encryption>)> {
        let Some(Ok(held)) = self.known.get(generation) else { return self.begin() };
        match (held.cipher.key(), &held.encryption) {
            (Some(key), None) => Ok((held.cipher.clone(), Some(key.wrap(&self.recipients)?))),
            (_, encryption) => Ok((held.cipher.clone(), encryption.clone())),
        }
    }

    /// A new key, where there are recipients.
    pub fn begin(&self) -> Result<(Cipher, Option<Encryption>)> {
        if self.recipients.is_empty() {
            return Ok((Cipher::default(), None));
        }
        let key = GenerationKey::generate();
        let encryption = key.wrap(&self.recipients)?;
        Ok((Cipher::under(key), Some(encryption)))
    }
}

/// What the cache keeps of a generation's key.
type Kept = (GenerationKey, Vec<Recipient>);

fn find(
    access: &Access,
    kept: Option<Kept>,
    manifest: Option<&Manifest>,
) -> Result<Held, &'static str> {
    let recipients = access.recipients();
    let encryption = manifest.and_then(|m| m.encryption.as_ref());
    if recipients.is_empty() {
        return match encryption.is_some() || kept.is_some() {
            true => Err(TURNED_OFF),
            false => Ok(Held { cipher: Cipher::default(), encryption: None }),
        };
    }
    let held = |key, encryption: Option<&Encryption>| Held {
        cipher: Cipher::under(key),
        encryption: encryption.cloned(),
    };
    match (manifest, encryption, kept) {
        (Some(_), None, _) => Err(TURNED_ON),
        (_, Some(encryption), _) if encryption.recipients != recipients => Err(CHANGED),
        // What the store says is not believed against what this machine knows.
        (_, Some(encryption), Some((key, _))) => match *key.public() == encryption.key {
            true => Ok(held(key, Some(encryption))),
            false => Err(ANOTHER),
        },
        (_, Some(encryption), None) if access.recovery().is_configured() => {
            let key = access.recovery().open(encryption).map_err(|_| CLOSED)?;
            Ok(held(key, Some(encryption)))
        }
        (_, Some(_), None) => Err(LOST),
        (None, None, Some((_, then))) if then != recipients => Err(CHANGED),
        (None, None, Some((key, _))) => Ok(held(key, None)),
        (None, None, None) => Err(CUT_SHORT),
    }
}

const RECIPIENTS: &str = "# recipients:";

async fn kept(cache: &Cache, database: &str, generation: &GenerationId) -> Option<Kept> {
    let text = cache.key(database, generation).await?;
    let listed = text.lines().find_map(|line| line.strip_prefix(RECIPIENTS))?;
    let recipients = listed.split_whitespace().map(|r| r.parse().ok()).collect::<Option<_>>()?;
    Some((GenerationKey::read(&text)?, recipients))
}

/// Keeps a generation's key for the next run: an identity file, for this user alone.
pub async fn keep(
    cache: Option<&Cache>,
    database: &str,
    generation: &GenerationId,
    cipher: &Cipher,
    encryption: Option<&Encryption>,
    sink: &dyn Sink,
) {
    use age::secrecy::ExposeSecret as _;
    let (Some(cache), Some(key), Some(encryption)) = (cache, cipher.key(), encryption) else {
        return;
    };
    let recipients: Vec<String> = encryption.recipients.iter().map(Recipient::to_string).collect();
    let text = zeroize::Zeroizing::new(format!(
        "# drctl: the key of generation {generation} of database {database}\n{RECIPIENTS} {}\n{}\n",
        recipients.join(" "),
        key.text().expose_secret()
    ));
    if let Err(e) = cache.put_key(database, generation, text).await {
        sink.notice(
            Level::Warning,
            format!(
                "the key of this generation is not kept, so without an `identity` the next snapshot \
                 begins a new one: {}",
                e.one_line()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::integrity::encryption::Recovery;
    use age::secrecy::ExposeSecret as _;
    use age::x25519::Identity;

    fn said(found: Result<Held, &'static str>) -> Result<bool, &'static str> {
        found.map(|held| held.cipher.key().is_some())
    }

    #[tokio::test]
    async fn a_generation_goes_on_only_with_its_key_and_its_recipients() {
        let world = crate::integrity::specimen::World::new().await;
        let plain = world.manifests[0].clone();
        let [one, two] = [(); 2].map(|()| Identity::generate());
        let to = |ids: &[&Identity]| {
            Access::new(ids.iter().map(|i| i.to_public().into()).collect(), Recovery::of(None))
        };
        let with = |access: &Access, identity: &Identity| {
            let secret = Secret::new(identity.to_string().expose_secret());
            Access::new(access.recipients().to_vec(), Recovery::of(Some(&secret)))
        };
        let (nobody, first, both) = (to(&[]), to(&[&one]), to(&[&one, &two]));
        let key = GenerationKey::generate();
        let kept = || Some((key.clone(), first.recipients().to_vec()));
        let other = || Some((GenerationKey::generate(), first.recipients().to_vec()));
        let mut sealed = plain.clone();
        sealed.encryption = Some(key.wrap(first.recipients()).unwrap());
        let (plain, sealed) = (Some(&plain), Some(&sealed));

        assert_eq!(said(find(&nobody, None, plain)), Ok(false));
        assert_eq!(said(find(&nobody, None, None)), Ok(false));
        assert_eq!(said(find(&nobody, None, sealed)), Err(TURNED_OFF));
        assert_eq!(said(find(&nobody, kept(), None)), Err(TURNED_OFF));
        assert_eq!(said(find(&first, None, plain)), Err(TURNED_ON));
        assert_eq!(said(find(&both, kept(), sealed)), Err(CHANGED));
        assert_eq!(said(find(&both, kept(), None)), Err(CHANGED));
        assert_eq!(said(find(&first, kept(), sealed)), Ok(true));
        assert_eq!(said(find(&first, other(), sealed)), Err(ANOTHER));
        assert_eq!(said(find(&with(&first, &one), other(), sealed)), Err(ANOTHER));
        assert_eq!(said(find(&first, None, sealed)), Err(LOST));
        assert_eq!(said(find(&with(&first, &one), None, sealed)), Ok(true));
        assert_eq!(said(find(&with(&first, &two), None, sealed)), Err(CLOSED));
        assert_eq!(said(find(&first, kept(), None)), Ok(true));
        assert_eq!(said(find(&first, None, None)), Err(CUT_SHORT));
    }

    #[tokio::test]
    async fn a_kept_key_is_for_its_user_alone_and_reads_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::TempDir::new().unwrap();
        let cache = Cache::new(dir.path().to_owned());
        let generation = GenerationId::new(chrono::DateTime::UNIX_EPOCH, 1);
        let recipient = Identity::generate().to_public().into();
        let access = Access::new(vec![recipient], Recovery::of(None));
        let ring = Keyring::gather(&access, Some(&cache), "pet", &[]).await;
        let (cipher, encryption) = ring.begin().unwrap();
        let silent = crate::model::Silent;
        keep(Some(&cache), "pet", &generation, &cipher, encryption.as_ref(), &silent).await;
        let (key, recipients) = super::kept(&cache, "pet", &generation).await.unwrap();
        assert_eq!(Some(key.public()), cipher.key().map(GenerationKey::public));
        assert_eq!(recipients, access.recipients());
        let file = dir.path().join("pet").join(generation.as_str()).join("generation.key");
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
