//! What is built by default.

use std::process::Command;

#[test]
fn no_crate_of_cuda_is_built_unless_it_is_asked_for() {
    // Offline, and of the default features alone: that much is here wherever this test has been built. What the feature
    // `cuda` brings with it, `.ci/run nightly` looks at.
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--workspace", "--locked", "--offline", "--prefix", "none", "--edges", "all"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains(&"candle-core"), "{tree}");
    assert!(!crates.iter().any(|name| name.contains("cuda")), "{tree}");
}
