//! Time and peak memory of training steps and of evaluation, for each model at the size that it is used at.
//!
//! `cargo bench -p scenario --bench training`; append `-- step` or `-- logits` to run half of it.
//! With `CANDLE_NUM_THREADS=1` all of a step runs on one thread.

use divan::{AllocProfiler, Bencher};
use learning::data::{Batch, Features};
use learning::models::{Model, build};
use learning::random::{Purpose, stream};
use rand::Rng;
use scenario::catalogue::Catalogue;

/// Counts the bytes: the most that are in use at once are in the row `max alloc`.
#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

/// A model, the shape of its examples and the number of classes.
#[derive(Clone, Copy, Debug)]
struct Case(&'static str, &'static [usize], usize);

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.0, self.1)
    }
}

const CASES: [Case; 3] =
    [Case("logistic-regression", &[28, 28], 10), Case("dnn", &[28, 28], 10), Case("resnet20", &[64, 64], 8)];

fn main() {
    divan::main();
}

/// Loss and gradient of a batch of 32.
#[divan::bench(args = CASES)]
fn step(bencher: Bencher, case: &Case) {
    let (model, parameters, batch) = prepare(*case, 32);
    bencher.bench_local(|| model.loss_and_gradient(&parameters, &batch).unwrap());
}

/// Logits of a batch of 500.
#[divan::bench(args = CASES, max_time = 10)]
fn logits(bencher: Bencher, case: &Case) {
    let (model, parameters, batch) = prepare(*case, 500);
    bencher.bench_local(|| model.logits(&parameters, &batch).unwrap());
}

/// A model, its initial parameters and a batch of noise in [0, 1).
fn prepare(Case(name, shape, classes): Case, examples: usize) -> (Box<dyn Model>, Vec<f32>, Batch) {
    let architecture =
        Catalogue::standard().models.choose(name, toml::Table::new(), &|_| {}).expect("a model of ours");
    let model = build(&*architecture, shape, classes).unwrap();
    let parameters = model.initial(&mut stream(1, Purpose::Weights, None, 0)).values().to_vec();
    let mut random = stream(1, Purpose::Batches, None, 0);
    let features = (0..examples * shape.iter().product::<usize>()).map(|_| random.random_range(0.0..1.0));
    let labels = (0..classes as u32).cycle().take(examples);
    let batch = Batch {
        features: Features::Floats(features.collect()),
        shape: shape.to_vec(),
        labels: labels.collect(),
    };
    (model, parameters, batch)
}
