//! The folder that an operator works in: a `drctl.toml`, the built binary run there, and hands on
//! what lies in its stores.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::lab::{self, Folder, Moto, Ran, folder};

/// Where the objects of a store of the configuration lie.
pub enum Vault {
    Dir(PathBuf),
    /// The bucket and the server that has it; the prefix is `dr`.
    Bucket {
        moto: &'static Moto,
        bucket: String,
        endpoint: String,
        /// Its objects are locked for a day (`object_lock`).
        locked: bool,
    },
}

impl Vault {
    pub fn bucket(moto: &'static Moto) -> Self {
        let endpoint = moto.endpoint();
        Self::Bucket { moto, bucket: moto.fresh_bucket("vault"), endpoint, locked: false }
    }

    pub fn locked_bucket(moto: &'static Moto) -> Self {
        let bucket = moto.fresh_locked_bucket("vault");
        Self::Bucket { moto, bucket, endpoint: moto.endpoint(), locked: true }
    }

    pub fn url(&self) -> String {
        match self {
            Self::Dir(dir) => format!("file://{}", dir.display()),
            Self::Bucket { bucket, .. } => format!("s3://{bucket}/dr"),
        }
    }

    fn config(&self) -> String {
        let more = match self {
            Self::Dir(_) => String::new(),
            Self::Bucket { endpoint, locked, .. } => {
                let lock = if *locked { "object_lock = \"1d\"\n" } else { "" };
                format!("endpoint = \"{endpoint}\"\npath_style = true\n{lock}")
            }
        };
        format!("url = \"{}\"\npatience = \"2s\"\n{more}", self.url())
    }

    /// The keys below the store's prefix, sorted.
    pub fn keys(&self) -> Vec<String> {
        match self {
            Self::Dir(dir) => {
                let mut found = Vec::new();
                let mut open = vec![dir.clone()];
                while let Some(next) = open.pop() {
                    for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
                        let path = entry.path();
                        if path.is_dir() {
                            open.push(path);
                        } else {
                            found.push(path.strip_prefix(dir).unwrap().display().to_string());
                        }
                    }
                }
                found.retain(|key| !key.starts_with(".tmp"));
                found.sort();
                found
            }
            Self::Bucket { moto, bucket, .. } => {
                let keys = moto.keys(bucket, "dr/");
                keys.into_iter().map(|key| key["dr/".len()..].to_owned()).collect()
            }
        }
    }

    /// The keys that hold `piece`.
    pub fn keys_with(&self, piece: &str) -> Vec<String> {
        self.keys().into_iter().filter(|key| key.contains(piece)).collect()
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        match self {
            Self::Dir(dir) => std::fs::read(dir.join(key)).unwrap(),
            Self::Bucket { moto, bucket, .. } => moto.get(bucket, &format!("dr/{key}")),
        }
    }

    /// Overwrites an object, as no drctl would.
    pub fn put(&self, key: &str, body: &[u8]) {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let _ = std::fs::remove_file(&path);
                std::fs::write(path, body).unwrap();
            }
            Self::Bucket { moto, bucket, .. } => moto.put(bucket, &format!("dr/{key}"), body),
        }
    }

    pub fn delete(&self, key: &str) {
        match self {
            Self::Dir(dir) => std::fs::remove_file(dir.join(key)).unwrap(),
            Self::Bucket { moto, bucket, .. } => moto.delete(bucket, &format!("dr/{key}")),
        }
    }
}

/// A home with the stores `east` and `west` and the database `petforce`.
pub struct Home {
    pub folder: Folder,
    pub east: Vault,
    pub west: Vault,
    /// Added to the environment of every run.
    pub env: Vec<(&'static str, String)>,
    /// All that was ever printed.
    said: Mutex<String>,
}

impl Home {
    /// Two folders for stores.
    pub fn local(url: &str, more: &str) -> Self {
        let folder = folder("home");
        let [east, west] = ["east", "west"].map(|name| Vault::Dir(folder.join(name)));
        Self { folder, east, west, env: Vec::new(), said: Mutex::default() }.written(url, more)
    }

    /// The given stores. `more` is for the end of `[database.petforce]`, and may begin new tables.
    pub fn with(east: Vault, west: Vault, url: &str, more: &str) -> Self {
        let (env, said) = (Vec::new(), Mutex::default());
        Self { folder: folder("home"), east, west, env, said }.written(url, more)
    }

    fn written(self, url: &str, more: &str) -> Self {
        self.write(url, more);
        self
    }

    /// Writes the configuration anew.
    pub fn write(&self, url: &str, more: &str) {
        let text = format!(
            "[project]\nname = \"petforce\"\n\
             [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
             [store.east]\nregion = \"us-east-1\"\n{}\
             [store.west]\nregion = \"us-west-2\"\n{}\
             [database.petforce]\nurl = '''{url}'''\nstores = [\"east\", \"west\"]\njobs = 2\n{more}\n",
            self.east.config(),
            self.west.config(),
        );
        std::fs::write(self.folder.join("drctl.toml"), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = lab::drctl(self.folder.path());
        command.args(args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    fn ran(&self, command: &mut Command, code: i32) -> Ran {
        let ran = lab::run(command);
        let mut said = self.said.lock().unwrap();
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
        drop(said);
        ran.expect(code)
    }

    /// All that was printed by now.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// As a person runs it.
    #[track_caller]
    pub fn run(&self, args: &[&str], code: i32) -> Ran {
        self.ran(&mut self.command(args), code)
    }

    /// With `--json`; every line of stdout is JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str], code: i32) -> serde_json::Value {
        let ran = self.ran(self.command(args).arg("--json"), code);
        let result = ran.result();
        assert_eq!(result["ok"], code == 0, "{result}");
        assert_eq!(result["exit_code"], code, "{result}");
        result
    }

    /// Takes a snapshot into both stores and gives its id.
    #[track_caller]
    pub fn snapshot(&self) -> String {
        let result = self.json(&["snapshot", "petforce"], 0);
        result["id"].as_str().unwrap().to_owned()
    }
}
