//! Cost of the aggregation rules in passes that sum the same matrix, and of training steps in milliseconds.
//!
//! `cargo bench -p scenario --bench performance` prints all rows; words behind `--` choose those that have them all, as
//! in `-- 1-thread 100x7850 median`. On one thread a time is the median of the process's CPU time, which other
//! programs do not lengthen; on two it is the shortest wall time, and `gain` how much longer the shortest on one is, in
//! turns with it. A passing sum is timed before and after each row.
//! `aggregations` tells what all m aggregates of m - 1 updates, which ERR and LFR need, cost beside one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is all that it does")]

use std::collections::BTreeSet;
use std::env;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use input::chosen::Chosen;
use learning::data::{Batch, Features};
use learning::models;
use learning::random::Stream;
use rand::{Rng, SeedableRng};
use rayon::ThreadPoolBuilder;
use robust::{
    Byzantine, Combination, Context, Executor as _, Mixing, Plan, Processors, Round, Rule, RuleError, State,
    Updates,
};
use rustix::time::{ClockId, clock_gettime};
use scenario::catalogue::Catalogue;
use scenario::defense::{DefenseError, Gate, Passed, Stage};
use wire::identity::DeviceId;

/// Devices and parameters: those of the paper's logistic regression and DNN on MNIST, and a larger fleet.
const SHAPES: [[usize; 2]; 3] = [[100, 7_850], [1_000, 7_850], [100, 266_060]];
/// Rules whose aggregates without each device are timed.
const OF_THE_PAPER: [&str; 5] = ["mean", "median", "trimmed-mean", "krum", "bulyan"];
/// Those of the others that need no more than updates. (SMEA looks at all subsets.)
const OTHERS: [&str; 10] = [
    "multi-krum",
    "meamed",
    "geometric-median",
    "median-of-means",
    "centered-clipping",
    "cge",
    "mda",
    "caf",
    "sign-majority",
    "foolsgold",
];
/// A stage, and the rule after it.
const STAGED: [(&str, &str); 10] = [
    ("clip", "mean"),
    ("arc", "mean"),
    ("nnm", "mean"),
    ("nnm", "geometric-median"),
    ("nnm", "trimmed-mean"),
    ("bucketing", "median"),
    ("dnc", "mean"),
    ("norm-sign", "mean"),
    ("clipped-clustering", "mean"),
    ("flame", "mean"),
];
/// Of a fleet of more devices, the aggregates of m - 1 are not timed.
const LEAVE_ONE_OUT: usize = 100;
/// Model, shape of an example, number of classes. A batch has 32 examples.
const STEPS: [(&str, &[usize], usize); 3] =
    [("logistic-regression", &[28, 28], 10), ("dnn", &[28, 28], 10), ("resnet20", &[64, 64], 8)];
/// For how long a row is repeated, and a passing sum.
const ROW: Duration = Duration::from_millis(700);
const PASS: Duration = Duration::from_millis(100);

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("{:56} {:>10} {:>7} {:>12} {:>5}", "", "ms", "passes", "aggregations", "gain");
    for threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        for shape in SHAPES {
            pool.install(|| rules(&Selection { words: &words, threads }, shape));
        }
    }
    for step in STEPS {
        time_step(&Selection { words: &words, threads: 1 }, step);
    }
}

/// The rows that are asked for.
struct Selection<'a> {
    words: &'a [String],
    threads: usize,
}

impl Selection<'_> {
    /// What a row is called, if it is asked for.
    fn label(&self, row: &str) -> Option<String> {
        let label = format!("{}-thread {row}", self.threads);
        self.words.iter().all(|word| label.split(' ').any(|part| part == word)).then_some(label)
    }

    /// Milliseconds that `work` takes, and on two threads the gain.
    fn time(&self, work: &(dyn Fn() + Sync)) -> (f64, Option<f64>) {
        if self.threads == 1 {
            return (cpu_time(ROW, work), None);
        }
        let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one");
        let [mut one, mut two] = [f64::INFINITY; 2];
        repeat(2 * ROW, || {
            one = one.min(wall_time(|| alone.install(work)));
            two = two.min(wall_time(work));
        });
        (two, Some(one / two))
    }
}

/// Repeats `work` for `span`, or five times if it takes longer, or less if that takes far too long.
fn repeat(span: Duration, mut work: impl FnMut()) {
    work();
    let begun = Instant::now();
    let mut times = 0;
    while times == 0 || begun.elapsed() < span || (times < 5 && begun.elapsed() < 10 * span) {
        work();
        times += 1;
    }
}

