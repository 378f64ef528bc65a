//! Keeps the secrets of the configuration out of texts that others wrote: what a program printed,
//! what a server answered.

use url::{Url, form_urlencoded};

use super::{ChannelKind, Config, IntakeKind, Secret};

/// What is shown in the place of a secret.
const HIDDEN: &str = "***";
/// Shorter ones would blot out half of every text, and are none.
const SHORTEST: usize = 4;

/// Every secret that is known, and the parts of them that are secrets by themselves.
#[derive(Clone, Default)]
pub struct Redaction {
    /// Longest first, so that none is hidden in part.
    secrets: Vec<String>,
}

impl Redaction {
    /// Of everything secret in `config` that could be read here.
    pub fn of(config: &Config) -> Self {
        let mut secrets = Vec::new();
        let mut whole = |secret: &Secret| secrets.extend(secret.expose().ok().map(str::to_owned));
        config.signing_key.iter().for_each(&mut whole);
        config.encryption.identity.iter().for_each(&mut whole);
        for store in config.stores.iter().filter_map(|s| s.value.as_ref().ok()) {
            store.secret_access_key.iter().for_each(&mut whole);
        }
        for aws in config.aws.iter().filter_map(|s| s.value.as_ref().ok()) {
            aws.secret_access_key.iter().for_each(&mut whole);
        }
        for target in config.targets.iter().filter_map(|s| s.value.as_ref().ok()) {
            whole(&target.url);
        }
        for database in config.databases.iter().filter_map(|s| s.value.as_ref().ok()) {
            whole(&database.url);
            database.servers.values().for_each(|server| whole(&server.url));
        }
        for channel in config.channels.iter().filter_map(|s| s.value.as_ref().ok()) {
            match &channel.kind {
                ChannelKind::Slack { url } | ChannelKind::Email { url, .. } => whole(url),
                ChannelKind::DataDog { api_key, .. } => whole(api_key),
                ChannelKind::Alertmanager { url, token } => {
                    whole(url);
                    token.iter().for_each(&mut whole);
                }
                ChannelKind::PagerDuty { routing_key, .. } => whole(routing_key),
                ChannelKind::Webhook { url, secret } => {
                    whole(url);
                    secret.iter().for_each(&mut whole);
                }
            }
        }
        config.web.iter().filter_map(|web| web.token.as_ref()).for_each(&mut whole);
        for intake in config.intakes.iter().filter_map(|s| s.value.as_ref().ok()) {
            match &intake.from {
                IntakeKind::Alertmanager { secret } | IntakeKind::PagerDuty { secret } => {
                    whole(secret);
                }
                IntakeKind::Sns { .. } => {}
            }
        }
        config.jobs.iter().filter_map(|job| job.heartbeat.as_ref()).for_each(&mut whole);
        Self::default().with(secrets)
    }

    /// These as well.
    pub fn with(mut self, more: impl IntoIterator<Item = String>) -> Self {
        for secret in more {
            self.secrets.extend(parts(&secret));
            self.secrets.push(secret);
        }
        self.secrets.retain(|secret| secret.len() >= SHORTEST);
        self.secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.secrets.dedup();
        self
    }

    /// The text without secrets.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }
}

/// What of a secret is one by itself: passwords in URLs and connection strings, the path and query
/// of a URL, which in webhooks are all that it takes to post there, and the lines of a key.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = Vec::new();
    if secret.contains('\n') {
        parts.extend(
            secret.lines().filter(|l| l.len() >= 16 && !l.starts_with("--")).map(str::to_owned),
        );
    }
    let Ok(url) = Url::parse(secret) else {
        parts.extend(keyword_password(secret));
        return parts;
    };
    if let Some(password) = url.password() {
        parts.push(password.to_owned());
        parts.push(decoded(password));
    }
    let web = matches!(url.scheme(), "http" | "https");
    for (name, value) in url.query_pairs() {
        if web || name.contains("password") {
            parts.push(value.into_owned());
        }
    }
    if web {
        // `/services` says nothing; what is long and last does.
        parts.extend(
            url.path_segments().into_iter().flatten().filter(|s| s.len() >= 8).map(str::to_owned),
        );
        parts.extend((url.path().len() > 8).then(|| url.path().to_owned()));
    }
    parts
}

fn decoded(text: &str) -> String {
    // Of a form only `%` is wanted; its `+` is no space here.
    let form = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap_or_default()
}

/// The value of `password` in a key=value connection string.
fn keyword_password(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("password")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quoted = rest.strip_prefix('\'');
    let mut value = String::new();
    let mut chars = quoted.unwrap_or(rest).chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            '\'' if quoted.is_some() => break,
            c if quoted.is_none() && c.is_whitespace() => break,
            c => value.push(c),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_secret_in_the_configuration_is_hidden_and_nothing_else() {
        let text = r#"
            project = { name = "petforce" }
            regions = { primary = "us-east-1" }
            [store.a]
            url = "file:///tmp/a"
            region = "us-east-1"
            secret_access_key = ""
            [database.petforce]
            url = "postgresql://drctl:p%40ss+word@db.petforce.test/petforce"
            stores = ["a"]
            [target.scratch]
            url = "host=scratch user=drctl password='it\\'s secret' dbname=x"
            [channel.team]
            kind = "slack"
            url = "https://hooks.slack.test/services/T0000001/B0000001/geheimgeheim"
            [channel.hook]
            kind = "webhook"
            url = "https://hook.petforce.test/in?token=wissen"
            secret = "whsec_c2lnbmluZw"
        "#;
        let text = text.replace("            secret_access_key = \"\"\n", "");
        let config = Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap();
        let redaction = Redaction::of(&config);
        for (said, shown) in [
            ("password p@ss+word or p%40ss+word is wrong", "password *** or *** is wrong"),
            ("it's secret is wrong for drctl at scratch", "*** is wrong for drctl at scratch"),
            ("POST /services/T0000001/B0000001/geheimgeheim", "POST ***"),
            ("see geheimgeheim", "see ***"),
            ("?token=wissen", "?token=***"),
            ("hooks.slack.test said no_service", "hooks.slack.test said no_service"),
            ("whsec_c2lnbmluZw", "***"),
        ] {
            assert_eq!(redaction.clean(said), shown);
        }
    }

    #[test]
    fn every_line_of_a_key_is_hidden() {
        let key =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIABCDEF\n-----END PRIVATE KEY-----\n";
        let redaction = Redaction::default().with([key.to_owned()]);
        assert_eq!(redaction.clean("x MC4CAQAwBQYDK2VwBCIEIABCDEF y"), "x *** y");
        assert_eq!(redaction.clean("abc"), "abc");
    }
}
