use std::process::ExitCode;

fn main() -> ExitCode {
    hil_tests::main(&extension::catalogue())
}
