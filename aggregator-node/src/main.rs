//! The `aggregator-node` binary; see [`aggregator_node`].

use std::process::ExitCode;

use scenario::catalogue::Catalogue;

fn main() -> ExitCode {
    aggregator_node::main(&Catalogue::standard())
}
