//! The paper's figures. It gives their values as curves only, so these stand alone.

use scenario::{ResultModel, key_of};

use super::experiment::{Case, Experiment, Line, Shape};
use super::tables::{NO_ATTACK, settings};

/// Every figure.
pub(super) fn all() -> Vec<Experiment> {
    let mut figures = Vec::new();
    for (model, base) in [(Model::Lr, &[][..]), (Model::Dnn, &["model=dnn", "rounds=2000"][..])] {
        let lr = model == Model::Lr;
        figures.push(figure(
            if lr { "figure2-lr" } else { "figure2-dnn" },
            if lr {
                "Figure 2: share of compromised devices (logistic regression)"
            } else {
                "Figure 2: share of compromised devices (DNN)"
            },
            "compromised devices of 100",
            base,
            &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0],
            &|c| {
                if c == 0.0 {
                    vec!["fleet.compromised=0".into(), "attack.kind=none".into()]
                } else {
                    vec![format!("fleet.compromised={c}")]
                }
            },
        ));
        figures.push(figure(
            if lr { "figure3-lr" } else { "figure3-dnn" },
            if lr {
                "Figure 3: degree of non-IID (logistic regression)"
            } else {
                "Figure 3: degree of non-IID (DNN)"
            },
            "non-IID degree p",
            base,
            &[0.1, 0.3, 0.5, 0.7, 0.9],
            &|p| vec![format!("fleet.non-iid={p}")],
        ));
    }
    figures.extend([
        figure(
            "figure4a",
            "Figure 4a: local steps",
            "local steps R",
            &[],
            &[1.0, 2.0, 4.0, 6.0, 8.0, 10.0],
            &|r| vec![format!("training.local-steps={r}")],
        ),
        figure(
            "figure4b",
            "Figure 4b: number of devices, a fifth of them compromised",
            "devices m",
            &[],
            &[50.0, 100.0, 200.0, 300.0, 400.0],
            &|m| vec![format!("fleet.devices={m}"), format!("fleet.compromised={}", m / 5.0)],
        ),
        figure(
            "figure4c",
            "Figure 4c: devices selected in each round",
            "devices selected of 100",
            &[],
            &[40.0, 60.0, 80.0, 100.0],
            // The rules assume the compromised devices' share of those selected.
            &|n| vec![format!("fleet.selected={n}"), format!("aggregation.byzantine={}", n / 5.0)],
        ),
        figure_of(
            "figure5a",
            "Figure 5a: values that the trimmed mean drops at either end",
            "beta",
            &[],
            &[20.0, 25.0, 30.0, 35.0, 40.0, 45.0],
            &TRIMMED,
            &|b| vec![format!("aggregation.trim={b}")],
        ),
        figure_of(
            "figure5b",
            "Figure 5b: distance of the supporters in the Krum attack",
            "epsilon",
            &[],
            &[0.001, 0.01, 0.1, 1.0, 10.0],
            &KRUM,
            &|epsilon| vec![format!("attack.epsilon={epsilon}")],
        ),
        figure(
            "figure5c",
            "Figure 5c: share of poisoned rounds",
            "share of rounds",
            &[],
            &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            &|share| {
                if share == 0.0 {
                    vec!["attack.kind=none".into()]
                } else {
                    vec![format!("attack.round-fraction={share}")]
                }
            },
        ),
    ]);
    figures
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Model {
    Lr,
    Dnn,
}

/// Label, rule, attack and knowledge of a line.
type Curve = (&'static str, &'static str, &'static str, &'static str);

const CURVES: [Curve; 6] = [
    ("Krum, partial", "krum", "krum", "partial"),
    ("Krum, full", "krum", "krum", "full"),
    ("trimmed mean, partial", "trimmed-mean", "trimmed-mean", "partial"),
    ("trimmed mean, full", "trimmed-mean", "trimmed-mean", "full"),
    ("median, partial", "median", "trimmed-mean", "partial"),
    ("median, full", "median", "trimmed-mean", "full"),
];
const KRUM: [Curve; 2] = [CURVES[0], CURVES[1]];
const TRIMMED: [Curve; 2] = [CURVES[2], CURVES[3]];

fn figure(
    id: &'static str,
    title: &'static str,
    axis: &'static str,
    base: &[&str],
    positions: &[f64],
    settings_at: &dyn Fn(f64) -> Vec<String>,
) -> Experiment {
    figure_of(id, title, axis, base, positions, &CURVES, settings_at)
}

fn figure_of(
    id: &'static str,
    title: &'static str,
    axis: &'static str,
    base: &[&str],
    positions: &[f64],
    curves: &[Curve],
    settings_at: &dyn Fn(f64) -> Vec<String>,
) -> Experiment {
    let mut cases = Vec::new();
    for (_, rule, attack, knowledge) in curves {
        for &position in positions {
            let mut all = settings(base);
            all.extend([
                format!("aggregation.rule={rule}"),
                format!("attack.kind={attack}"),
                format!("attack.knowledge={knowledge}"),
            ]);
            // What a position says counts: where nobody attacks, nothing is known either.
            let own = settings_at(position);
            if own.iter().any(|setting| setting == NO_ATTACK) {
                all.retain(|setting| !key_of(setting).starts_with("attack."));
            }
            all.extend(own);
            cases.push(Case { settings: all, result: ResultModel::Last, paper: None });
        }
    }
    Experiment {
        id,
        title,
        shape: Shape::Figure { axis },
        rows: curves.iter().map(|(label, ..)| Line { label: (*label).to_owned() }).collect(),
        columns: positions.iter().map(|position| Line { label: position.to_string() }).collect(),
        cases,
        note: "Mean testing error over the seeds, of the last global model; the paper gives curves, not numbers.",
    }
}
