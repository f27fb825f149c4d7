//! The `hil` binary; see [`hil_tests`].

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aggregator_node::backend::DeviceError;
use clap::Parser;
use hil_tests::cli::{Cli, Ending, UsageError};
use hil_tests::sweep::GridError;
use rim::INTERRUPTED;
use shared::scenario::ScenarioError;
use shared::toml_file::FileError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    rim::log_to_stderr(cli.log);
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = listen_for_signals(stop.clone()) {
        eprintln!("hil: Ctrl-C will stop this program at once: {error}");
    }
    match cli.run(&stop) {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => {
            eprintln!("hil: interrupted; the same command goes on from here");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("hil: {error:#}");
            let usage = error.is::<ScenarioError>()
                || error.is::<GridError>()
                || error.is::<FileError>()
                || error.is::<DeviceError>()
                || error.is::<UsageError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// Sets `stop` at the first signal, and ends the process at the second.
fn listen_for_signals(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(rim::stop_signal());
        eprintln!("hil: stopping after the current round; once more to stop at once");
        stop.store(true, Ordering::Relaxed);
        runtime.block_on(rim::stop_signal());
        std::process::exit(i32::from(INTERRUPTED));
    })?;
    Ok(())
}
