//! The commands, paths and container files of the documents, held against what is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::process::{run, undisturbed};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below `folder` whose names have one of `endings`, but for what is built and what runs leave.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir()
            && !name.starts_with('.')
            && !["target", "runs", "node_modules"].contains(&&*name)
        {
            found.extend(files(&entry.path(), endings));
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The lines of the shell blocks of all documents, without comments, those that go on in the next joined; with the
/// document's name.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for path in files(&root(), &[".md"]) {
        let document = path.strip_prefix(root()).unwrap().display().to_string();
        let (mut inside, mut command) = (false, String::new());
        for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            if line.starts_with("```") {
                inside = line == "```sh";
                continue;
            }
            if !inside {
                continue;
            }
            let line =
                if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default().trim() };
            command.push_str(line.trim_end_matches('\\'));
            if !line.ends_with('\\') {
                for one in
                    std::mem::take(&mut command).split("&&").map(|one| one.trim().trim_end_matches('&'))
                {
                    commands.push((document.clone(), one.to_owned()));
                }
            }
        }
    }
    assert!(commands.len() > 100, "the documents have commands");
    commands
}

/// The words of a command.
fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
}

/// The words of `command` from the name of `program` on, if it starts that, by itself or through cargo.
fn arguments(command: &str, program: &str) -> Option<Vec<String>> {
    // What `$(...)` or a variable goes before.
    let command =
        command.split_once("$(").map_or(command, |(_, inner)| inner.split(')').next().unwrap_or(inner));
    let mut words = words(command);
    while words.first().is_some_and(|word| word.contains('=')) {
        words.remove(0);
    }
    let first = words.first()?.rsplit('/').next()?.to_owned();
    if first == program {
        return Some(words);
    }
    if first != "cargo" {
        return None;
    }
    if program == "hil" && words.get(1).is_some_and(|word| word == "hil") {
        return Some(words.split_off(1));
    }
    let behind = words.iter().position(|word| word == "--")?;
    let package = if program == "hil" { "hil-tests" } else { program };
    let runs_it = words[1] == "run" && words[..behind].iter().any(|word| word == package);
    let is_another = words.iter().any(|word| word == "--example");
    // The name is what `--` stands at.
    (runs_it && !is_another).then(|| words.split_off(behind))
}

#[test]
fn every_command_of_the_documents_is_one_that_the_programs_take() {
    let mut tried = 0;
    for (document, command) in commands() {
        let mut check = |program: &str, parse: &dyn Fn(Vec<String>) -> Result<(), clap::Error>| {
            if let Some(words) = arguments(&command, program) {
                tried += 1;
                if let Err(error) = parse(words) {
                    let shown = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
                    // What stands for the rest.
                    assert!(shown || command.contains("..."), "{document}: {command}\n{error}");
                }
            }
        };
        check("hil", &|words| hil_tests::cli::Cli::try_parse_from(words).map(drop));
        check("aggregator-node", &|words| aggregator_node::config::Cli::try_parse_from(words).map(drop));
        check("edge-client", &|words| edge_client::config::Cli::try_parse_from(words).map(drop));
    }
    assert!(tried > 60, "{tried} commands of our own");
}

#[test]
fn no_two_commands_of_the_documents_go_to_one_run_with_different_settings() {
    let mut runs: BTreeMap<String, Vec<(String, Vec<String>)>> = BTreeMap::new();
    for (document, command) in commands() {
        let Some(words) = arguments(&command, "hil") else { continue };
        if !matches!(words[1].as_str(), "run" | "agree") {
            continue;
        }
        let value = |option: &str| {
            let at = words.iter().position(|word| word == option)?;
            words.get(at + 1).cloned()
        };
        let scenario = Path::new(&words[2]).file_stem().unwrap().display().to_string();
        let bench = if words[1] == "agree" { "agreement".to_owned() } else { value("--on").unwrap() };
        let out = value("--out").unwrap_or_else(|| format!("runs/{scenario}-{bench}"));
        // Of a reader's own files, each document has others.
        let own = if words[2].contains('/') { String::new() } else { document.clone() };
        // Each processor of `agree` has a folder of its own.
        let arch = if words[1] == "agree" { "" } else { "--arch" };
        let mut settings: Vec<String> = words
            .windows(2)
            .filter(|pair| ["--set", "--fleet", "--device", arch].contains(&&*pair[0]))
            .map(<[String]>::concat)
            .collect();
        settings.sort();
        runs.entry(own + &out).or_default().push((format!("{document}: {command}"), settings));
    }
    for (out, commands) in runs {
        let (first, settings) = &commands[0];
        for (other, others) in &commands {
            assert_eq!(settings, others, "{out} is of\n{first}\nand of\n{other}");
        }
    }
}

