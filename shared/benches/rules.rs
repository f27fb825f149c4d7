//! Time of the aggregation rules on one thread, beside that of one pass that sums the same matrix.
//!
//! `cargo bench -p shared --bench rules`; append `-- leave_one_out` to run a part of it.

use std::fmt;

use divan::Bencher;
use rand::{Rng, SeedableRng};
use rayon::ThreadPoolBuilder;
use shared::random::Stream;
use shared::rules::{RuleName, RuleParameters, Updates, build};

/// Devices and parameters: those of the paper's logistic regression and DNN on MNIST, and a larger fleet.
const SHAPES: [Shape; 3] = [Shape(100, 7_850), Shape(1_000, 7_850), Shape(100, 266_060)];

#[derive(Clone, Copy)]
struct Shape(usize, usize);

/// A rule that reckons with a fifth of the devices, and what it is applied to.
struct Case(RuleName, Shape);

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.0, self.1)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

fn main() {
    divan::main();
}

const RULES: [RuleName; 5] =
    [RuleName::Mean, RuleName::Median, RuleName::TrimmedMean, RuleName::Krum, RuleName::Bulyan];

fn cases() -> impl Iterator<Item = Case> {
    RULES.into_iter().flat_map(|rule| SHAPES.map(|shape| Case(rule, shape)))
}

/// What the rules are measured by: each value is read once.
#[divan::bench(args = SHAPES)]
fn summing_pass(bencher: Bencher, shape: Shape) {
    bench(bencher, shape, |updates| {
        let mut sums = [0.0_f32; 64];
        for values in updates.rows().iter().flat_map(|row| row.as_chunks::<64>().0) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().sum::<f32>()
    });
}

#[divan::bench(args = cases())]
fn aggregate(bencher: Bencher, Case(rule, shape): &Case) {
    let rule = build(*rule, &parameters(*shape));
    bench(bencher, *shape, |updates| rule.aggregate(updates).unwrap());
}

/// All aggregates that ERR and LFR need.
#[divan::bench(args = cases().filter(|Case(_, shape)| shape.0 == 100), max_time = 5)]
fn leave_one_out(bencher: Bencher, Case(rule, shape): &Case) {
    let rule = build(*rule, &parameters(*shape));
    bench(bencher, *shape, |updates| rule.leave_one_out(updates).unwrap());
}

fn parameters(Shape(devices, _): Shape) -> RuleParameters {
    RuleParameters { byzantine: devices / 5, trim: devices / 5, theta: None, gamma: None }
}

/// Runs `work` on models as honest devices send them, on a single thread.
fn bench<T: Send>(
    bencher: Bencher,
    Shape(devices, parameters): Shape,
    work: impl Fn(&Updates<'_>) -> T + Sync,
) {
    let mut random = Stream::seed_from_u64(1);
    let mut model = || (0..parameters).map(|_| random.random_range(-0.1..0.1)).collect();
    let models: Vec<Vec<f32>> = (0..devices).map(|_| model()).collect();
    let rows: Vec<&[f32]> = models.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).unwrap();
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // The bench runs here and its work there: a bencher cannot change threads.
    bencher.bench_local(|| pool.install(|| work(&updates)));
}
