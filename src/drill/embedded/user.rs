//! The user that a server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::chown;
use std::path::Path;

use tokio::process::Command;

use crate::error::{Attempt, Error, Kind, Result};

/// An unprivileged user of this machine; none: the one that drctl runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(Option<(String, u32, u32)>);

impl User {
    /// The user to run as: `name` where drctl runs as root, else drctl's own.
    pub async fn of_servers(name: &str) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let (uid, gid) = (id(name, "-u").await?, id(name, "-g").await?);
        match uid {
            0 => Err(Error::new(
                Kind::Usage,
                format!("run a server as `{name}`: PostgreSQL does not run as root"),
            )
            .hint("name an unprivileged user as `user` in [drill]")),
            uid => Ok(Self(Some((name.to_owned(), uid, gid)))),
        }
    }

    /// Makes a program run as this user, without the groups of root.
    pub fn run(&self, command: &mut Command) {
        if let Self(Some((_, uid, gid))) = self {
            // Where root starts a program under another uid, the supplementary groups are dropped
            // (std::os::unix::process::CommandExt::uid).
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives the user what is to be its own.
    pub fn give(&self, path: &Path) -> Result<()> {
        let Self(Some((name, uid, gid))) = self else { return Ok(()) };
        chown(path, Some(*uid), Some(*gid))
            .attempt(Kind::Failed, || format!("give {} to user `{name}`", path.display()))
    }
}

/// What POSIX `id` says of a user, which also asks directories such as LDAP.
async fn id(name: &str, flag: &str) -> Result<u32> {
    let output = Command::new("id")
        .args([flag, "--", name])
        .output()
        .await
        .attempt(Kind::Program, || "run `id`".to_owned())?;
    let number = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    number.filter(|_| output.status.success()).ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no user `{name}` to run a server as")).hint(
            "drctl runs as root, and PostgreSQL must not: name an unprivileged user as `user` in \
             [drill], or run drctl as one",
        )
    })
}
