//! The kernels that are counted, on shapes small enough for valgrind.

use std::hint::black_box;

use learning::data::{Batch, Features};
use learning::models;
use learning::random::Stream;
use rand::{Rng, SeedableRng};
use rayon::ThreadPoolBuilder;
use robust::{Byzantine, Executor as _, Processors, Updates};
use scenario::catalogue::Catalogue;
use wire::identity::{DeviceId, RunId};
use wire::{
    Assembler, Float32Array, Kind, Limits, Message, Millis, Outgoing, Progress, Telemetry, UpdateContent,
    content_limit, decode,
};

const RULES: [&str; 5] = ["mean", "median", "trimmed-mean", "krum", "bulyan"];
/// Devices and parameters that a rule aggregates; neither is a multiple of a vector's length.
const AGGREGATE: [usize; 2] = [50, 1_010];
/// The same for the m aggregates of m - 1.
const LEAVE_ONE_OUT: [usize; 2] = [30, 200];
/// Models, shape of their examples, number of classes and of examples in a batch.
const STEPS: [(&str, &[usize], usize, usize); 3] =
    [("logistic-regression", &[28, 28], 10, 32), ("dnn", &[28, 28], 10, 4), ("resnet20", &[16, 16], 8, 2)];
/// Parameters of an update that is sent: three chunks.
const SENT: usize = 40_000;
const TRANSFER: &str = "update sent and received";

/// All of them.
pub(crate) fn names() -> Vec<String> {
    let rules = RULES.iter().flat_map(|rule| [(*rule).to_owned(), format!("{rule}, leave one out")]);
    let steps = STEPS.iter().map(|(model, ..)| format!("{model} step"));
    rules.chain(steps).chain([TRANSFER.to_owned()]).collect()
}

/// Prepares the case of that name and runs it so many times.
pub(crate) fn run(name: &str, times: u32) {
    // This thread is the pool.
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("the first pool");
    let mut random = Stream::seed_from_u64(1);
    let mut noise = |count: usize| (0..count).map(|_| random.random_range(-0.1..0.1)).collect::<Vec<f32>>();
    if name == TRANSFER {
        let content = UpdateContent {
            parameters: Float32Array(noise(SENT).into()),
            loss: 1.0,
            train_us: 1,
            telemetry: Telemetry::default(),
        };
        return (0..times).for_each(|_| transfer(&content));
    }
    let catalogue = Catalogue::standard();
    if let Some(&(architecture, shape, classes, examples)) =
        STEPS.iter().find(|(model, ..)| name == format!("{model} step"))
    {
        let architecture =
            catalogue.models.choose(architecture, toml::Table::new(), &|_| {}).expect("a model of ours");
        let model = models::build(&*architecture, shape, classes).expect("a model of pictures");
        let features = Features::Floats(noise(examples * shape.iter().product::<usize>()));
        let labels = (0..classes as u32).cycle().take(examples).collect();
        let batch = Batch { features, shape: shape.to_vec(), labels };
        let parameters = noise(model.layout().dimension());
        return (0..times).for_each(|_| {
            black_box(model.loss_and_gradient(&parameters, &batch).expect("a batch of the model's shape"));
        });
    }
    let (of, leave_one_out) = name.split_once(", ").map_or((name, false), |(rule, _)| (rule, true));
    let name = RULES.into_iter().find(|rule| *rule == of).expect("one of `names`");
    let [devices, parameters] = if leave_one_out { LEAVE_ONE_OUT } else { AGGREGATE };
    let models: Vec<Vec<f32>> = (0..devices).map(|_| noise(parameters)).collect();
    let rows: Vec<&[f32]> = models.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).expect("rows of one length");
    let byzantine = Byzantine::of(devices / 5);
    let rule = catalogue.rules.choose(name, toml::Table::new(), &|_| {}).expect("a rule of ours");
    let mut aggregates = Vec::new();
    for _ in 0..times {
        if leave_one_out {
            let aggregates = black_box(&mut aggregates);
            Processors.leave_one_out(&*rule, &updates, byzantine, aggregates).expect("enough devices");
        } else {
            black_box(Processors.aggregate(&*rule, &updates, byzantine).expect("enough devices"));
        }
    }
}

/// An update's way from the device that has it to the aggregator that reads it.
fn transfer(content: &UpdateContent) {
    let device = DeviceId(1);
    let limit = content_limit(SENT);
    let mut assembler =
        Assembler::new(Limits { max_transfer_bytes: limit, max_sender_bytes: limit, max_total_bytes: limit });
    let outgoing = Outgoing::new(RunId(1), 1, Kind::Update, Some(device), content.encode());
    for chunk in outgoing.chunks() {
        let payload = Message::Chunk(chunk).encode().expect("a chunk");
        let Ok(Message::Chunk(chunk)) = Message::decode(&payload) else { panic!("not what was encoded") };
        if let Progress::Complete(bytes) =
            assembler.accept(Millis(0), Some(device), chunk).expect("an honest chunk")
        {
            black_box(decode::<UpdateContent>(&bytes, limit).expect("what was encoded"));
        }
    }
}
