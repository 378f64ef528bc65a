//! `command.run`: a program as a step, with a program that can tell whether it is done and one that
//! undoes it, where there are such.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::child::{Ended, Program, Unended};
use super::leftovers;
use crate::config::{Config, Redaction};
use crate::error::{Error, Kind, Result};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, FailureClass, Observed, Standing,
};

/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(300);
/// As much of the output as facts and errors repeat.
const SHOWN: usize = 4000;
/// Variables that every program gets, where drctl has them.
const USUAL_ENV: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Parts of the names of variables whose values are not shown.
const SECRET_NAMES: &[&str] =
    &["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "URL", "DSN", "AUTH"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    /// The program and its arguments. There is no shell; for one, write ["bash", "-c", "…"].
    argv: Vec<String>,
    /// What it does, in the imperative, for the plan: "restart the workers in us-west-2".
    effect: Option<String>,
    /// Variables to set.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Names of variables of drctl's own that the program gets besides PATH, HOME and the like.
    #[serde(default)]
    pass_env: Vec<String>,
    /// The folder to run in. Relative paths start at the folder of the configuration file, which is
    /// also the default.
    dir: Option<PathBuf>,
    /// A program that tells whether it is done, and changes nothing: exit status 0 says done, 1 not
    /// done, any other that it cannot tell.
    observe: Option<Vec<String>>,
    /// A program that undoes it, for `drctl abort`; running it twice must be harmless.
    compensate: Option<Vec<String>>,
    /// Whether running it twice is the same as running it once. Without `observe`, only such a
    /// program is run again after a crash or a failure.
    #[serde(default)]
    idempotent: bool,
}

/// The action with its arguments read.
pub(super) struct Run {
    with: With,
    dir: PathBuf,
    redaction: Redaction,
}

