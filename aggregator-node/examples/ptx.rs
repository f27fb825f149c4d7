//! Prints the PTX of a kernel, for `ptxas -v` and the like. NVRTC must be installed; a GPU need not be there.
//!
//! ```sh
//! cargo run -p aggregator-node --features cuda --example ptx -- median 100 > median.ptx
//! ptxas -v -arch=sm_90 median.ptx -o /dev/null
//! ```
//!
//! The statistics: mean, median, trimmed-mean (a fifth at each end), mean-around-median (a fifth of the values),
//! distances; with `-without-each` after its name, of all others for each row.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is all that it does")]

use std::process::ExitCode;

use aggregator_node::cuda::{Program, Statistic, compile};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let program = match arguments.as_slice() {
        [name, rows] => rows.parse().ok().and_then(|rows| program(name, rows)),
        _ => None,
    };
    let Some(program) = program else {
        eprintln!("ptx: give a statistic and a number of rows, as in: median 100");
        return ExitCode::from(2);
    };
    match compile(program, "compute_80") {
        Ok(ptx) => {
            println!("{ptx}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ptx: {error}");
            ExitCode::FAILURE
        }
    }
}

fn program(name: &str, rows: usize) -> Option<Program> {
    let (name, leave_one_out) = match name.strip_suffix("-without-each") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let statistic = match name {
        "mean" => Statistic::Mean,
        "median" => Statistic::Median,
        "trimmed-mean" => Statistic::TrimmedMean { trim: rows / 5 },
        "mean-around-median" => Statistic::MeanAroundMedian { count: (rows / 5).max(1) },
        "distances" => Statistic::Distances,
        _ => return None,
    };
    (rows > usize::from(leave_one_out)).then_some(Program { statistic, rows, leave_one_out })
}
