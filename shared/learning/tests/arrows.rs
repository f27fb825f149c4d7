//! A module knows those before it in the layout of the module that it is in, and none after it: where that says so. Other
//! packages of the workspace include this file among their tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules in the order of the list in a module's documentation, if it says that they are in order.
fn layout(code: &str) -> Option<Vec<String>> {
    let documentation: Vec<_> = code.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    documentation.join(" ").contains("none after it").then(|| {
        let list = documentation.into_iter().filter_map(|line| line.strip_prefix("- "));
        list.flat_map(|line| line.split("[`").skip(1).map(|rest| rest.split('`').next().unwrap().to_owned()))
            .collect()
    })
}

/// The files of Rust below `folder`, without those of tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_of_tests = path.file_stem().is_some_and(|name| name == "tests" || name == "testing");
        if path.is_dir() {
            found.extend(files(&path));
        } else if !is_of_tests && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// What `code` names after `prefix` outside comments and tests, also in braces.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = lines.join("\n");
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut names = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        let list = rest.strip_prefix('{').map_or(rest.split(',').next(), |list| list.split('}').next());
        names.extend(list.unwrap_or_default().split(',').map(|name| word(name.trim())));
    }
    names
}

/// Holds what lies in the folder of the module `file` to the order of its layout.
fn check(file: &Path) {
    let code = fs::read_to_string(file).unwrap();
    let Some(layout) = layout(&code) else { return };
    assert!(layout.len() > 1, "{}: {layout:?}", file.display());
    let place = |module: &str| layout.iter().position(|other| other == module);
    // Private modules are parts of what the module itself defines, where that has a place.
    let root = layout.iter().position(|name| name.starts_with(char::is_uppercase));
    let folder = file.parent().unwrap();
    let within =
        folder.strip_prefix("src").unwrap().iter().map(|name| format!("{}::", name.to_str().unwrap()));
    let absolute = format!("crate::{}", within.collect::<String>());
    for path in files(folder).into_iter().filter(|path| path != file) {
        let below: Vec<_> =
            path.strip_prefix(folder).unwrap().iter().map(|name| name.to_str().unwrap()).collect();
        let own = below[0].trim_end_matches(".rs");
        if code.contains(&format!("#[cfg(test)]\nmod {own};")) || own == "main" {
            continue;
        }
        let own_place = place(own).or(root).unwrap_or_else(|| panic!("`{own}` is not in the layout"));
        let code = fs::read_to_string(&path).unwrap();
        let depth = below.len() - usize::from(path.ends_with("mod.rs"));
        // What is not in the layout is an item of the module itself, or a crate below this one.
        for module in
            [absolute.clone(), "super::".repeat(depth)].iter().flat_map(|prefix| named(&code, prefix))
        {
            let is_before = place(&module).is_none_or(|place| place <= own_place);
            assert!(is_before, "{} names `{module}`, which stands after `{own}`", path.display());
        }
    }
}

#[test]
fn a_module_knows_only_those_before_it() {
    assert!(
        layout(&fs::read_to_string("src/lib.rs").unwrap()).is_some(),
        "src/lib.rs does not say the order"
    );
    for file in files(Path::new("src")) {
        if file.ends_with("mod.rs") || file == Path::new("src/lib.rs") {
            check(&file);
        }
    }
}
