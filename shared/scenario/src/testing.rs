//! The vectors of `docs/conformance`, which say what rules and stages are to give: worked out from their definitions by a program
//! that shares no code with this one.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct File<R> {
    name: String,
    cases: Vec<Case<R>>,
}

/// Rounds in which something is held to its definition, one after the other.
#[derive(Deserialize)]
pub(crate) struct Case<R> {
    about: String,
    pub(crate) settings: toml::Table,
    pub(crate) byzantine: usize,
    pub(crate) rounds: Vec<R>,
}

/// Holds all of `known` to the vectors in a folder; `off` says how a case of something is missed, if it is.
pub(crate) fn assert_conforms<'a, R: DeserializeOwned>(
    folder: &str,
    known: impl Iterator<Item = &'a str>,
    off: impl Fn(&str, &Case<R>) -> Option<String>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut wrong, mut names) = (Vec::new(), Vec::new());
    for path in files {
        let File { name, cases } = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let missed = |case: &Case<R>| Some(format!("{name}: {}: {}", case.about, off(&name, case)?));
        wrong.extend(cases.iter().filter_map(missed));
        names.push(name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, known, "each has vectors");
}
