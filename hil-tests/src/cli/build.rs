//! `hil build`.

use std::fs;

use anyhow::Context;
use clap::{ArgGroup, Args};
use indicatif::BinaryBytes;

use super::common::{Ending, UsageError};
use crate::fleet::boards::Board;
use crate::fleet::toolchain::{Program, Target, build};

/// Build the client for the processor of a board
///
///   cargo hil build --board zero-2-w
///   cargo hil build --target armv7-unknown-linux-gnueabihf
///
/// Targets: aarch64-unknown-linux-musl (static, what boards get), aarch64-unknown-linux-gnu,
/// armv7-unknown-linux-gnueabihf (a 32-bit system) and x86_64-unknown-linux-musl (static). Needs Debian's cross compilers and Rust's standard library for the
/// target; what is missing is named with the command that installs it. docs/arm.md has the plain cargo commands.
///
/// To run other commands of cargo for a target, such as its tests under the emulator:
///
///   eval "$(cargo hil build --target armv7-unknown-linux-gnueabihf --env)"
///   cargo test -p scenario --lib --profile fleet --target armv7-unknown-linux-gnueabihf
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[command(group(ArgGroup::new("for").required(true).multiple(false)))]
pub(super) struct BuildArgs {
    /// Build for this target
    #[arg(long, value_name = "TRIPLE", group = "for")]
    target: Option<String>,
    /// Build for this board: zero-2-w, pi-3b-plus, pi-4b, pi-5, x86-64, or the file of a profile
    #[arg(long, value_name = "NAME", group = "for")]
    board: Option<String>,
    /// Build the aggregator too
    #[arg(long)]
    aggregator: bool,
    /// Build nothing, and print the environment of such builds for a shell
    #[arg(long, conflicts_with = "aggregator")]
    env: bool,
}

impl BuildArgs {
    /// Builds, or prints.
    ///
    /// # Errors
    /// An unknown board or target, a toolchain that is not installed, or a build that fails.
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let triple = match (self.target, &self.board) {
            (Some(triple), _) => triple,
            (None, board) => Board::find(board.as_deref().unwrap_or_default()).map_err(usage)?.target,
        };
        let target = Target::find(&triple).map_err(usage)?;
        if self.env {
            for (name, value) in target.environment_to_run()? {
                link::print(format_args!("export {name}='{value}'"))?;
            }
            return Ok(Ending::Finished);
        }
        let more = self.aggregator.then_some(Program::AggregatorNode);
        let programs: Vec<Program> = [Program::EdgeClient].into_iter().chain(more).collect();
        for program in build(target, &programs)? {
            let path = program.path.display();
            let size = fs::metadata(&program.path).with_context(|| path.to_string())?.len();
            link::print(format_args!("{path}: {}, for {triple}", BinaryBytes(size)))?;
        }
        Ok(Ending::Finished)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
fn usage(error: impl ToString) -> UsageError {
    UsageError(error.to_string())
}
