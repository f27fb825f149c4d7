//! The module as cargo builds it, in Python. `tests/*.py` beside this file test the package as a whole: `.ci/run` runs them.

#![allow(clippy::disallowed_methods, reason = "a test is no child's parent for long")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/outpost");

/// What cargo has built for this test, beside it.
fn library() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("lib_outpost.so")
}

#[test]
fn python_imports_the_module_and_aggregates_with_it() {
    let has_numpy = Command::new("python3").args(["-c", "import numpy"]).output();
    if !has_numpy.is_ok_and(|output| output.status.success()) {
        return link::skipped("numpy", "python3 cannot import it");
    }
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("outpost");
    fs::create_dir(&package).unwrap();
    for file in fs::read_dir(PACKAGE).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "py") {
            fs::copy(&file, package.join(file.file_name().unwrap())).unwrap();
        }
    }
    std::os::unix::fs::symlink(library(), package.join("_outpost.abi3.so")).unwrap();
    let script = "import numpy, outpost\n\
                  updates = numpy.array([[1, 2], [3, 4], [1e30, -1e30]], numpy.float32)\n\
                  print(outpost.aggregate('median', updates).tolist())\n\
                  try: outpost.aggregate('krum', updates, byzantine=1)\n\
                  except outpost.Error as error: print(error)";
    let mut python = Command::new("python3");
    python.args(["-c", script]).env("PYTHONPATH", folder.path()).current_dir(Path::new(PACKAGE));
    let output = python.output().unwrap();
    let (printed, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complained}");
    let (aggregate, refusal) = printed.trim_end().split_once('\n').unwrap();
    assert_eq!(aggregate, "[3.0, 2.0]");
    assert!(refusal.contains("krum") && refusal.contains("byzantine"), "{refusal}");
}
