//! `drctl keys`: make, show and look at signing keys.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::Cli;
use super::audit_args::{Keys, KeysCommand};
use super::render::Done;
use crate::app::App;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::history;
use crate::integrity::seal::{self, PublicKey};

pub async fn run(cli: &Cli, args: &Keys) -> Result<Done> {
    match &args.command {
        KeysCommand::Generate { out } => generate(out),
        KeysCommand::Show => show(&App::load(cli.config.as_deref())?),
        KeysCommand::Trust { file } => trust(&App::load(cli.config.as_deref())?, file).await,
    }
}

fn public_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    let what = || format!("write {}", path.display());
    match opened {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(Kind::Usage, format!("{} is there already", path.display()))
                .hint("a key is never overwritten: give another place with `--out`"))
        }
        Err(e) => Err(Error::new(Kind::Failed, what()).caused_by(e)),
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .attempt(Kind::Failed, what),
    }
}

fn generate(out: &Path) -> Result<Done> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(Kind::Failed, e.to_string()))
        .attempt(Kind::Failed, || "ask the system for random numbers".to_owned())?;
    let (private, public) = seal::generate(random)?;
    let beside = public_path(out);
    write_new(&beside, &public.pem, 0o644)?;
    if let Err(e) = write_new(out, private.expose()?, 0o600) {
        // A public key without its private one is of no use.
        let _ = std::fs::remove_file(&beside);
        return Err(e);
    }
    let text = format!(
        "Wrote the private key {} (keep it where only the runner reads it) and {}.\n\
         Fingerprint: {}\n\
         In the configuration:\n\n  [signing]\n  key = \"file:{}\"\n  \
         trusted_keys = [\"file:{}\"]\n\n\
         Once keys are trusted, snapshots without a signature count as unverified: begin with `key` \
         alone where there are some, and trust after the next `drctl snapshot --full`.\n",
        out.display(),
        beside.display(),
        public.fingerprint,
        absolute(out).display(),
        absolute(&beside).display(),
    );
    let fields = json!({
        "private_key": out.display().to_string(), "public_key": beside.display().to_string(),
        "fingerprint": public.fingerprint,
    });
    Ok(Done::well(text, fields))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn show(app: &App) -> Result<Done> {
    let keys = app.keys()?;
    let (signer, trusted) = (keys.signer()?, keys.trusted()?);
    let mut text = match &signer {
        Some(key) => format!("signs:  {}\n{}", key.fingerprint, key.pem),
        None => {
            "signs:  nothing: no `key` in [signing]; `drctl keys generate` makes one\n".to_owned()
        }
    };
    for key in &trusted {
        text.push_str(&format!("trusts: {}\n{}", key.fingerprint, key.pem));
    }
    match (&signer, trusted.is_empty()) {
        (_, true) => text.push_str("trusts: anybody: no `trusted_keys` in [signing]\n"),
        (Some(signer), false) if !trusted.contains(signer) => text.push_str(
            "What this configuration signs, it does not trust: add the key to `trusted_keys`\n",
        ),
        _ => {}
    }
    let own = signer.as_ref().map(|key| trusted.contains(key));
    Ok(Done::well(text, json!({ "signs": signer, "trusts": trusted, "trusts_itself": own })))
}

async fn trust(app: &App, file: &Path) -> Result<Done> {
    let pem = std::fs::read_to_string(file)
        .attempt(Kind::Usage, || format!("read {}", file.display()))?;
    let key = PublicKey::read(&pem)?;
    let known = app.keys()?.trusted()?.contains(&key);
    let alone = seal::Keys::read(None, &[pem])?;
    let (mut text, mut signed) = (format!("{}\n", key.fingerprint), Vec::new());
    for name in app.databases(None)? {
        for store in app.stores_in_haste(app.config.database(&name)?, None).await? {
            let places = match history::places(&*store, &name).await {
                Ok(places) => places,
                Err(e) => {
                    text.push_str(&format!(
                        "  {name}, store {}: NOT KNOWN: {}\n",
                        store.name(),
                        e.one_line()
                    ));
                    continue;
                }
            };
            let all = places.len();
            let reads = history::read_manifests(&*store, &alone, &name, places).await;
            let by_it = reads.iter().filter(|(_, read)| read.is_ok()).count();
            text.push_str(&format!(
                "  {name}, store {}: it signed {by_it} of {all} snapshots\n",
                store.name()
            ));
            signed.push(
                json!({ "database": name, "store": store.name(), "signed": by_it, "of": all }),
            );
        }
    }
    text.push_str(&match known {
        true => "It is trusted.\n".to_owned(),
        false => format!(
            "It is not trusted. If the fingerprint is the one that its owner told you, add it:\n\n  \
             [signing]\n  trusted_keys = [\"file:{}\"]\n",
            absolute(file).display()
        ),
    });
    Ok(Done::well(text, json!({ "key": key, "trusted": known, "signed": signed })))
}
