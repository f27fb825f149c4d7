//! The program, from its command line to its exit code.

use std::process::ExitCode;

use scenario::catalogue::Catalogue;
use scenario::{NotAllowed, ScenarioError};

use crate::client::{self, Ending};
use crate::config::{Cli, Command};
use crate::import::ImportError;

/// Threads of its own at most: of the link, the board's sensors, jobs, and the pipes of another program.
const THREADS: usize = 11;

/// Runs the program `edge-client` with the rules, stages and attacks of `catalogue`.
pub fn main(catalogue: &Catalogue) -> ExitCode {
    let cli: Cli = link::arguments();
    link::log_to_stderr(cli.log);
    if let Err(error) = link::meet_limits() {
        return fail(1, &error.to_string());
    }
    if let Some(Command::Import(import)) = cli.command {
        return match import.run() {
            // A reader that is gone is no failure: the shard is there.
            Ok(said) => {
                link::print(said).map_or_else(|error| fail(1, &error.to_string()), |_| ExitCode::SUCCESS)
            }
            Err(error @ ImportError::Usage(_)) => fail(2, &error.to_string()),
            Err(error) => fail(1, &error.to_string()),
        };
    }
    let config = match cli.resolve() {
        Ok(config) => config,
        Err(error) => return fail(2, &error.to_string()),
    };
    if let Err(error) = link::check_threads(THREADS) {
        return fail(1, &error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no async runtime: {error}")),
    };
    let result = runtime.block_on(client::run(config, catalogue, link::stop_signal()));
    // A computation that is still under way is of no use any more.
    runtime.shutdown_background();
    match result {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(link::INTERRUPTED),
        Err(error) => {
            let said = link::advised(error.as_ref());
            let usage = error.is::<ScenarioError>() || error.is::<NotAllowed>();
            fail(if usage { 2 } else { 1 }, &said)
        }
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    link::complain(format_args!("edge-client: {message}"));
    ExitCode::from(code)
}
