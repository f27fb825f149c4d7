//! The program itself. Cargo builds the program of a package for tests only where the package has a test of this kind:
//! without one, a fresh `cargo test --workspace` would leave the tests of `hil-tests` without clients.

use std::process::Command;

#[test]
fn the_program_is_built_with_the_tests_and_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_edge-client")).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("edge-client {}\n", env!("CARGO_PKG_VERSION")));
}
