//! What the tests of stages share.

use std::collections::BTreeSet;

use learning::data::{Dataset, Features, Shard};
use learning::evaluation::Evaluation;
use learning::random::{Purpose, stream};
use rand::Rng;
use robust::{Byzantine, Geometry, Round, State, Updates, combine};
use wire::identity::DeviceId;

use super::{DefenseError, Gate, LeaveOneOut, Mixture, Passed, Stage};
use crate::Scenario;

/// Updates that are to pass a stage.
#[derive(Clone)]
pub(super) struct Passing {
    models: Vec<Vec<f32>>,
    origin: Vec<f32>,
    round: u32,
    byzantine: usize,
}

/// What has passed a stage.
#[derive(Debug)]
pub(super) struct PassedOn {
    pub(super) models: Vec<Vec<f32>>,
    /// By the places of whose models they go on.
    pub(super) devices: Vec<usize>,
    /// The places of the models that have no part in them.
    pub(super) removed: Vec<usize>,
}

impl Passing {
    /// Models that were trained from zeros, in the first round, none of them Byzantine.
    pub(super) fn of<R: AsRef<[f32]>>(models: &[R]) -> Self {
        let models: Vec<Vec<f32>> = models.iter().map(|model| model.as_ref().to_vec()).collect();
        Passing { origin: vec![0.0; models[0].len()], models, round: 1, byzantine: 0 }
    }

    pub(super) fn from(&self, origin: &[f32]) -> Self {
        Passing { origin: origin.to_vec(), ..self.clone() }
    }

    pub(super) fn in_round(&self, round: u32) -> Self {
        Passing { round, ..self.clone() }
    }

    pub(super) fn assuming(&self, byzantine: usize) -> Self {
        Passing { byzantine, ..self.clone() }
    }

    pub(super) fn by(&self, stage: &dyn Stage) -> PassedOn {
        self.by_keeping(stage, &mut State::default())
    }

    /// The same, by a stage that has kept this.
    pub(super) fn by_keeping(&self, stage: &dyn Stage, kept: &mut State) -> PassedOn {
        let passed = self.through(|gate| stage.pass(gate, kept));
        let (left, all) = (passed.devices.len(), self.models.len());
        assert!(left >= stage.leaves(all, Byzantine::of(self.byzantine)), "{left} rows of {all} are left");
        passed
    }

    /// What is left by what `pass` lets through.
    pub(super) fn through(&self, pass: impl FnOnce(&Gate<'_>) -> Result<Passed, DefenseError>) -> PassedOn {
        let rows: Vec<&[f32]> = self.models.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap().from_origin(&self.origin).unwrap();
        let geometry = Geometry::of(&updates);
        let byzantine = Byzantine::of(self.byzantine);
        let gate = Gate {
            seed: 1,
            attackers: &BTreeSet::new(),
            round: self.round,
            devices: &(0..rows.len() as u32).map(DeviceId).collect::<Vec<_>>(),
            updates: Round::new(&geometry, byzantine),
            evaluate: &|| Err(DefenseError::NoExamples),
            represent: &|| Err(DefenseError::NoExamples),
        };
        let (devices, models, used): (Vec<usize>, _, BTreeSet<usize>) = match pass(&gate).unwrap() {
            Passed::AllBut(removed) => {
                let left: Vec<usize> = (0..rows.len()).filter(|row| !removed.contains(row)).collect();
                let models = left.iter().map(|row| self.models[*row].clone()).collect();
                (left.clone(), models, left.into_iter().collect())
            }
            Passed::Mixed(mixtures) => {
                let (places, of): (_, Vec<_>) =
                    mixtures.into_iter().map(|Mixture { place, of }| (place, of)).unzip();
                let used = of.iter().flat_map(robust::Combination::used).collect();
                (places, combine(&of, &updates).unwrap(), used)
            }
        };
        PassedOn { models, devices, removed: (0..rows.len()).filter(|row| !used.contains(row)).collect() }
    }
}

/// 120 examples of three classes, each about a point of its own; the first ten have the label of another class.
pub(super) fn mislabelled() -> Shard {
    let random = &mut stream(1, Purpose::Split, None, 0);
    let mut features = Vec::new();
    for example in 0..120 {
        features.extend((0..6).map(|j| {
            let about = if example % 3 == j % 3 { 1.0 } else { 0.0 };
            about + random.random_range(-0.6..0.6)
        }));
    }
    let label = |example: u16| if example < 10 { (example + 1) % 3 } else { example % 3 };
    let dataset = Dataset::new(vec![6], 3, Features::Floats(features), (0..120).map(label).collect());
    Shard::whole(dataset.unwrap().into())
}

/// How many examples of a wrong label, and of the right one, this stage drops from such a shard.
pub(super) fn dropped(shard: &Shard, stage: &dyn Stage) -> (usize, usize) {
    let kept = stage.sanitise(shard.clone(), &mut stream(1, Purpose::Sanitising, None, 0)).unwrap();
    assert!(kept.indices().is_sorted(), "{:?}", kept.indices());
    let wrong = kept.indices().iter().filter(|index| **index < 10).count();
    (10 - wrong, 110 - (kept.len() - wrong))
}

/// Why a scenario with this stage and one of its settings is refused.
pub(super) fn refused(kind: &str, setting: &str) -> String {
    let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
    let settings = [format!("defense.kind={kind}"), format!("defense.{setting}")];
    Scenario::parse("t.toml", text, &settings).unwrap_err().to_string()
}

/// Evidence of (errors of 10, loss), with all updates and without each.
pub(super) fn evidence(with_all: (usize, f64), without: &[(usize, f64)]) -> LeaveOneOut {
    let evaluation = |&(errors, loss): &(usize, f64)| Evaluation {
        examples: 10,
        errors,
        error_rate: errors as f64 / 10.0,
        loss,
    };
    LeaveOneOut {
        with_all: evaluation(&with_all),
        without: without.iter().map(evaluation).collect(),
        tie_breakers: vec![(false, 0); without.len()],
    }
}
