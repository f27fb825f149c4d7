//! Rules, stages and attacks that are programs of the user's own, in whatever language: `rule = "program"`, `kind = "program"`.
//!
//! The program is started when it is first needed and asked once for each round, or more often where the rule is tried out: by
//! a stage that leaves updates out, or by an attacker. [`program`] has what is exchanged, and what may go wrong;
//! `docs/your-defense.md` describes it for those who write one.
//!
//! Reading a scenario starts nothing, and neither does a scenario that somebody else has written: a program runs only where
//! whoever started this one has allowed it ([`OtherProgram::allow`]).
//!
//! # Layout
//! - This file: [`External`], the settings that all three have, and [`Given`].
//! - `rule`, `stage`, `attack`: one file for each.

mod attack;
mod rule;
mod stage;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use input::unfit::{Unfit, require};
use program::{Fault, Host, Terms};
use robust::{Form, OtherProgram, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use attack::ProgramAttack;
pub use rule::ProgramRule;
pub use stage::ProgramStage;

/// What a program keeps from round to round, in the [`State`] of the rule, the stage or the attack that it is.
const KEPT: &str = "kept";

/// The longest that a program may take to answer: a day.
const LONGEST: u32 = 24 * 60 * 60;

/// A program, and how it is asked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct External {
    /// The program and its arguments, word by word, as in `["python3", "mine.py"]`. It is started without a shell.
    pub command: Vec<String>,
    /// How many seconds it may take to answer; then it is ended, and the round goes on without.
    pub seconds: u32,
    /// What it is given of each device, and gives back.
    pub given: Given,
    /// What starts it; all copies of these settings have the same.
    #[serde(skip)]
    host: Arc<Host>,
}

/// What a program is given of each device, and gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// How far the model of a device is from the global one.
    #[default]
    Updates,
    /// The model itself.
    Models,
}

impl From<Given> for Form {
    fn from(given: Given) -> Form {
        match given {
            Given::Updates => Form::Updates,
            Given::Models => Form::Models,
        }
    }
}

impl Default for External {
    fn default() -> Self {
        External { command: Vec::new(), seconds: 60, given: Given::Updates, host: Arc::default() }
    }
}

impl External {
    /// Whether it can be started and asked.
    fn check(&self, keys: [&'static str; 2]) -> Result<(), Unfit> {
        let is_named = self.command.first().is_some_and(|program| !program.is_empty());
        require(is_named, keys[0], || {
            "name the program and its arguments, word by word, as in [\"python3\", \"mine.py\"]".to_owned()
        })?;
        // The operating system takes none with a zero in it.
        let is_text = self.command.iter().all(|word| !word.contains('\0'));
        require(is_text, keys[0], || "a word of it has a zero in it".to_owned())?;
        require((1..=LONGEST).contains(&self.seconds), keys[1], || {
            format!("{} must lie between 1 and {LONGEST}", self.seconds)
        })
    }

    fn terms(&self) -> Terms<'_> {
        Terms { command: &self.command, seconds: self.seconds }
    }
}

impl OtherProgram for External {
    fn command(&self) -> &[String] {
        &self.command
    }

    fn allow(&self) {
        self.host.allow();
    }

    fn end(&self) {
        self.host.end();
    }
}

/// That a program says that it has answered.
fn is_ok(ok: bool) -> Result<(), Fault> {
    if ok { Ok(()) } else { Err(Fault::Wrong("`ok` is false; say {\"error\": \"why\"}".to_owned())) }
}

/// Keeps what a program wants to be kept; if it does not say, what has been kept stays.
fn keep(state: &mut State, kept: Option<Vec<f32>>) {
    if let Some(kept) = kept {
        state.set(KEPT, kept);
    }
}

/// That `key` of an answer names rows of `count`.
fn rows_of<'a>(key: &str, rows: impl IntoIterator<Item = &'a usize>, count: usize) -> Result<(), Fault> {
    match rows.into_iter().find(|row| **row >= count) {
        Some(row) => Err(Fault::Wrong(format!("`{key}` names row {row}, and there are {count}, from 0 on"))),
        None => Ok(()),
    }
}
