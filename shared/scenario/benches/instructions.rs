//! Holds the number of instructions of each kernel, as callgrind counts them, against `instructions.toml`: repeatable
//! where time is not.
//!
//! `cargo bench -p scenario --bench instructions` fails if a count has grown by more than a fifth; append `-- --accept`
//! to write down the counts as they are now.
//!
//! Valgrind shows no AVX-512, so what is counted is the path of AVX2, on every machine that has it. Elsewhere, and
//! without valgrind, nothing is counted. A count is the difference between a process that runs the kernel three times
//! and one that runs it once, by two: start and input cancel out. The first run is not counted with them, so neither
//! is what a kernel prepares once.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is all that it does")]

#[path = "instructions/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use serde::{Deserialize, Serialize};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");
const ACCEPT: &str = "cargo bench -p scenario --bench instructions -- --accept";
/// What a count may grow by.
const TOLERANCE: f64 = 0.2;

/// The counts, and what they depend on beside the code.
#[derive(Serialize, Deserialize)]
struct Record {
    compiler: String,
    valgrind: String,
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--run", case, times] => {
            cases::run(case, times.parse().expect("a number of times"));
            ExitCode::SUCCESS
        }
        [] => check(false),
        ["--accept"] => check(true),
        _ => {
            eprintln!("usage: {ACCEPT}, or without --accept");
            ExitCode::from(2)
        }
    }
}

/// Counts all cases, and compares with the record or writes it anew.
fn check(accept: bool) -> ExitCode {
    let (Some(valgrind), true) = (first_line("valgrind"), has_avx2()) else {
        println!("skipped: instructions are counted by valgrind, on a processor with AVX2");
        return ExitCode::SUCCESS;
    };
    let compiler = first_line("rustc").unwrap_or_default();
    let recorded = fs::read_to_string(RECORDED).ok().and_then(|text| toml::from_str::<Record>(&text).ok());
    let before = recorded.as_ref().map(|record| &record.instructions);
    let mut instructions = BTreeMap::new();
    let mut failed = false;
    for case in cases::names() {
        let count = (count(&case, 3) - count(&case, 1)) / 2;
        let change = before.and_then(|counts| counts.get(&case)).map(|&old| count as f64 / old as f64 - 1.0);
        let verdict = match change {
            None => "not recorded",
            Some(change) if change > TOLERANCE => "TOO MANY",
            Some(change) if change < -TOLERANCE => "better: accept it, so that it stays so",
            Some(_) => "",
        };
        failed |= change.is_none_or(|change| change > TOLERANCE);
        let change = change.map_or_else(String::new, |change| format!("{:+.1}%", 100.0 * change));
        println!("{}", format!("{case:32} {count:>13} {change:>8}  {verdict}").trim_end());
        instructions.insert(case, count);
    }
    if accept {
        let record =
            toml::to_string(&Record { compiler, valgrind, instructions }).expect("a table of numbers");
        fs::write(RECORDED, format!("# Written by {ACCEPT}\n{record}")).expect("a writable working tree");
        return ExitCode::SUCCESS;
    }
    if failed {
        let made = recorded
            .map_or("nothing".to_owned(), |record| format!("{} and {}", record.compiler, record.valgrind));
        println!(
            "\nA kernel takes over {:.0}% more instructions than instructions.toml says, or is not in it. If that is \
             meant, or comes of another compiler (recorded with {made}; this is {compiler} and {valgrind}), accept the \
             counts with\n\n    {ACCEPT}\n\nand say why in the commit.",
            100.0 * TOLERANCE
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions of a process that runs `case` so many times.
fn count(case: &str, times: u32) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("where this program lies"))
        .args(["--run", case, &times.to_string()])
        // Neither candle's threads nor rayon's: those that wait would be counted, too.
        .env("CANDLE_NUM_THREADS", "1")
        .output()
        .expect("valgrind has answered before");
    let log = String::from_utf8_lossy(&output.stderr);
    let collected =
        log.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    match collected.and_then(|count| count.parse().ok()) {
        Some(count) if output.status.success() => count,
        _ => panic!("{case} did not run under valgrind:\n{log}"),
    }
}

/// What a program answers when asked for its version; `None` if there is none.
fn first_line(program: &str) -> Option<String> {
    let output =
        Command::new(program).arg("--version").current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).output();
    let answer = output.ok().filter(|output| output.status.success())?.stdout;
    String::from_utf8_lossy(&answer).lines().next().map(ToOwned::to_owned)
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