impl Run {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let refused = |why: &str| Err(Error::new(Kind::Usage, format!("command.run: {why}")));
        let programs = [Some(&with.argv), with.observe.as_ref(), with.compensate.as_ref()];
        if programs.into_iter().flatten().any(|argv| argv.first().is_none_or(String::is_empty)) {
            return refused("`argv`, `observe` and `compensate` must start with a program");
        }
        if let Some(name) = with.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return refused(&format!("`env`: `{name}` is not the name of a variable"));
        }
        let home = config.path.parent().unwrap_or(Path::new("."));
        let home = if home.as_os_str().is_empty() { Path::new(".") } else { home };
        let dir = home.join(with.dir.as_deref().unwrap_or(Path::new("")));
        Ok(Self { dir, redaction: Redaction::of(config), with })
    }

    /// The program as it would be typed, without secrets.
    fn shown(&self, argv: &[String]) -> String {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
        let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        };
        self.redaction.clean(&argv.iter().map(word).collect::<Vec<_>>().join(" "))
    }

    fn effect(&self) -> String {
        match &self.with.effect {
            Some(effect) => self.redaction.clean(effect),
            None => format!("run `{}`", self.shown(&self.with.argv)),
        }
    }

    /// The program, with the variables that it gets, and what is to be hidden in its output.
    fn program(&self, argv: &[String], cx: &Context<'_>) -> Result<(Program, Redaction)> {
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for name in USUAL_ENV {
            env.extend(std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
        }
        let run = cx.run;
        for (name, value) in [
            ("DRCTL_RUN", run.id.as_str()),
            ("DRCTL_RUNBOOK", &run.runbook),
            ("DRCTL_STEP", cx.step),
            ("DRCTL_MODE", run.mode.as_str()),
            ("DRCTL_FROM", &run.from),
            ("DRCTL_TO", &run.to),
            ("DRCTL_FENCE", &run.fence.to_string()),
            ("DRCTL_DRILL", if run.drill { "1" } else { "0" }),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        for name in &self.with.pass_env {
            let value = std::env::var(name).map_err(|_| {
                let what = format!("pass the environment variable `{name}` on (pass_env)");
                Error::new(Kind::Usage, what)
                    .caused_by("it is not set")
                    .hint("set it in drctl's own environment, then run the command again")
            })?;
            env.insert(name.clone(), value);
        }
        env.extend(self.with.env.clone());
        let secret =
            |name: &str| SECRET_NAMES.iter().any(|part| name.to_uppercase().contains(part));
        let hidden = env.iter().filter(|(name, _)| secret(name)).map(|(_, value)| value.clone());
        let redaction = self.redaction.clone().with(hidden);
        Ok((Program { argv: argv.to_vec(), env, dir: Some(self.dir.clone()) }, redaction))
    }

    /// Asks `observe`; `None`: there is none.
    async fn look(&self, cx: &Context<'_>, deadline: Instant) -> Option<Result<bool, Failure>> {
        let argv = self.with.observe.as_ref()?;
        let what = format!("find out by `{}` whether it is done", self.shown(argv));
        let unclear = |error: Error| Failure::unknown(error.during(what.clone()));
        let (program, redaction) = match self.program(argv, cx) {
            Ok(made) => made,
            Err(e) => return Some(Err(unclear(e))),
        };
        Some(match program.run(deadline).await {
            Ok(ended) => match ended.status.code() {
                Some(0) => Ok(true),
                Some(1) => Ok(false),
                _ => Err(unclear(told(&program, &ended, &redaction))),
            },
            Err(Unended::NotStarted(e) | Unended::Lost(e)) => Err(unclear(e)),
            Err(Unended::Killed { stdout, stderr }) => {
                Err(unclear(killed(&program, &stdout, &stderr, &redaction)))
            }
        })
    }

    /// Two of one step must never be at work at once.
    async fn end_leftovers(&self, cx: &Context<'_>) -> Result<usize, Failure> {
        leftovers::end(&cx.run.id, cx.step).await.map_err(|why| {
            let what = "end what an earlier drctl started for this step";
            let error = Error::new(Kind::Program, what).caused_by(why);
            Failure::transient(error.hint("end it by hand, then `drctl resume`"))
        })
    }

    async fn carry_out(&self, argv: &[String], cx: &Context<'_>) -> Result<Applied, Failure> {
        let (program, redaction) = self.program(argv, cx).map_err(Failure::permanent)?;
        let started = Instant::now();
        cx.waits_for(format!("{} to end", program.name()));
        let deadline = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
        match program.run(deadline).await {
            Ok(ended) if ended.status.success() => {
                let seconds = started.elapsed().as_secs_f64();
                let applied = Applied::new(format!("{}: done after {seconds:.1} s", self.effect()))
                    .fact("exit_status", 0)
                    .fact("stdout", last(&redaction.clean(&ended.stdout)));
                Ok(applied)
            }
            Ok(ended) => {
                let again = self.with.idempotent || self.with.observe.is_some();
                let class = match (ended.status.code(), again) {
                    // Somebody's signal: it stopped anywhere.
                    (None, _) => FailureClass::Unknown,
                    (Some(_), true) => FailureClass::Transient,
                    (Some(_), false) => FailureClass::Permanent,
                };
                Err(Failure { class, error: told(&program, &ended, &redaction) })
            }
            Err(Unended::NotStarted(e)) => {
                let hint = "give the program's whole path, or put its folder into drctl's PATH";
                Err(Failure::permanent(e.hint(hint)))
            }
            Err(Unended::Killed { stdout, stderr }) => {
                Err(Failure::unknown(killed(&program, &stdout, &stderr, &redaction)))
            }
            Err(Unended::Lost(e)) => Err(Failure::unknown(e)),
        }
    }
}

fn told(program: &Program, ended: &Ended, redaction: &Redaction) -> Error {
    let said = words(&ended.stdout, &ended.stderr, redaction);
    Error::new(Kind::Program, format!("run {}", redaction.clean(program.name())))
        .caused_by(format!("{}{said}", ended.status))
}

fn killed(program: &Program, stdout: &str, stderr: &str, redaction: &Redaction) -> Error {
    let said = words(stdout, stderr, redaction);
    Error::new(Kind::Program, format!("run {}", redaction.clean(program.name())))
        .caused_by(format!(
            "it did not end in time, and was killed with all that it had started{said}"
        ))
        .hint("see what it has done; give the step a longer timeout if it only needs more time")
}

/// ": " and the last words of a program, on stderr if there were any.
fn words(stdout: &str, stderr: &str, redaction: &Redaction) -> String {
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    match last(redaction.clean(said).trim()) {
        said if said.is_empty() => String::new(),
        said => format!(": {said}"),
    }
}

/// The end of a text that may be long.
fn last(text: &str) -> String {
    let from = text.len().saturating_sub(SHOWN);
    match (from..=text.len()).find(|at| text.is_char_boundary(*at)) {
        Some(at) if at > 0 => format!("[…] {}", &text[at..]),
        _ => text.to_owned(),
    }
}

/// Whether a program of that name can be started.
fn is_there(name: &str, dir: &Path, path: Option<&str>) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    match name.contains('/') {
        true => runs(&dir.join(name)),
        false => std::env::split_paths(path.unwrap_or("")).any(|dir| runs(&dir.join(name))),
    }
}

