//! The surroundings that a program is started in: a wrong clock, a full disk.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::system::child_output::{Limits, output};
use crate::system::children;

/// Variables and words that go before a program. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    variables: Vec<(String, String)>,
    words: Vec<String>,
}

impl Surroundings {
    /// A clock that is wrong by `offset`, in the notation of `faketime`: `-3y`, `+10d`, `-90m`.
    ///
    /// # Errors
    /// If `faketime` is not installed, or does not take the offset.
    pub fn wrong_clock(offset: &str) -> anyhow::Result<Self> {
        Ok(Surroundings::with_variables(&[("LD_PRELOAD", &faketime(offset)?), ("FAKETIME", offset)]))
    }

    /// A clock that is wrong by what `file` says at the time, in the same notation: `+0` puts it right. What is measured
    /// in spans of time goes on, as it does on a board whose clock is set.
    ///
    /// # Errors
    /// If `faketime` is not installed.
    pub fn adjustable_clock(file: &Path) -> anyhow::Result<Self> {
        let file = file.to_str().context("its path is not UTF-8")?;
        Ok(Surroundings::with_variables(&[
            ("LD_PRELOAD", &faketime("+0")?),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]))
    }

    fn with_variables(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Surroundings { variables: variables.collect(), words: Vec::new() }
    }

    /// A disk that takes not one byte more: what is printed meets a full device, and the working directory is one
    /// in which nobody, not even root, can make a file.
    pub fn full_disk() -> Self {
        let script = r#"cd /proc && exec "$@" >/dev/full 2>&1"#;
        let words = ["sh", "-c", script, "sh"].map(ToOwned::to_owned).into();
        Surroundings { variables: Vec::new(), words }
    }

    /// The words, for a program of another machine; `None` where they are not all that it takes.
    pub fn words(&self) -> Option<Vec<&str>> {
        self.variables.is_empty().then(|| self.words.iter().map(String::as_str).collect())
    }

    /// `command`, in these surroundings.
    pub fn around(&self, command: Command) -> Command {
        let mut wrapped = match self.words.split_first() {
            None => command,
            Some((first, others)) => {
                let mut wrapped = children::command(first);
                wrapped.args(others).arg(command.get_program()).args(command.get_args());
                for (name, value) in command.get_envs() {
                    match value {
                        Some(value) => wrapped.env(name, value),
                        None => wrapped.env_remove(name),
                    };
                }
                wrapped
            }
        };
        wrapped.envs(self.variables.iter().map(|(name, value)| (name, value)));
        wrapped
    }
}

/// The library that the program `faketime` loads, if it takes `offset`.
fn faketime(offset: &str) -> anyhow::Result<String> {
    // The wrapper forks, and a signal would hit it instead of the program; what it loads into its child is enough.
    let output = output(children::command("faketime").args(["-f", offset, "env"]), Vec::new(), Limits::BRIEF);
    let output = output.context("it is not installed")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let library = said.lines().find_map(|line| line.strip_prefix("LD_PRELOAD="));
    ensure!(output.status.success(), "faketime does not take the offset {offset}");
    Ok(library.context("faketime does not say where its library lies")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::skipped;

    fn run(surroundings: &Surroundings, script: &str) -> (bool, String) {
        let mut command = children::command("sh");
        command.args(["-c", script]).env("KEPT", "yes");
        let output = surroundings.around(command).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn nothing_can_be_written_to_a_full_disk() {
        let full = Surroundings::full_disk();
        assert!(!run(&full, "echo hello").0, "standard output takes something");
        assert!(!run(&full, ": >file").0, "a file can be made");
        assert!(run(&full, "test $KEPT = yes").0, "the command's own variables are kept");
    }

    #[test]
    fn a_wrong_clock_is_wrong() {
        let Ok(future) = Surroundings::wrong_clock("+40y") else {
            skipped("faketime", "it is not installed");
            return;
        };
        let year =
            |surroundings: &Surroundings| -> i32 { run(surroundings, "date +%Y").1.trim().parse().unwrap() };
        assert!(year(&future) - year(&Surroundings::default()) >= 39);
    }
}
