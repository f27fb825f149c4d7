//! The program, from its command line to its exit code.

use std::process::ExitCode;

use aggregator_node::backend::DeviceError;
use input::toml_file::FileError;
use link::{INTERRUPTED, complain};
use scenario::ScenarioError;
use scenario::catalogue::Catalogue;

use super::{Cli, Ending, UsageError};
use crate::experiments::sweep::GridError;
use crate::system::stop::{self, Stop};

/// Threads of its own at most, beside those that compute.
const THREADS: usize = 12;

/// Runs the program `hil` with the rules, stages and attacks of `catalogue`.
pub fn main(catalogue: &Catalogue) -> ExitCode {
    if let Err(error) = link::meet_limits() {
        complain(format_args!("hil: {error}"));
        return ExitCode::FAILURE;
    }
    // Before anything is printed: where that fails, Ctrl-C must still work.
    let stop = Stop::listen();
    let cli: Cli = link::arguments();
    link::log_to_stderr(cli.log);
    let stop = stop.unwrap_or_else(|error| {
        let advice = input::advice::advice_on_starting(&error);
        complain(format_args!("hil: Ctrl-C will stop this program at once: {error}{advice}"));
        Stop::default().into()
    });
    let checked = link::check_threads(THREADS).map_err(anyhow::Error::from);
    match checked.and_then(|()| cli.run(catalogue, &stop)) {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => {
            complain(stop::WORDS);
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            complain(format_args!("hil: {}", link::advised(error.as_ref())));
            if stop.asked() {
                return ExitCode::from(INTERRUPTED);
            }
            let usage = error.is::<ScenarioError>()
                || error.is::<GridError>()
                || error.is::<FileError>()
                || error.is::<DeviceError>()
                || error.is::<UsageError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}
