//! The paper's tables.

use scenario::ResultModel;

use super::experiment::{Case, Experiment, Line, Shape};

/// Every table.
pub(super) fn all() -> Vec<Experiment> {
    let mut tables = table2();
    tables.extend([table3(), table4(), table5(), table6(), table7b(), table8()]);
    tables
}

/// Rule as in a scenario, label, and the attack that the paper directs at it.
const RULES: [(&str, &str, &str); 3] = [
    ("krum", "Krum", "krum"),
    ("trimmed-mean", "trimmed mean", "trimmed-mean"),
    ("median", "median", "trimmed-mean"),
];

pub(super) fn lines(labels: &[&str]) -> Vec<Line> {
    labels.iter().map(|label| Line { label: (*label).to_owned() }).collect()
}

pub(super) fn settings(parts: &[&str]) -> Vec<String> {
    parts.iter().filter(|part| !part.is_empty()).map(|part| (*part).to_owned()).collect()
}

fn rule(name: &str) -> String {
    format!("aggregation.rule={name}")
}

/// A case whose result is the last global model.
fn case(settings: Vec<String>, paper: f64) -> Case {
    Case { settings, result: ResultModel::Last, paper: Some(paper) }
}

/// An attack with the given knowledge.
fn attack(kind: &str, knowledge: &str) -> [String; 2] {
    [format!("attack.kind={kind}"), format!("attack.knowledge={knowledge}")]
}

pub(super) const NO_ATTACK: &str = "attack.kind=none";
const KNOWLEDGE_NOTE: &str = "Mean testing error over the seeds, of the last global model.";

const TABLE2_COLUMNS: [&str; 5] = ["no attack", "Gaussian", "label flip", "partial", "full"];

/// The five columns of Table 2 for each rule, on top of `base`.
fn table2_cases(base: &[&str], paper: &[[f64; 5]; 3]) -> Vec<Case> {
    let mut cases = Vec::new();
    for ((name, _, kind), figures) in RULES.iter().zip(paper) {
        let columns: [Vec<String>; 5] = [
            settings(&[NO_ATTACK]),
            settings(&["attack.kind=gaussian"]),
            settings(&["attack.kind=label-flip"]),
            attack(kind, "partial").to_vec(),
            attack(kind, "full").to_vec(),
        ];
        for (column, figure) in columns.into_iter().zip(figures) {
            let mut all = settings(base);
            all.push(rule(name));
            all.extend(column);
            cases.push(case(all, *figure));
        }
    }
    cases
}

fn by_rule_and_attack(
    id: &'static str,
    title: &'static str,
    base: &[&str],
    paper: [[f64; 5]; 3],
) -> Experiment {
    Experiment {
        id,
        title,
        shape: Shape::Table,
        rows: lines(&RULES.map(|(_, label, _)| label)),
        columns: lines(&TABLE2_COLUMNS),
        cases: table2_cases(base, &paper),
        note: KNOWLEDGE_NOTE,
    }
}

fn table2() -> Vec<Experiment> {
    vec![
        by_rule_and_attack(
            "table2a",
            "Table 2a: MNIST, logistic regression",
            &[],
            [[0.14, 0.13, 0.13, 0.72, 0.80], [0.12, 0.11, 0.13, 0.23, 0.52], [0.13, 0.13, 0.15, 0.19, 0.29]],
        ),
        by_rule_and_attack(
            "table2b",
            "Table 2b: MNIST, DNN",
            &["model=dnn", "rounds=2000"],
            [[0.11, 0.10, 0.10, 0.75, 0.77], [0.06, 0.07, 0.07, 0.14, 0.23], [0.06, 0.06, 0.16, 0.28, 0.32]],
        ),
        by_rule_and_attack(
            "table2c",
            "Table 2c: Fashion-MNIST, DNN",
            &["dataset=fashion-mnist", "model=dnn", "rounds=2000", "training.batch-size=64"],
            [[0.16, 0.16, 0.16, 0.90, 0.91], [0.10, 0.10, 0.12, 0.26, 0.28], [0.09, 0.12, 0.12, 0.21, 0.29]],
        ),
        by_rule_and_attack(
            "table2d",
            "Table 2d: CH-MNIST, ResNet20",
            &["dataset=ch-mnist", "model=resnet20", "rounds=2000"],
            [[0.29, 0.30, 0.43, 0.73, 0.81], [0.17, 0.25, 0.37, 0.69, 0.69], [0.17, 0.20, 0.17, 0.57, 0.63]],
        ),
        by_rule_and_attack(
            "table2e",
            "Table 2e: Breast Cancer Wisconsin (Diagnostic), DNN",
            &["dataset=breast-cancer", "model=dnn", "rounds=2000"],
            [[0.03, 0.04, 0.14, 0.17, 0.17], [0.02, 0.03, 0.05, 0.14, 0.15], [0.03, 0.03, 0.04, 0.17, 0.18]],
        ),
    ]
}