#[test]
fn the_protocol_that_is_documented_is_the_one_that_is_spoken() {
    let text = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    assert!(text.contains(&format!("Protocol version {}.", wire::PROTOCOL_VERSION)));
}

#[test]
fn every_path_of_the_repository_that_a_document_names_is_there() {
    let top: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            entry.path().is_dir() && !["target", "runs", ".git"].iter().any(|it| entry.file_name() == *it)
        })
        .map(|entry| entry.file_name().into_string().unwrap() + "/")
        .collect();
    for path in files(&root(), &[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| c.is_whitespace() || "`()[]<>,;|'\"=".contains(c));
        for word in words.map(|word| word.trim_end_matches(['.', ':', '/'])) {
            let is_literal = !word.contains(['*', '{', '$', '…', '#', '?']);
            if is_literal && top.iter().any(|folder| word.starts_with(folder.as_str())) {
                let there = root().join(word).exists() || path.with_file_name(word).exists();
                assert!(there || written_by_hand(word), "{}: {word} is not there", path.display());
            }
        }
    }
}

/// What a reader is to put there, what a command makes there, and a feature of cargo's that reads like a path.
fn written_by_hand(word: &str) -> bool {
    word.starts_with("datasets/")
        || ["YOUR", "your_", "NAME"].iter().any(|name| word.contains(name))
        || ["fuzz/artifacts", "hil-tests/cuda"].contains(&word)
}

#[test]
fn a_peer_that_is_not_installed_is_left_out_of_the_tables_of_performance() {
    // Nothing is installed, and nothing is built or measured.
    let script = r#"
import importlib.util, types
importlib.util.find_spec = lambda name: None
import kernels, package, programs, training
programs.build_bench = lambda: None
programs.bench = lambda *_: ([(["1-thread", "2x3", "mean", "aggregate"], [1.0, 2.0]), (["2-thread", "2x3", "mean", "aggregate"], [1.0, 2.0])], 1.0)
arguments = types.SimpleNamespace(ours=False, shapes="2x3", patience=1)
kernels.print_table(arguments)
training.print_table(arguments)
package.print_table(arguments)
"#;
    if !link::has("python3") {
        return;
    }
    let mut python = undisturbed("python3");
    python.args(["-B", "-c", script]).current_dir(root().join("hil-tests/peers"));
    let outcome = run(python).succeeded();
    outcome.prints(&["| m x d | rule | Outpost, summing passes | two threads | leave one out |"]);
    outcome.prints(&["| model | Outpost, ms | peak MiB |"]);
    assert!(outcome.stderr.contains("the package `outpost` is not installed"), "{}", outcome.stderr);
    for peer in ["numpy", "ByzFL", "byzpy", "Flower", "torch"] {
        assert!(
            outcome.stderr.contains(&format!("{peer} is left out: not installed: ")),
            "{peer}: {}",
            outcome.stderr
        );
    }
}

/// Folders and files that a container file copies from the repository into the stage that builds.
fn copied(text: &str) -> Vec<String> {
    let copies = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let from_here = copies.filter(|line| !line.starts_with("--from"));
    from_here
        .flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[..words.len() - 1].iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_container_file_that_builds_copies_all_that_the_build_reads() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let mut read = vec!["Cargo.toml".to_owned(), "Cargo.lock".to_owned()];
    for member in members.iter().map(|member| member.as_str().unwrap()) {
        read.push(member.to_owned());
        for source in files(&root().join(member).join("src"), &[".rs"]) {
            let text = fs::read_to_string(&source).unwrap();
            for included in
                text.split("include_str!(\"").skip(1).chain(text.split("include_bytes!(\"").skip(1))
            {
                let target = source.with_file_name(included.split('"').next().unwrap());
                let target =
                    target.canonicalize().unwrap_or_else(|_| panic!("{}: {included}", source.display()));
                let relative = target.strip_prefix(root().canonicalize().unwrap()).unwrap();
                read.push(relative.display().to_string());
            }
        }
    }
    let building: Vec<PathBuf> = files(&root(), &["Containerfile", "Dockerfile"])
        .into_iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains("RUN cargo build"))
        .collect();
    assert!(!building.is_empty(), "one container file builds");
    for path in building {
        let copied = copied(&fs::read_to_string(&path).unwrap());
        for needed in &read {
            let there = copied.iter().any(|copy| needed == copy || needed.starts_with(&format!("{copy}/")));
            // Data sets are read by tests alone.
            assert!(there || needed.starts_with("datasets/"), "{} lacks {needed}", path.display());
        }
    }
}
