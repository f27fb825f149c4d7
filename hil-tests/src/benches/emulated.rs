//! The emulated bench: like the process bench, but with the clients of boards, run by QEMU's user emulation.
//!
//! The aggregator is this machine's own, as in the field. An emulated client computes 100 to 200 times slower than this
//! machine, and time is not virtual: the bench reports updates that were late, with the key to raise.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use record::{RoundRecord, Summary};

use crate::benches::processes::{Binaries, ClientProgram, Processes, RunningBroker};
use crate::benches::{Bench, Task, Watch};
use crate::fleet::toolchain::{Program, Target, ToolchainError, build, built};

/// The processor of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit ARM, with the static client that boards get.
    Aarch64,
    /// 32-bit ARM, with a client for a 32-bit Raspberry Pi OS.
    Armv7,
    /// This machine's own.
    Native,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 3] = [Architecture::Aarch64, Architecture::Armv7, Architecture::Native];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Aarch64 => "aarch64",
            Architecture::Armv7 => "armv7",
            Architecture::Native => "native",
        }
    }

    /// The target of its clients; `None` for this machine's own.
    ///
    /// # Errors
    /// None, as long as the targets are there that this names.
    pub fn target(self) -> Result<Option<&'static Target>, ToolchainError> {
        Ok(match self {
            Architecture::Aarch64 => Some(Target::find("aarch64-unknown-linux-musl")?),
            Architecture::Armv7 => Some(Target::find("armv7-unknown-linux-gnueabihf")?),
            Architecture::Native => None,
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Architecture::ALL.map(Architecture::name).join(", ");
        let named = Architecture::ALL.into_iter().find(|architecture| architecture.name() == text);
        named.ok_or_else(|| format!("no such processor; give some of {known}"))
    }
}

/// The emulated bench.
#[derive(Clone, Debug)]
pub struct Emulated {
    processes: Processes,
}

impl Emulated {
    /// The bench with devices of `architectures`, dealt out in turns. Started through cargo, it brings their clients
    /// up to date first.
    ///
    /// # Errors
    /// If a client does not build or is not there, or its emulator is not; the error says what to install.
    pub fn new(architectures: &[Architecture], broker: Option<RunningBroker>) -> anyhow::Result<Self> {
        let Binaries { edge_client, aggregator_node } = Binaries::find()?;
        let program = |architecture: &Architecture| match architecture.target()? {
            Some(target) => emulated_client(target, std::env::var_os("CARGO").is_some()),
            None => Ok(ClientProgram::native(edge_client.clone())),
        };
        let clients = architectures.iter().map(program).collect::<Result<_, _>>()?;
        let faults = Vec::new();
        Ok(Emulated { processes: Processes { name: "emulated", aggregator_node, clients, broker, faults } })
    }
}

/// A client of `target` under emulation, brought up to date first if `fresh`.
///
/// # Errors
/// If there is no emulator, or no client.
pub(crate) fn emulated_client(target: &Target, fresh: bool) -> Result<ClientProgram, ToolchainError> {
    // First: there is no point in building what cannot run.
    let emulator = target.emulator()?;
    if fresh {
        build(target, &[Program::EdgeClient])?;
    }
    Ok(ClientProgram::emulated(emulator, built(target, Program::EdgeClient)?))
}

impl Bench for Emulated {
    fn name(&self) -> &'static str {
        self.processes.name()
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        let missed = AtomicUsize::new(0);
        let on_round = |record: &RoundRecord| {
            missed.fetch_add(record.absent.len(), Ordering::Relaxed);
            (watch.on_round)(record);
        };
        let result = self.processes.run(task, &Watch { on_round: &on_round, stop: watch.stop });
        let missed = missed.into_inner();
        if missed > 0 {
            tracing::warn!(
                "{missed} updates did not come in time, so the model is another than elsewhere; emulated devices \
                 are slow: raise timing.round-seconds (now {}), or have fewer of them",
                task.scenario.timing.round_seconds
            );
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_read_by_name() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
        let error = "riscv64".parse::<Architecture>().unwrap_err();
        assert!(error.contains("aarch64, armv7, native"), "{error}");
    }

    #[test]
    fn those_that_are_emulated_have_a_target_and_this_machine_has_none() {
        let triple = |architecture: Architecture| architecture.target().unwrap().map(|target| target.triple);
        assert_eq!(triple(Architecture::Aarch64), Some("aarch64-unknown-linux-musl"));
        assert_eq!(triple(Architecture::Armv7), Some("armv7-unknown-linux-gnueabihf"));
        assert_eq!(triple(Architecture::Native), None);
    }
}
