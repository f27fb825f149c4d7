use std::process::ExitCode;

fn main() -> ExitCode {
    edge_client::main(&extension::catalogue())
}
