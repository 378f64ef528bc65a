//! Temporary folders, gone with their guard, and at the latest when the test process ends.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::setup::setting;

/// A folder that is removed on drop.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A new empty folder of the test's own user, readable by the servers' user.
pub fn folder(name: &str) -> Folder {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let path = root().join(format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&path).unwrap();
    set_mode(&path, 0o755);
    Folder { path }
}

pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The user that servers run as.
#[derive(Debug, Clone, Copy)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    /// The unprivileged user chosen by `scripts/setup` when the tests run as root, which PostgreSQL
    /// and PgBouncer refuse to run as; else the user of the tests.
    pub fn of_servers() -> Self {
        static OWNER: OnceLock<Owner> = OnceLock::new();
        *OWNER.get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                return Self(None);
            }
            let user = setting("SERVER_USER");
            let id = |flag: &str| -> u32 {
                let output = Command::new("id").args([flag, &user]).output().unwrap();
                String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| {
                    panic!("no user `{user}` to run servers as; run scripts/setup as root")
                })
            };
            Self(Some((id("-u"), id("-g"))))
        })
    }

    pub fn give(self, path: &Path) {
        if let Self(Some((uid, gid))) = self {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Makes the command run as this user.
    pub fn run(self, command: &mut Command) -> &mut Command {
        if let Self(Some((uid, gid))) = self {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The folder of this test process: `<temporary folder>/drctl-lab-<pid>`.
fn root() -> &'static Path {
    static ROOT: OnceLock<(PathBuf, Child)> = OnceLock::new();
    &ROOT
        .get_or_init(|| {
            sweep();
            let path = std::env::temp_dir().join(format!("drctl-lab-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            set_mode(&path, 0o755);
            let watch = watch(&path);
            (path, watch)
        })
        .0
}

/// Starts a shell that removes `path` as soon as this process is gone, killed or not: the pipe it
/// reads from is then closed. Statics are never dropped, so shared servers' folders need it.
fn watch(path: &Path) -> Child {
    let script = r#"trap '' INT TERM HUP; cat >/dev/null
        for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$0" 2>/dev/null && exit; sleep 0.5; done"#;
    Command::new("sh")
        .args(["-c", script])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of reach of a Ctrl-C in the terminal.
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Removes the folders of test processes that no longer run.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix("drctl-lab-")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
