//! The two-region world as a program, for playing by hand and for scripts: `scripts/lab` builds and
//! runs it.

#[path = "mod.rs"]
mod lab;

use std::path::PathBuf;
use std::process::ExitCode;

use lab::control::{self, Order};

const USAGE: &str = "\
Two regions on loopback: PostgreSQL with a standby, AWS (moto), an app, DNS and receivers of
notifications.

  scripts/lab up [--scale N] [--ttl SECONDS] [--rds]
                             start it, and say what to try
  scripts/lab status         what runs, what is broken, who answers, how the client fares
  scripts/lab fail PART KIND break something
  scripts/lab heal PART      mend it; a killed database comes back as it was
  scripts/lab write [NAME]   a client that writes to NAME.petforce.test all the time (app)
  scripts/lab writes [--json] what it has seen; what was acknowledged and is lost
  scripts/lab rebuild REGION its database becomes a new standby of the other's
  scripts/lab show [WHAT]    where things are, one NAME=VALUE a line
  scripts/lab down           end all of it

PART: east, west, east.db, east.aws, east.app, west.db, west.aws, west.app, route53
KIND: kill, stop (SIGSTOP), hang (accept and never answer), refuse, cut
      and, of a database that is a standby until it is healed: lag (it receives and replays nothing),
      behind (it receives nothing, so that a failover loses what comes now)

Its files are in .lab/world, or in the folder that LAB_WORLD names.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] | ["-h" | "--help" | "help"] => Ok(USAGE.to_owned()),
        ["up", options @ ..] => control::up(&folder(), options),
        ["serve", options @ ..] => control::serve(&folder(), options).map(|()| String::new()),
        words => match Order::read(words) {
            Ok(order) => control::ask(&folder(), &order),
            Err(why) => Err(format!("{why}\n\n{USAGE}")),
        },
    };
    match outcome {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("lab: {why}");
            ExitCode::FAILURE
        }
    }
}

fn folder() -> PathBuf {
    match std::env::var_os("LAB_WORLD") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".lab/world"),
    }
}
