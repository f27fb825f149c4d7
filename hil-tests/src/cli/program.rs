//! The program, from its command line to its exit code.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use aggregator_node::backend::DeviceError;
use input::toml_file::FileError;
use link::{INTERRUPTED, complain};
use scenario::ScenarioError;
use scenario::catalogue::Catalogue;

use super::{Cli, Ending, UsageError};
use crate::arrays::Refused;
use crate::experiments::sweep::GridError;
use crate::system::stop::{self, Stop};

/// Threads of its own at most, beside those that compute.
const THREADS: usize = 12;

const FAILED: u8 = 1;

/// Runs the program `hil` with the rules, stages and attacks of `catalogue`.
pub fn main(catalogue: &Catalogue) -> ExitCode {
    run(env::args_os(), catalogue, |_| Ok(())).into()
}

/// As [`main`], with the arguments `words`, in a process that is another program, of which this is a part. It starts no other
/// programs, for it could not watch over them ([`children::Watcher`]).
///
/// [`children::Watcher`]: crate::system::children::Watcher
pub fn main_within(words: impl IntoIterator<Item = OsString>, catalogue: &Catalogue) -> u8 {
    run([OsString::from("hil")].into_iter().chain(words), catalogue, |cli| {
        let what = "as a part of another program, this runs `--on software` and `--on batched`: use `hil` for all that starts \
                    programs";
        if cli.starts_programs() { Err(UsageError(what.to_owned())) } else { Ok(()) }
    })
}

fn run(
    words: impl IntoIterator<Item = OsString>,
    catalogue: &Catalogue,
    may: impl Fn(&Cli) -> Result<(), UsageError>,
) -> u8 {
    if let Err(error) = link::meet_limits() {
        complain(format_args!("hil: {error}"));
        return FAILED;
    }
    // Before anything is printed: where that fails, Ctrl-C must still work.
    let stop = Stop::listen();
    let cli: Cli = link::arguments_of(words);
    link::log_to_stderr(cli.log);
    let stop = stop.unwrap_or_else(|error| {
        let advice = input::advice::advice_on_starting(&error);
        complain(format_args!("hil: Ctrl-C will stop this program at once: {error}{advice}"));
        Stop::default().into()
    });
    let checked = link::check_threads(THREADS).map_err(anyhow::Error::from);
    let checked = checked.and_then(|()| Ok(may(&cli)?));
    match checked.and_then(|()| cli.run(catalogue, &stop)) {
        Ok(Ending::Finished) => 0,
        Ok(Ending::Interrupted) => {
            complain(stop::WORDS);
            INTERRUPTED
        }
        Err(error) => {
            complain(format_args!("hil: {}", link::advised(error.as_ref())));
            if stop.asked() {
                return INTERRUPTED;
            }
            let usage = error.is::<ScenarioError>()
                || error.is::<GridError>()
                || error.is::<FileError>()
                || error.is::<DeviceError>()
                || error.is::<Refused>()
                || error.is::<UsageError>();
            if usage { 2 } else { FAILED }
        }
    }
}
