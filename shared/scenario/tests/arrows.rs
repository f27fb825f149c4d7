//! A module knows those before it in the layout of `src/lib.rs`, and none after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of a crate in the order of the list in its documentation; what its root defines is one of them.
fn layout(of: &Path) -> Vec<String> {
    let text = fs::read_to_string(of.join("src/lib.rs")).unwrap();
    let list = text.lines().filter_map(|line| line.strip_prefix("//! - "));
    list.flat_map(|line| line.split("[`").skip(1).map(|rest| rest.split('`').next().unwrap().to_owned()))
        .collect()
}

/// The files of Rust below `folder`, without those of tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_of_tests = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
        if path.is_dir() {
            found.extend(files(&path));
        } else if !is_of_tests {
            found.push(path);
        }
    }
    found
}

/// The modules of this crate that `code` names outside comments and tests.
fn named(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code.flat_map(|line| line.split("crate::").skip(1));
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    names.map(word).collect()
}

#[test]
fn a_module_knows_only_those_before_it() {
    for folder in [".", "../learning"].map(Path::new) {
        let layout = layout(folder);
        assert!(layout.len() >= 6, "{layout:?}");
        let place = |name: &str| layout.iter().position(|other| other == name);
        // Private modules of the root are parts of what it defines.
        let root = layout.iter().position(|name| name.starts_with(char::is_uppercase));
        let source = folder.join("src");
        for path in files(&source) {
            let below = path.strip_prefix(&source).unwrap();
            let own = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
            if own == "lib" {
                continue;
            }
            let own_place = place(own).or(root).unwrap_or_else(|| panic!("`{own}` is not in the layout"));
            for name in named(&fs::read_to_string(&path).unwrap()) {
                let is_before = place(&name).is_none_or(|place| place <= own_place);
                assert!(is_before, "{} names `{name}`, which stands after `{own}`", path.display());
            }
        }
    }
}
