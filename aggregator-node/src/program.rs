//! The program, from its command line to its exit code.

use std::process::ExitCode;

use input::toml_file::FileError;
use link::BrokerOptionsError;
use scenario::catalogue::Catalogue;
use scenario::{NotAllowed, ScenarioError};

use crate::backend::DeviceError;
#[cfg(feature = "embedded-broker")]
use crate::broker::BrokerError;
use record::Summary;

use crate::config::Cli;
use crate::node::{self, Ending};

/// Threads of its own at most: of the link, its broker, and jobs.
const THREADS: usize = 16;

/// Runs the program `aggregator-node` with the rules, stages and attacks of `catalogue`.
pub fn main(catalogue: &Catalogue) -> ExitCode {
    let cli: Cli = link::arguments();
    link::log_to_stderr(cli.log);
    if let Err(error) = link::meet_limits() {
        return fail(1, &error.to_string());
    }
    if let Err(error) = link::check_threads(THREADS) {
        return fail(1, &error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no async runtime: {error}")),
    };
    let result = runtime.block_on(node::run(cli, catalogue, link::stop_signal()));
    // A computation that is still under way is of no use any more.
    runtime.shutdown_background();
    match result {
        Ok(Ending::Finished(summary)) => {
            let error = summary.final_test_error.map_or_else(|| "unknown".to_owned(), |e| format!("{e:.4}"));
            let Summary { name, rounds, aggregated_rounds, .. } = *summary;
            // It is in the record, too.
            let _ = link::print(format_args!(
                "{name}: {rounds} rounds, {aggregated_rounds} of them aggregated, final test error {error}"
            ));
            ExitCode::SUCCESS
        }
        Ok(Ending::Interrupted) => {
            link::complain("aggregator-node: interrupted; run it again with the same --out to go on");
            ExitCode::from(link::INTERRUPTED)
        }
        Err(error) => {
            #[cfg(feature = "embedded-broker")]
            let untrusted = matches!(error.downcast_ref(), Some(BrokerError::Untrusted(_)));
            #[cfg(not(feature = "embedded-broker"))]
            let untrusted = false;
            let usage = error.is::<ScenarioError>()
                || error.is::<NotAllowed>()
                || error.is::<BrokerOptionsError>()
                || untrusted
                || error.is::<FileError>()
                || error.is::<DeviceError>();
            let said = link::advised(error.as_ref());
            fail(if usage { 2 } else { 1 }, &said)
        }
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    link::complain(format_args!("aggregator-node: {message}"));
    ExitCode::from(code)
}