fn table3() -> Experiment {
    let mut table = by_rule_and_attack(
        "table3",
        "Table 3: MNIST, DNN, the global model of lowest testing error is kept",
        &["model=dnn", "rounds=2000"],
        [[0.10, 0.10, 0.09, 0.69, 0.70], [0.06, 0.06, 0.07, 0.12, 0.18], [0.06, 0.06, 0.06, 0.11, 0.32]],
    );
    table.cases.iter_mut().for_each(|case| case.result = ResultModel::Best);
    table.note = "Mean testing error over the seeds, of the global model of lowest testing error among those evaluated. The runs are those of Table 2b.";
    table
}

/// Rows are settings, columns the three rules.
fn by_setting_and_rule(
    id: &'static str,
    title: &'static str,
    rows: &[(&'static str, &[&str], [f64; 3])],
) -> Experiment {
    let cases = rows.iter().flat_map(|(_, base, figures)| {
        RULES.iter().zip(figures).map(|((name, ..), figure)| {
            let mut all = settings(base);
            all.push(rule(name));
            case(all, *figure)
        })
    });
    Experiment {
        id,
        title,
        shape: Shape::Table,
        cases: cases.collect(),
        rows: rows.iter().map(|(label, ..)| Line { label: (*label).to_owned() }).collect(),
        columns: lines(&RULES.map(|(_, label, _)| label)),
        note: KNOWLEDGE_NOTE,
    }
}

fn table4() -> Experiment {
    by_setting_and_rule(
        "table4",
        "Table 4: attacks crafted for another rule (MNIST, logistic regression, partial knowledge)",
        &[
            ("no attack", &[NO_ATTACK], [0.14, 0.12, 0.13]),
            ("Krum attack", &["attack.kind=krum"], [0.70, 0.15, 0.18]),
            ("trimmed-mean attack", &["attack.kind=trimmed-mean"], [0.14, 0.25, 0.20]),
        ],
    )
}

fn table5() -> Experiment {
    const RULES5: [(&str, &str, &str, [f64; 5]); 4] = [
        ("mean", "mean", "trimmed-mean", [0.10, 0.11, 0.15, 0.54, 0.69]),
        ("krum", "Krum", "krum", [0.23, 0.24, 0.25, 0.85, 0.89]),
        ("trimmed-mean", "trimmed mean", "trimmed-mean", [0.12, 0.12, 0.13, 0.27, 0.32]),
        ("median", "median", "trimmed-mean", [0.13, 0.13, 0.14, 0.19, 0.21]),
    ];
    let mut cases = Vec::new();
    for (name, _, kind, figures) in RULES5 {
        let columns: [Vec<String>; 5] = [
            settings(&[NO_ATTACK]),
            settings(&["attack.kind=back-gradient", "attack.placement=single"]),
            settings(&["attack.kind=back-gradient", "attack.placement=uniform"]),
            attack(kind, "partial").to_vec(),
            attack(kind, "full").to_vec(),
        ];
        for (column, figure) in columns.into_iter().zip(figures) {
            let mut all = settings(&["data.train-examples=6000", "fleet.non-iid=0.1"]);
            all.push(rule(name));
            all.extend(column);
            cases.push(case(all, figure));
        }
    }
    Experiment {
        id: "table5",
        title: "Table 5: back-gradient poisoning (MNIST, 6,000 examples, logistic regression, IID)",
        shape: Shape::Table,
        rows: lines(&RULES5.map(|(_, label, ..)| label)),
        columns: lines(&["no attack", "BGA single", "BGA uniform", "partial", "full"]),
        cases,
        note: KNOWLEDGE_NOTE,
    }
}

fn table6() -> Experiment {
    const DEFENSES: [(&str, &str); 4] =
        [("", "none"), (" + ERR", "err"), (" + LFR", "lfr"), (" + Union", "union")];
    const FIGURES: [[[f64; 3]; 4]; 3] = [
        [[0.14, 0.72, 0.13], [0.14, 0.62, 0.13], [0.14, 0.58, 0.14], [0.14, 0.48, 0.14]],
        [[0.12, 0.15, 0.23], [0.12, 0.17, 0.21], [0.12, 0.18, 0.12], [0.12, 0.18, 0.12]],
        [[0.13, 0.17, 0.19], [0.13, 0.21, 0.25], [0.13, 0.20, 0.13], [0.13, 0.19, 0.14]],
    ];
    let attacks = [NO_ATTACK, "attack.kind=krum", "attack.kind=trimmed-mean"];
    let (mut rows, mut cases) = (Vec::new(), Vec::new());
    for ((name, label, _), figures) in RULES.iter().zip(FIGURES) {
        for ((suffix, kind), figures) in DEFENSES.iter().zip(figures) {
            rows.push(Line { label: format!("{label}{suffix}") });
            for (attack, figure) in attacks.iter().zip(figures) {
                let mut all = settings(&[attack]);
                all.extend([rule(name), format!("defense.kind={kind}")]);
                cases.push(case(all, figure));
            }
        }
    }
    Experiment {
        id: "table6",
        title: "Table 6: defenses (MNIST, logistic regression, partial knowledge)",
        shape: Shape::Table,
        rows,
        columns: lines(&["no attack", "Krum attack", "trimmed-mean attack"]),
        cases,
        note: KNOWLEDGE_NOTE,
    }
}

fn table7b() -> Experiment {
    let base = "aggregation.rule=bulyan";
    let columns = [
        (vec![NO_ATTACK.to_owned()], 0.14),
        (attack("krum", "partial").to_vec(), 0.36),
        (attack("krum", "full").to_vec(), 0.38),
    ];
    let cell = |(column, figure): (Vec<String>, f64)| {
        let mut all = settings(&[base]);
        all.extend(column);
        case(all, figure)
    };
    Experiment {
        id: "table7b",
        title: "Table 7b: Bulyan under the Krum attack (MNIST, logistic regression)",
        shape: Shape::Table,
        rows: lines(&["Bulyan"]),
        columns: lines(&["no attack", "partial", "full"]),
        cases: columns.into_iter().map(cell).collect(),
        note: KNOWLEDGE_NOTE,
    }
}

fn table8() -> Experiment {
    let figures = [
        ("undirected", "deviation goal", [0.87, 0.10, 0.12]),
        ("directed", "directed deviation", [0.80, 0.52, 0.29]),
    ];
    let mut cases = Vec::new();
    for (goal, _, figures) in figures {
        for ((name, _, kind), figure) in RULES.iter().zip(figures) {
            let mut all = attack(kind, "full").to_vec();
            all.extend([rule(name), format!("attack.goal={goal}")]);
            cases.push(case(all, figure));
        }
    }
    Experiment {
        id: "table8",
        title: "Table 8: deviation goal and directed deviation goal (MNIST, logistic regression, full knowledge)",
        shape: Shape::Table,
        rows: lines(&figures.map(|(_, label, _)| label)),
        columns: lines(&RULES.map(|(_, label, _)| label)),
        cases,
        note: KNOWLEDGE_NOTE,
    }
}
