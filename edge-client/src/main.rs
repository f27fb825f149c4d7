//! The `edge-client` binary; see [`edge_client`].

use std::process::ExitCode;

use scenario::catalogue::Catalogue;

fn main() -> ExitCode {
    edge_client::main(&Catalogue::standard())
}