/// Milliseconds of CPU time, the median.
fn cpu_time(span: Duration, work: impl Fn()) -> f64 {
    let mut times = Vec::new();
    repeat(span, || {
        let begun = clock();
        work();
        times.push(clock() - begun);
    });
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Milliseconds of wall time.
fn wall_time(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    1e3 * begun.elapsed().as_secs_f64()
}

/// The rows of one matrix.
fn rules(selection: &Selection<'_>, [devices, parameters]: [usize; 2]) {
    let name = |rule: &str, what| selection.label(&format!("{devices}x{parameters} {rule} {what}"));
    let asked: Vec<_> = named_rules()
        .into_iter()
        .map(|(rule, it)| {
            let all = if OF_THE_PAPER.contains(&&*rule) { name(&rule, "leave-one-out") } else { None };
            let one = if devices > LEAVE_ONE_OUT && !OF_THE_PAPER.contains(&&*rule) {
                None
            } else {
                name(&rule, "aggregate")
            };
            (it, one, all)
        })
        .collect();
    if asked.iter().all(|(_, one, all)| one.is_none() && all.is_none()) {
        return;
    }
    let mut random = Stream::seed_from_u64(1);
    let models: Vec<Vec<f32>> = (0..devices).map(|_| noise(&mut random, parameters)).collect();
    let rows: Vec<&[f32]> = models.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).expect("rows of one length");
    let sum = || {
        cpu_time(PASS, || {
            black_box(summing_pass(&updates));
        })
    };
    let byzantine = Byzantine::of(devices / 5);
    for (rule, one, all) in asked {
        let mut pass = sum();
        let mut row = |label: Option<String>, work: &(dyn Fn() + Sync), aggregation: Option<f64>| {
            let label = label?;
            let (time, gain) = selection.time(work);
            let after = sum();
            let passes = 2.0 * time / (pass + after);
            pass = after;
            let aggregations = aggregation.map_or_else(String::new, |one| format!("{:.1}", time / one));
            let gain = gain.map_or_else(String::new, |gain| format!("{gain:.2}"));
            println!(
                "{}",
                format!("{label:56} {time:>10.3} {passes:>7.1} {aggregations:>12} {gain:>5}").trim_end()
            );
            Some(time)
        };
        let one = row(
            one,
            &|| drop(black_box(Processors.aggregate(&rule, &updates, byzantine).expect("enough devices"))),
            None,
        );
        if devices <= LEAVE_ONE_OUT && all.is_some() {
            let aggregates = Mutex::default();
            let leave_one_out = || {
                let mut aggregates = aggregates.lock().expect("nothing has panicked");
                let aggregates = black_box(&mut aggregates);
                Processors.leave_one_out(&rule, &updates, byzantine, aggregates).expect("enough devices");
            };
            row(all, &leave_one_out, one);
        }
    }
}

/// What the rules are measured by: each value is read once.
fn summing_pass(updates: &Updates<'_>) -> f32 {
    let mut sums = [0.0_f32; 64];
    for values in updates.rows().iter().flat_map(|row| row.as_chunks::<64>().0) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().sum()
}

/// Loss and gradient of one batch.
fn time_step(selection: &Selection<'_>, (name, shape, classes): (&str, &[usize], usize)) {
    let Some(label) = selection.label(&format!("{name} step")) else { return };
    let architecture =
        Catalogue::standard().models.choose(name, toml::Table::new(), &|_| {}).expect("a model of ours");
    let model = models::build(&*architecture, shape, classes).expect("a model of pictures");
    let mut random = Stream::seed_from_u64(1);
    let parameters = noise(&mut random, model.layout().dimension());
    let features = Features::Floats(noise(&mut random, 32 * shape.iter().product::<usize>()));
    let labels = (0..classes as u32).cycle().take(32).collect();
    let batch = Batch { features, shape: shape.to_vec(), labels };
    let step = || {
        drop(black_box(model.loss_and_gradient(&parameters, &batch).expect("a batch of the model's shape")));
    };
    let time = cpu_time(ROW, step);
    println!("{label:56} {time:>10.3}");
}

fn noise(random: &mut Stream, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-0.1..0.1)).collect()
}

/// The rules with their defaults, and stages before a rule; those of the paper first, whose aggregates without each device
/// are timed as well.
fn named_rules() -> Vec<(String, Staged)> {
    let catalogue = Catalogue::standard();
    let rule = |name: &str| catalogue.rules.with_defaults(name).expect("a rule");
    let alone = OF_THE_PAPER.into_iter().chain(OTHERS);
    let alone = alone.map(|name| (name.to_owned(), Staged { before: None, after: rule(name) }));
    let staged = STAGED.into_iter().map(|(stage, after)| {
        let before = Some(catalogue.stages.with_defaults(stage).expect("a stage"));
        (format!("{stage}+{after}"), Staged { before, after: rule(after) })
    });
    alone.chain(staged).collect()
}

/// A rule, perhaps with a stage before it, as one rule.
#[derive(Debug)]
struct Staged {
    before: Option<Chosen<dyn Stage>>,
    after: Chosen<dyn Rule>,
}

impl Rule for Staged {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        self.after.check(devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let Some(before) = &self.before else { return self.after.plan(round) };
        let devices: Vec<DeviceId> = (0..round.devices() as u32).map(DeviceId).collect();
        let gate = Gate {
            seed: 1,
            attackers: &BTreeSet::new(),
            round: 1,
            devices: &devices,
            updates: round.in_context(Context::default()),
            evaluate: &|| Err(DefenseError::NoExamples),
            represent: &|| Err(DefenseError::NoExamples),
        };
        let passed = before.pass(&gate, &mut State::default()).expect("a stage that needs no examples");
        let mixtures: Vec<Combination> = match passed {
            Passed::Mixed(mixtures) => mixtures.into_iter().map(|mixture| mixture.of).collect(),
            Passed::AllBut(removed) => {
                let left = (0..devices.len()).filter(|row| !removed.contains(row));
                left.map(|row| Combination::row(row, devices.len())).collect()
            }
        };
        Mixing { rule: &*self.after, mixtures: &mixtures, examples: None }.plan(round)
    }
}

/// Milliseconds of CPU time that this process has taken.
fn clock() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    1e3 * time.tv_sec as f64 + 1e-6 * time.tv_nsec as f64
}
