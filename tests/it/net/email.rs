//! `notify.email` against a real SMTP server: TLS from the start and by STARTTLS, passwords, and
//! what is refused.

use std::time::Duration;

use drctl::providers::{Applied, Standing};
use serde_json::json;

use super::scene::{LONG, Scene};
use crate::lab::{Mail, Tls};

fn channel(url: &str) -> String {
    format!(
        r#"
        [channel.mail]
        kind = "email"
        url = "{url}"
        from = "drctl <drctl@petforce.test>"
        to = ["oncall@petforce.test", "Bob <bob@petforce.test>"]
        "#
    )
}

async fn tell(scene: &Scene) -> Applied {
    let action = scene.action("notify.email", json!({ "text": "down", "within": "8s" }));
    action.apply(&scene.cx(LONG)).await.unwrap()
}

async fn standing(scene: &Scene) -> (Standing, String) {
    let action = scene.action("notify.email", json!({ "text": "down" }));
    let mut checks = action.preflight(&scene.cx(LONG)).await;
    assert_eq!(checks.len(), 1);
    let check = checks.remove(0);
    (check.standing, check.found)
}

#[tokio::test]
async fn mail_goes_through_a_server_that_wants_tls_and_a_password() {
    let tls = Tls::make();
    let login = |options: crate::lab::MailOptions| options.login("drctl", "sesame-of/mail").start();
    for (server, form) in [
        (login(Mail::options().smtps(&tls)), "smtps://drctl:sesame-of%2Fmail@localhost:PORT"),
        (
            login(Mail::options().starttls(&tls)),
            "smtp://drctl:sesame-of%2Fmail@127.0.0.1:PORT?tls=required",
        ),
    ] {
        let url = form.replace("PORT", &server.port().to_string());
        let mut scene = Scene::with_tls(&tls, &channel(&url));
        let (ready, found) = standing(&scene).await;
        assert_eq!((ready, found.as_str()), (Standing::Ready, "the mail server lets drctl in"));
        assert_eq!(server.mails().len(), 0, "nothing is sent to find that out");
        let applied = tell(&scene).await;
        assert_eq!(applied.warnings, Vec::<String>::new());
        scene.run.drill = true;
        tell(&scene).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 2);
        for line in [
            "X-Envelope-From: drctl@petforce.test\n",
            "X-Envelope-To: oncall@petforce.test\nX-Envelope-To: bob@petforce.test\n",
            "X-Lab-Tls: yes\nX-Lab-User: drctl\n",
            "Subject: petforce, us-east-1 to us-west-2: down\n",
            "\nclock     ",
        ] {
            assert!(mails[0].contains(line), "{line} is not in {}", mails[0]);
        }
        assert!(mails[1].contains("Subject: DRILL: petforce"), "{}", mails[1]);
        // A repeat of a step is the same mail to whoever looks at its id.
        let id =
            |mail: &str| mail.lines().find(|l| l.starts_with("Message-ID:")).unwrap().to_owned();
        assert_eq!(id(&mails[0]), "Message-ID: <drctl.20261124-0300-ab12.step@petforce.test>");
        assert_eq!(id(&mails[0]), id(&mails[1]));

        // The wrong password, and a server that nobody vouches for.
        let wrong =
            Scene::with_tls(&tls, &channel(&url.replace("sesame-of%2Fmail", "sesame-wrong")));
        let stranger = Scene::new(&channel(&url));
        for (scene, words) in [(wrong, "535"), (stranger, "UnknownIssuer")] {
            let applied = tell(&scene).await;
            let (warning, found) = standing(&scene).await;
            assert_eq!((applied.warnings.len(), warning), (1, Standing::Warning));
            assert!(applied.warnings[0].contains(words), "{:?}", applied.warnings);
            let text = format!("{applied:?} {found}");
            assert!(!text.contains("sesame"), "{text}");
        }
        assert_eq!(server.mails().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_would_not_encrypt_is_given_no_password() {
    let server = Mail::start();
    let url = format!("smtp://drctl:sesame@127.0.0.1:{}?tls=required", server.port());
    let scene = Scene::new(&channel(&url));
    let applied = tell(&scene).await;
    assert_eq!(applied.warnings.len(), 1, "{applied:?}");
    assert_eq!(server.mails().len(), 0);
    assert_eq!(standing(&scene).await.0, Standing::Warning);
}

#[tokio::test]
async fn refusals_and_silence_are_warnings() {
    let server = Mail::options().refuse(550).start();
    let scene = Scene::new(&channel(&format!("smtp://127.0.0.1:{}", server.port())));
    let applied = tell(&scene).await;
    assert!(applied.warnings[0].contains("not wanted here"), "{:?}", applied.warnings);

    let server = Mail::start();
    server.pause();
    let scene = Scene::new(&channel(&format!("smtp://127.0.0.1:{}", server.port())));
    let action = scene.action("notify.email", json!({ "text": "down", "within": "1s" }));
    let cx = scene.cx(LONG);
    let applied = tokio::time::timeout(Duration::from_secs(20), action.apply(&cx));
    let applied = applied.await.expect("bounded by `within`").unwrap();
    assert!(applied.warnings[0].contains("no answer in time"), "{:?}", applied.warnings);

    let scene =
        Scene::new(&channel("smtp://127.0.0.1:1").replace("oncall@petforce.test", "nobody"));
    let (warning, found) = standing(&scene).await;
    assert_eq!(warning, Standing::Warning);
    assert!(found.contains("`to`: `nobody` is not a mail address"), "{found}");
}
