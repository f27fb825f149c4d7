//! The container files of `firmware-configs`: what they copy is there, and is all that the crates are made of.

use std::fs;
use std::path::{Component, Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a container file copies from its context, in each of its stages.
fn copied(file: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string(Path::new(ROOT).join("firmware-configs").join(file)).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from="));
    lines
        .flat_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            words[..words.len() - 1].iter().map(PathBuf::from).collect::<Vec<_>>()
        })
        .collect()
}

/// The Rust files below `folder`.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What a file includes besides its tests, relative to the root of the repository.
fn included(source: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(source).unwrap();
    let program = text.split("#[cfg(test)]").next().unwrap();
    let calls = program
        .split("include_str!(\"")
        .chain(program.split("include_bytes!(\""))
        .filter_map(|rest| rest.split_once("\")"));
    calls
        .map(|(name, _)| source.parent().unwrap().join(name))
        .filter(|path| path.is_file())
        .map(|path| {
            fs::canonicalize(path).unwrap().strip_prefix(fs::canonicalize(ROOT).unwrap()).unwrap().to_owned()
        })
        .collect()
}

#[test]
fn the_image_of_the_cluster_is_built_from_all_that_the_crates_include() {
    let copied = copied("cluster/Containerfile");
    for path in &copied {
        assert!(Path::new(ROOT).join(path).exists(), "{} is not there", path.display());
    }
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let mut needed: Vec<PathBuf> =
        members.split(", ").map(|member| PathBuf::from(member.trim_matches('"'))).collect();
    assert!(needed.len() > 3, "{needed:?}");
    let mut files = Vec::new();
    for member in needed.clone() {
        sources(&Path::new(ROOT).join(member).join("src"), &mut files);
    }
    needed.extend(files.iter().flat_map(|file| included(file)));
    assert!(needed.iter().any(|path| path.starts_with("firmware-configs")), "the search finds nothing");
    for path in needed {
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{}", path.display());
        assert!(copied.iter().any(|copied| path.starts_with(copied)), "{} is not copied", path.display());
    }
}

#[test]
fn the_images_of_both_programs_are_made_from_what_is_built_for_them() {
    assert_eq!(copied("oci/Containerfile"), ["edge-client", "aggregator-node"].map(PathBuf::from));
    // An image of tools alone.
    assert!(copied("cross/Dockerfile").is_empty());
}
