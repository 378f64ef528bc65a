//! The page in a browser: headless Chromium, where it is installed (`scripts/setup --browser`).

use std::path::Path;
use std::process::Command;

use super::Web;
use crate::home::Home;
use crate::lab::{folder, run};

fn chromium(profile: &Path) -> Command {
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    command.args(["--hide-scrollbars", "--no-first-run", "--virtual-time-budget=2000"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command
}

/// How wide the document is, at a given width of the window: wider means scrolling sideways.
fn dump(url: &str, width: u32, profile: &Path) -> String {
    let mut command = chromium(profile);
    command.arg(format!("--window-size={width},900")).args(["--dump-dom", url]);
    run(&mut command).expect(0).stdout
}

#[test]
#[ignore = "needs chromium: scripts/setup --browser"]
fn the_page_is_shown_in_chromium_at_the_width_of_a_phone() {
    let home = Home::local("host=nowhere.invalid", "");
    let web = Web::start(&home);
    let dir = folder("browser");
    let url = format!("http://127.0.0.1:{}/?still", web.port);
    let shown = dump(&url, 390, &dir.join("profile"));
    assert!(shown.contains("NOT READY") && shown.contains("has no servers configured"), "{shown}");
    let kept = std::env::var("DRCTL_SCREENSHOTS").ok();
    for width in [390, 1100] {
        let place = match &kept {
            Some(kept) => Path::new(kept).join(format!("page-{width}.png")),
            None => dir.join(format!("{width}.png")),
        };
        let mut command = chromium(&dir.join("profile"));
        command.arg(format!("--window-size={width},1600"));
        command.arg(format!("--screenshot={}", place.display())).arg(&url);
        run(&mut command).expect(0);
        let picture = std::fs::read(&place).unwrap();
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() > 10_000,
            "{} bytes",
            picture.len()
        );
    }
}
