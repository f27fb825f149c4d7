//! The `hil` binary; see [`hil_tests`].

use std::process::ExitCode;

use scenario::catalogue::Catalogue;

fn main() -> ExitCode {
    hil_tests::main(&Catalogue::standard())
}
