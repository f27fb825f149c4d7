use std::process::ExitCode;

fn main() -> ExitCode {
    aggregator_node::main(&extension::catalogue())
}
