use proptest::collection::vec;
use proptest::prelude::*;
use shared::rules::Updates;

use super::*;

/// Models of `rows`, the first `colluders` of them compromised, as a view from the model `global`.
fn with_view<T>(global: &[f32], rows: &[Vec<f32>], colluders: usize, test: impl FnOnce(View<'_>) -> T) -> T {
    let models: Vec<(DeviceId, &[f32])> = (0..).map(DeviceId).zip(rows.iter().map(Vec::as_slice)).collect();
    let (before_attack, benign) = models.split_at(colluders);
    test(View { seed: 1, round: 1, global, before_attack, benign })
}

fn column(values: &[f32]) -> Vec<Vec<f32>> {
    values.iter().map(|&value| vec![value]).collect()
}

fn tactics() -> Tactics {
    Tactics { goal: Goal::Directed, epsilon: 0.0, threshold: 1e-5 }
}

fn full(byzantine: usize) -> FullKrum {
    FullKrum { tactics: tactics(), krum: Krum { byzantine }, without_attack: WithoutAttack { rule: None } }
}

fn partial() -> PartialKrum {
    PartialKrum { tactics: tactics() }
}

#[test]
fn full_knowledge_halves_lambda_until_krum_selects_the_crafted_model() {
    // m = 7, c = 2: 3 neighbours. Bound: (1 + 1 + 2) / (m - 2c - 1) + 10 = 12. At -λ the crafted model scores
    // 0 + (1 + λ) + (2 + λ), and the best benign ones 1 + 1 + 2: λ <= 0.5. From 12 by halves: 0.375.
    let rows = column(&[2.0, 2.0, 1.0, 2.0, 3.0, 4.0, 10.0]);
    let crafted = with_view(&[0.0], &rows, 2, |view| full(2).craft(&view).unwrap());
    assert_eq!(crafted, column(&[-0.375, -0.375]));
}

#[test]
fn partial_knowledge_adds_copies_until_krum_selects_one() {
    // c = 4: 2 neighbours. One copy scores at least 1 + 2 where 2 scores 1 + 1. Two score 1 + λ: λ <= 1. From the
    // bound 2 / 1 + 10 = 12 by halves: 0.75.
    let rows = column(&[1.0, 2.0, 3.0, 10.0]);
    let crafted = with_view(&[0.0], &rows, 4, |view| partial().craft(&view).unwrap());
    assert_eq!(crafted, column(&[-0.75; 4]));
}

#[test]
fn one_copy_is_enough_where_krum_selects_it() {
    // g = 2 lies in the middle: one copy at 2 - λ scores 1 - λ + 1 + λ up to λ = 1, and so does 1.
    // Bound: (1 + 2) / 2 + 8 = 9.5 by halves: 0.59375.
    let rows = column(&[1.0, 3.0, 4.0, 10.0]);
    let crafted = with_view(&[2.0], &rows, 4, |view| partial().craft(&view).unwrap());
    assert_eq!(crafted, column(&[2.0 - 0.59375; 4]));
}

#[test]
fn without_a_lambda_of_at_least_the_threshold_devices_behave() {
    let rows = column(&[1.0, 2.0, 3.0, 10.0]);
    let cautious = PartialKrum { tactics: Tactics { threshold: 1.0, ..tactics() } };
    assert_eq!(with_view(&[0.0], &rows, 4, |view| cautious.craft(&view).unwrap()), rows);
    // One crafted model scores at least 1 + 2 where the benign 2 scores 1 + 1.
    let rows = column(&[2.0, 1.0, 2.0, 3.0, 10.0]);
    assert_eq!(with_view(&[0.0], &rows, 1, |view| full(1).craft(&view).unwrap()), rows[..1]);
}

#[test]
fn too_few_colluders_behave() {
    for count in 1..=2 {
        let rows = column(&[1.0, 2.0][..count]);
        assert_eq!(with_view(&[0.0], &rows, count, |view| partial().craft(&view).unwrap()), rows);
    }
}

#[test]
fn where_krum_cannot_run_nothing_is_crafted() {
    let rows = column(&[1.0, 2.0, 3.0, 4.0]);
    let refused = with_view(&[0.0], &rows, 1, |view| full(1).craft(&view).unwrap_err().to_string());
    assert!(refused.contains("krum needs byzantine < (devices - 2) / 2"), "{refused}");
}

#[test]
fn the_undirected_goal_goes_down_wherever_the_others_go() {
    let rows = column(&[-1.0, -2.0, -3.0, -10.0]);
    let craft = |goal| {
        let attack = PartialKrum { tactics: Tactics { goal, ..tactics() } };
        with_view(&[0.0], &rows, 4, |view| attack.craft(&view).unwrap())
    };
    assert_eq!(craft(Goal::Directed), column(&[0.75; 4]));
    assert!(craft(Goal::Undirected).iter().all(|model| model[0] < 0.0));
}

#[test]
fn supporters_lie_within_epsilon_each_in_its_own_place() {
    let tactics = Tactics { epsilon: 0.5, ..tactics() };
    let rows = vec![vec![1.0; 1000]; 20];
    let models = with_view(&[0.25; 1000], &rows, 20, |view| tactics.models(&view, &[1.0; 1000], Some(0.5)));
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert_eq!(models[0], [-0.25; 1000]);
    let radii: Vec<f32> = models[1..].iter().map(|model| distance(model, &models[0])).collect();
    assert!(radii.iter().all(|radius| (0.0..=0.5).contains(radius)), "{radii:?}");
    assert!(radii.iter().any(|radius| *radius < 0.2), "not all at the surface: {radii:?}");
    assert!(models.iter().enumerate().all(|(i, model)| !models[..i].contains(model)));
}

proptest! {
    #[test]
    fn krum_outputs_the_crafted_model_and_it_lies_against_the_direction(
        rows in vec(vec(-1000.0..1000.0_f32, 5), 9..14),
    ) {
        let colluders = (rows.len() - 3) / 2;
        let crafted = with_view(&[0.0; 5], &rows, colluders, |view| full(colluders).craft(&view).unwrap());
        prop_assume!(crafted != rows[..colluders]);
        let received = [crafted.clone(), rows[colluders..].to_vec()].concat();
        let received: Vec<&[f32]> = received.iter().map(Vec::as_slice).collect();
        let output = Krum { byzantine: colluders }.aggregate(&Updates::new(&received, None).unwrap()).unwrap();
        prop_assert_eq!(&output, &crafted[0]);
        let all: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let lambda = output[0].abs();
        for (value, mean) in output.into_iter().zip(mean(&all)) {
            prop_assert_eq!(value, if mean > 0.0 { -lambda } else { lambda });
        }
    }
}
