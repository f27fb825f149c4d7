//! What kernels take on the first GPU, by themselves: beside the GPU's own copy and matrix product in the same run.
//!
//! ```sh
//! cargo bench -p aggregator-node --features cuda --bench gpu                   # 100 devices, 25,000,000 parameters
//! cargo bench -p aggregator-node --features cuda --bench gpu -- 1000 266060    # others
//! ```
//!
//! Before that it checks, on fewer parameters, that the GPU computes the same bits as the processors. The updates are on
//! the GPU; the way there, and that of the results back, do not count.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is all that it does")]

use std::process::ExitCode;

use aggregator_node::backend::Backend as _;
use aggregator_node::cuda::{Cuda, Statistic};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use robust::{
    Bulyan, Byzantine, Distances, Executor as _, Krum, Median, Processors, Rule, RuleError, TrimmedMean,
    Updates,
};

/// Parameters of the updates that are checked.
const CHECKED: usize = 10_000;

/// Size of the matrices that the GPU's own product is measured with.
const PRODUCT: usize = 8_192;

fn main() -> ExitCode {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (devices, columns) = match numbers.as_slice() {
        [] => (100, 25_000_000),
        [devices, columns] if *devices >= 7 && *columns >= 1 => (*devices, *columns),
        _ => {
            eprintln!("gpu: give a number of devices, at least 7, and of parameters, as in: 100 25000000");
            return ExitCode::from(2);
        }
    };
    let cuda = match Cuda::open(0) {
        Ok(cuda) => cuda,
        Err(error) => {
            println!("skipped: {}", error.reason);
            return ExitCode::SUCCESS;
        }
    };
    match check(&cuda, devices).and_then(|()| measure(&cuda, devices, columns)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn values(count: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(1);
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// That what is measured is right.
fn check(cuda: &Cuda, devices: usize) -> Result<(), RuleError> {
    let values = values(devices * CHECKED);
    let rows: Vec<&[f32]> = values.chunks_exact(CHECKED).collect();
    let updates = Updates::new(&rows, None)?;
    let byzantine = Byzantine::of(byzantine(devices));
    let trimmed_mean = TrimmedMean { trim: Some((devices / 5) as u32) };
    for rule in [&Median {} as &dyn Rule, &trimmed_mean, &Krum::default(), &Bulyan::default()] {
        let there = cuda.engine().aggregate(rule, &updates, byzantine)?;
        let here = Processors.aggregate(rule, &updates, byzantine)?;
        assert!(there == here, "{rule:?} differs from the processors'");
    }
    assert!(cuda.distances(&updates)? == Distances::of(&updates), "distances differ from the processors'");
    println!(
        "same bits as the processors: median, trimmed mean, Krum, Bulyan, distances ({devices} x {CHECKED})"
    );
    Ok(())
}

fn byzantine(devices: usize) -> usize {
    (devices - 3) / 5
}

fn measure(cuda: &Cuda, devices: usize, columns: usize) -> Result<(), RuleError> {
    let measurement = cuda.measurement(&values(columns + devices * 997), devices, columns)?;
    let copy = measurement.copy_rate()?;
    println!("{}, {devices} x {columns}", cuda.name());
    println!("{:22}             {:8.1} GB/s", "copy", copy / 1e9);
    let selected = devices - 2 * byzantine(devices);
    let statistics = [
        ("median", Statistic::Median),
        ("trimmed mean", Statistic::TrimmedMean { trim: devices / 5 }),
        ("mean around median", Statistic::MeanAroundMedian { count: (selected / 3).max(1) }),
    ];
    let bytes = ((devices + 1) * columns * size_of::<f32>()) as f64;
    for (name, statistic) in statistics {
        let seconds = measurement.statistic(statistic)?;
        let rate = bytes / seconds;
        println!(
            "{name:22} {:8.3} ms {:8.1} GB/s {:5.0}% of copy",
            seconds * 1e3,
            rate / 1e9,
            100.0 * rate / copy
        );
    }
    let seconds = measurement.products()?;
    let operations = 2.0 * (devices * devices * columns) as f64;
    let (rate, bandwidth) = (operations / seconds, bytes / seconds);
    print!("{:22} {:8.3} ms {:8.2} TFLOP/s", "products of all pairs", seconds * 1e3, rate / 1e12);
    match measurement.product_rate(PRODUCT)? {
        Some(product) => println!(
            " {:5.0}% of cuBLAS at {:.2}, {:.0}% of copy",
            100.0 * rate / product,
            product / 1e12,
            100.0 * bandwidth / copy
        ),
        None => println!(", {:.0}% of copy; cuBLAS is not installed", 100.0 * bandwidth / copy),
    }
    Ok(())
}
