//! The tests of this program on a GPU that the processors emulate.

use std::path::Path;
use std::process::Command;

/// The C++ compiler; `None`, and a word about it, if there is none.
fn compiler() -> Option<String> {
    let name = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let works = Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !works {
        link::skipped("c++", format_args!("no compiler `{name}` (apt install g++)"));
    }
    works.then_some(name)
}

fn build(compiler: &str, source: &str, library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/emulator").join(source);
    let output = Command::new(compiler)
        .args(["-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([library, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs those tests of this program whose name starts with `module` on an emulated GPU, so many `threads` at a time.
fn run_emulated(module: &str, threads: &str, settings: &[(&str, &str)]) {
    let Some(compiler) = compiler() else { return };
    let folder = tempfile::tempdir().unwrap();
    build(&compiler, "cuda.cpp", &folder.path().join("libcuda.so"));
    build(&compiler, "nvrtc.cpp", &folder.path().join("libnvrtc.so"));
    let shim = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/emulator/shim.h");
    std::fs::copy(shim, folder.path().join("shim.h")).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([module, "--nocapture", "--test-threads", threads])
        .env("LD_LIBRARY_PATH", folder.path())
        .env("EMULATED_FOLDER", folder.path())
        .env("EMULATED_CXX", &compiler)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("skipped") && !said.contains(" 0 passed"), "{said}");
}

#[test]
fn rules_are_the_same_on_an_emulated_gpu() {
    run_emulated("rules::", "2", &[]);
}

/// What lacks a barrier differs from what a block's threads compute in the other order.
#[test]
fn rules_are_the_same_whatever_the_order_of_threads() {
    let tests = ["rules::a_thousand", "rules::distances", "rules::bulyan_averages", "rules::krum"];
    tests.iter().for_each(|test| run_emulated(test, "1", &[("EMULATED_REVERSED", "1")]));
}

#[test]
fn blocks_of_columns_give_the_same_on_a_small_emulated_gpu() {
    // Of nine rows of 80,004 bytes not all are taken in ahead of time, and their results fit in parts only.
    run_emulated("blocks::", "1", &[("EMULATED_MEMORY", "1000000")]);
}
