//! Running the built `drctl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::moto::Moto;

/// The built binary: the one of the tests, or the one that lies beside the lab's own program.
pub fn program() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_drctl") {
        Some(path) => path.into(),
        None => {
            let program = std::env::current_exe().unwrap();
            program.parent().and_then(Path::parent).unwrap().join("drctl")
        }
    }
}

/// The binary, with an environment that holds PATH, an empty HOME and the key pair of the lab.
pub fn drctl(home: &Path) -> Command {
    let mut command = Command::new(program());
    command.env_clear().current_dir(home).env("HOME", home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("AWS_ACCESS_KEY_ID", Moto::ACCESS_KEY);
    command.env("AWS_SECRET_ACCESS_KEY", Moto::SECRET_KEY);
    // Or it would ask the metadata service of a cloud machine, and wait.
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// What a run of a program left.
#[derive(Debug)]
pub struct Ran {
    /// 128 + n when it ended by signal n.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let status = output.status;
    Ran {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    /// Panics with all output unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(
            self.code == code,
            "exit code {} instead of {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// All events of `--json`; panics on a line that is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("not JSON ({e}): {line}\n--- stderr\n{}", self.stderr))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The last event, which must be the result.
    #[track_caller]
    pub fn result(&self) -> Value {
        let last = self.events().pop();
        let last = last.unwrap_or_else(|| panic!("no output\n--- stderr\n{}", self.stderr));
        assert_eq!(last["event"], "result", "the last line is no result: {last}");
        last
    }
}
