//! What is built by default, and what only on request.

use std::process::Command;

/// Names of the crates that the workspace is built from, with these options.
fn crates(options: &[&str]) -> Vec<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--workspace", "--locked", "--offline", "--prefix", "none", "--edges", "all"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn no_crate_of_cuda_is_built_unless_it_is_asked_for() {
    let of_cuda = |name: &String| name.contains("cuda");
    assert!(!crates(&[]).iter().any(of_cuda));
    let asked_for = crates(&["--features", "hil-tests/cuda"]);
    assert!(asked_for.iter().any(|name| name == "cudarc"));
    // What would need NVIDIA's compiler for the build.
    assert!(!asked_for.iter().any(|name| name == "candle-kernels"));
}
