//! What it costs to ask another program, beside its own work: `cargo run --release -p program --example overhead`.
//!
//! The program answers at once, with d numbers that it does not compute. What is measured is the time from the question to the
//! numbers of the answer, of the first question and of the quickest and the median of the others; and what copying the updates
//! once takes on one thread, beside it.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use program::{Host, Inputs, Numbers, Terms};

#[derive(serde::Serialize)]
struct Question {
    rows: usize,
}

#[derive(serde::Deserialize)]
struct Answer {}

/// Answers with what is the answer to the question before, or zeros.
const SCRIPT: &str = r#"while read -r line; do
    path() { rest=${line#*\"$1\":\"}; printf %s "${rest%%\"*}"; }
    cat "$(path global)" > "$(path answer)"
    echo '{}'
done"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    writeln!(
        out,
        "| m x d | MB | first question, ms | quickest of others | median | one copy, one thread |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (rows, columns) in [(20, 310), (100, 7_850), (100, 266_060)] {
        let models: Vec<Vec<f32>> =
            (0..rows).map(|row| (0..columns).map(|column| (row * column) as f32).collect()).collect();
        let global = vec![1.0_f32; columns];
        let copy = |row: usize, from: usize, to: &mut [f32]| {
            let columns = from..from + to.len();
            let values = models[row][columns.clone()].iter().zip(&global[columns]);
            to.iter_mut().zip(values).for_each(|(to, (value, global))| *to = value - global);
        };
        let updates = Numbers { rows, columns, copy: &copy };
        let inputs = Inputs { updates: &updates, global: &global, state: &[] };
        let (host, command) = (Host::default(), ["sh", "-c", SCRIPT].map(String::from));
        host.allow();
        let mut times = Vec::new();
        for _ in 0..12 {
            let begun = Instant::now();
            let terms = Terms { command: &command, seconds: 60 };
            host.ask(terms, &Question { rows }, inputs, |_: Answer, written| written.rows(1, columns))?;
            times.push(begun.elapsed());
        }
        let first = times.remove(0);
        times.sort();
        let mut copied = vec![0.0_f32; rows * columns];
        let mut one_copy = || {
            let begun = Instant::now();
            copied.chunks_mut(columns).enumerate().for_each(|(row, to)| copy(row, 0, to));
            std::hint::black_box(&copied);
            begun.elapsed()
        };
        one_copy();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (quickest, median) = (ms(times[0]), ms(times[times.len() / 2]));
        let megabytes = (rows * columns * 4) as f64 / 1e6;
        writeln!(
            out,
            "| {rows} x {columns} | {megabytes:.1} | {:.1} | {quickest:.1} | {median:.1} | {:.1} |",
            ms(first),
            ms(one_copy())
        )?;
    }
    Ok(())
}
