//! Mail by SMTP.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use url::Url;

use super::notification::Notification;
use super::sending::Trouble;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Gives the mail to the server, and what the server said.
pub async fn send(
    authorities: &[CertificateDer<'static>],
    url: &str,
    mail: Mail,
    limit: Duration,
) -> Result<String, Trouble> {
    let transport = transport(authorities, url, limit)?;
    let response = transport.send(mail).await.map_err(trouble)?;
    let said = response.message().collect::<Vec<_>>().join(" ");
    Ok(format!("{} {said}", response.code()).trim().to_owned())
}

/// Connects, says hello and signs in; sends nothing.
pub async fn sign_in(
    authorities: &[CertificateDer<'static>],
    url: &str,
    limit: Duration,
) -> Result<(), Trouble> {
    match transport(authorities, url, limit)?.test_connection().await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Trouble::again("the server does not answer as one")),
        Err(e) => Err(trouble(e)),
    }
}

/// Whether a password would travel unprotected to another machine.
pub fn is_bare(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let protected =
        url.scheme() == "smtps" || url.query_pairs().any(|(k, v)| k == "tls" && v == "required");
    let local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    url.password().is_some() && !protected && !local
}

/// `smtps://`: TLS from the first byte; `?tls=required`: STARTTLS or nothing; else as the URL says.
fn transport(
    authorities: &[CertificateDer<'static>],
    url: &str,
    limit: Duration,
) -> Result<Transport, Trouble> {
    // Errors about the URL may repeat it.
    let malformed = || Trouble::Never("its url is not one of a mail server".to_owned());
    let parsed = Url::parse(url).map_err(|_| malformed())?;
    let builder = Transport::from_url(url).map_err(|_| malformed())?;
    let wanted = parsed.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
    let host = parsed.host_str().ok_or_else(malformed)?.trim_matches(['[', ']']);
    let parameters = || parameters(authorities, host);
    let builder = match (parsed.scheme(), wanted.as_deref()) {
        ("smtps", _) => builder.tls(Tls::Wrapper(parameters()?)),
        (_, Some("required")) => builder.tls(Tls::Required(parameters()?)),
        (_, Some("opportunistic")) => builder.tls(Tls::Opportunistic(parameters()?)),
        _ => builder,
    };
    Ok(builder.timeout(Some(limit)).build())
}

fn parameters(
    authorities: &[CertificateDer<'static>],
    host: &str,
) -> Result<TlsParameters, Trouble> {
    let mut builder =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    for authority in authorities {
        let certificate = Certificate::from_der(authority.to_vec()).map_err(trouble)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(trouble)
}

fn trouble(error: lettre::transport::smtp::Error) -> Trouble {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(e) = cause {
        let part = e.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = e.source();
    }
    match error.is_permanent() || error.is_tls() || error.is_client() {
        true => Trouble::Never(text),
        false => Trouble::again(text),
    }
}

/// The mail itself. Its id is the same for every try, and all that belongs together refers to one, so
/// that readers see one thread.
pub fn mail(told: &Notification, from: &str, to: &[String]) -> Result<Mail, String> {
    let from: lettre::message::Mailbox =
        from.parse().map_err(|e| format!("`from` is not a mail address: {e}"))?;
    let domain = from.email.domain().to_owned();
    let subject: String = told.headline.chars().take(200).collect();
    let text = |name: &'static str, value: String| {
        HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
    };
    let mut builder = Mail::builder()
        .from(from)
        .subject(subject)
        .date(told.at.into())
        .message_id(Some(format!("<{}@{domain}>", id(&told.id))))
        .references(format!("<{}@{domain}>", id(&told.thread)))
        .header(ContentType::TEXT_PLAIN)
        // RFC 3834: nobody's absence is to be told to a program.
        .raw_header(text("Auto-Submitted", "auto-generated".to_owned()));
    for (name, value) in &told.headers {
        builder = builder.raw_header(text(name, value.clone()));
    }
    for address in to {
        let address = address.parse().map_err(|e| format!("`to`: `{address}`: {e}"))?;
        builder = builder.to(address);
    }
    builder.body(told.plain()).map_err(|e| e.to_string())
}

/// Whether these can be written to.
pub fn addresses(from: &str, to: &[String]) -> Result<(), String> {
    for (key, address) in
        std::iter::once(("from", from)).chain(to.iter().map(|a| ("to", a.as_str())))
    {
        address
            .parse::<lettre::message::Mailbox>()
            .map_err(|e| format!("`{key}`: `{address}` is not a mail address: {e}"))?;
    }
    Ok(())
}

/// The left side of a message id (RFC 5322, `dot-atom-text`).
fn id(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("drctl.{}", text.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::message::tests::message;
    use super::*;

    fn mail(message: &Message, from: &str, to: &[String]) -> Result<Mail, String> {
        super::mail(&message.notification(), from, to)
    }

    #[test]
    fn a_mail_can_be_told_from_its_repeats_and_drills_are_marked() {
        let to = ["oncall@petforce.test".to_owned(), "Bob <bob@petforce.test>".to_owned()];
        let sent = mail(&message(), "drctl <drctl@petforce.test>", &to).unwrap();
        let text = String::from_utf8(sent.formatted()).unwrap();
        for line in [
            "From: drctl <drctl@petforce.test>\r\n",
            "Subject: petforce, us-east-1 to us-west-2: promoted & serving\r\n",
            "Message-ID: <drctl.20261124-0300-ab12.tell@petforce.test>\r\n",
            "References: <drctl.20261124-0300-ab12@petforce.test>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "clock     2m 3s of 15m\r\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("X-Drctl-Drill"));
        let drill = Message { drill: true, ..message() };
        let drill = mail(&drill, "a@b.test", &to).unwrap().formatted();
        let drill = String::from_utf8(drill).unwrap();
        assert!(drill.contains("Subject: DRILL: petforce"), "{drill}");
        assert!(drill.contains("X-Drctl-Drill: yes\r\n"), "{drill}");
        assert!(mail(&message(), "nobody", &to).is_err());
        assert!(mail(&message(), "a@b.test", &["x y".to_owned()]).is_err());
    }

    #[test]
    fn a_password_without_tls_is_noticed() {
        for (url, bare) in [
            ("smtp://u:p@mail.petforce.test:25", true),
            ("smtp://u:p@mail.petforce.test?tls=opportunistic", true),
            ("smtp://u:p@mail.petforce.test?tls=required", false),
            ("smtps://u:p@mail.petforce.test", false),
            ("smtp://mail.petforce.test", false),
            ("smtp://u:p@127.0.0.1", false),
        ] {
            assert_eq!(is_bare(url), bare, "{url}");
        }
    }
}
