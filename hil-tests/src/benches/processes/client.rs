//! How a client is started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::system::children;

/// A program, what comes before the client's own arguments, and what it has in its environment: a client of this
/// machine, or an emulator with a client of another.
#[derive(Clone, Debug)]
pub struct ClientProgram {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
    /// Variables on top of this process's.
    pub environment: Vec<(String, OsString)>,
}

impl ClientProgram {
    /// A client of this machine.
    pub fn native(edge_client: PathBuf) -> Self {
        ClientProgram { program: edge_client, arguments: Vec::new(), environment: Vec::new() }
    }

    /// The client `edge_client`, run by `emulator`: a program and its own arguments.
    pub fn emulated(emulator: Vec<OsString>, edge_client: PathBuf) -> Self {
        let mut words = emulator.into_iter().chain([edge_client.into_os_string()]);
        let program = words.next().unwrap_or_default().into();
        ClientProgram { program, arguments: words.collect(), environment: Vec::new() }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = children::command(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}