impl Action for Run {
    fn describe(&self) -> Description {
        let mut description = Description::changes(self.effect());
        if self.with.effect.is_some() {
            description = description.detail(format!("runs `{}`", self.shown(&self.with.argv)));
        }
        description = description.detail(match (&self.with.observe, self.with.idempotent) {
            (Some(argv), _) => format!("`{}` tells whether it is done", self.shown(argv)),
            (None, true) => "after a crash it is run again (idempotent)".to_owned(),
            (None, false) => {
                "after a crash nothing can tell whether it is done: the run stops there".to_owned()
            }
        });
        match &self.with.compensate {
            Some(argv) => description.compensated_by(format!("run `{}`", self.shown(argv))),
            None => description,
        }
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        let programs =
            [Some(&self.with.argv), self.with.observe.as_ref(), self.with.compensate.as_ref()];
        for argv in programs.into_iter().flatten() {
            let what = format!("program `{}`", self.shown(&argv[..1]));
            checks.push(match self.program(argv, cx) {
                Err(e) => Check::new(Standing::NotReady, what, e.one_line()),
                Ok((program, _)) => {
                    let path = program.env.get("PATH").map(String::as_str);
                    match is_there(&argv[0], &self.dir, path) {
                        true => Check::new(Standing::Ready, what, "is there and may be run"),
                        false => {
                            Check::new(Standing::NotReady, what, "is not there, or may not be run")
                                .hint("install it on this machine, or give its whole path")
                        }
                    }
                }
            });
        }
        if checks.iter().any(|check| check.standing == Standing::NotReady) {
            return checks;
        }
        let what = self.effect();
        match self.look(cx, cx.deadline).await {
            None if !self.with.idempotent => checks.push(
                Check::new(Standing::Warning, what.clone(), "nothing can tell whether it is done")
                    .hint(
                        "give it an `observe` program, or `idempotent = true` if it may run twice",
                    ),
            ),
            None => {}
            Some(Ok(true)) => {
                checks.push(Check::new(Standing::Ready, what.clone(), "is done already"))
            }
            Some(Ok(false)) => {
                checks.push(Check::new(Standing::Ready, what.clone(), "is not done yet"))
            }
            Some(Err(failure)) => {
                checks.push(Check::new(Standing::NotReady, what.clone(), failure.error.one_line()));
            }
        }
        checks.push(Check::new(Standing::Unproven, what, "a program cannot be tried harmlessly"));
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let deadline = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
        match self.look(cx, deadline).await {
            Some(Ok(true)) => Ok(Observed::Done(crate::providers::Facts::new())),
            Some(Ok(false)) => {
                Ok(Observed::NotDone("`observe` says that it is not done".to_owned()))
            }
            Some(Err(failure)) => Err(failure),
            None if self.with.idempotent => {
                Ok(Observed::NotDone("nothing can tell, and it may be run again".to_owned()))
            }
            None => {
                let what = format!("find out whether this is done: {}", self.effect());
                let error = Error::new(Kind::Unverified, what)
                    .caused_by("the step has no `observe`, and is not `idempotent`")
                    .hint(
                        "see for yourself what it has done, finish it by hand, and start a new run",
                    );
                Err(Failure::permanent(error))
            }
        }
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let ended = self.end_leftovers(cx).await?;
        // It may have come to its end just before.
        if ended > 0
            && let Some(looked) = self.look(cx, cx.deadline).await
            && looked?
        {
            return Ok(Applied::new(format!("{}: it was done already", self.effect())));
        }
        self.carry_out(&self.with.argv, cx).await
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        self.end_leftovers(cx).await?;
        match &self.with.compensate {
            Some(argv) => self.carry_out(argv, cx).await,
            None => Ok(Applied::new("nothing to undo")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_output_is_repeated() {
        let text = "é".repeat(SHOWN);
        let end = last(&text);
        assert!(end.starts_with("[…] é") && end.len() <= SHOWN + 8, "{}", end.len());
        assert_eq!(last("short"), "short");
    }
}
