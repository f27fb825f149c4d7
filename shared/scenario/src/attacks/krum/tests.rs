use proptest::collection::vec;
use proptest::prelude::*;
use robust::{Byzantine, Executor as _, Krum, Processors, Updates};

use super::super::testing::{crafted, scenario};

fn column(values: &[f32]) -> Vec<Vec<f32>> {
    values.iter().map(|&value| vec![value]).collect()
}

/// What the attack makes of `rows`, the first `colluders` of them compromised, seen from the model `global`; all copies of
/// it are alike.
fn craft(
    settings: &[&str],
    global: &[f32],
    rows: &[Vec<f32>],
    colluders: usize,
) -> Result<Vec<Vec<f32>>, String> {
    let alike = ["attack.kind=krum", "attack.epsilon=0"];
    let scenario = scenario(&[&alike, settings].concat());
    let colluders: Vec<usize> = (0..colluders).collect();
    crafted(&scenario, global, rows, &colluders).map_err(|error| error.to_string())
}

fn partial(global: &[f32], rows: &[Vec<f32>], colluders: usize) -> Vec<Vec<f32>> {
    craft(&[], global, rows, colluders).unwrap()
}

fn full(global: &[f32], rows: &[Vec<f32>], colluders: usize) -> Result<Vec<Vec<f32>>, String> {
    let byzantine = format!("aggregation.byzantine={colluders}");
    craft(&["attack.knowledge=full", &byzantine], global, rows, colluders)
}

#[test]
fn full_knowledge_halves_lambda_until_krum_selects_the_crafted_model() {
    // m = 7, c = 2: 3 neighbours. Bound: (1 + 1 + 2) / (m - 2c - 1) + 10 = 12. At -λ the crafted model scores
    // 0 + (1 + λ) + (2 + λ), and the best benign ones 1 + 1 + 2: λ <= 0.5. From 12 by halves: 0.375.
    let rows = column(&[2.0, 2.0, 1.0, 2.0, 3.0, 4.0, 10.0]);
    assert_eq!(full(&[0.0], &rows, 2).unwrap(), column(&[-0.375, -0.375]));
}

#[test]
fn partial_knowledge_adds_copies_until_krum_selects_one() {
    // c = 4: 2 neighbours. One copy scores at least 1 + 2 where 2 scores 1 + 1. Two score 1 + λ: λ <= 1. From the
    // bound 2 / 1 + 10 = 12 by halves: 0.75.
    assert_eq!(partial(&[0.0], &column(&[1.0, 2.0, 3.0, 10.0]), 4), column(&[-0.75; 4]));
}

#[test]
fn one_copy_is_enough_where_krum_selects_it() {
    // g = 2 lies in the middle: one copy at 2 - λ scores 1 - λ + 1 + λ up to λ = 1, and so does 1.
    // Bound: (1 + 2) / 2 + 8 = 9.5 by halves: 0.59375.
    assert_eq!(partial(&[2.0], &column(&[1.0, 3.0, 4.0, 10.0]), 4), column(&[2.0 - 0.59375; 4]));
}

#[test]
fn without_a_lambda_of_at_least_the_threshold_devices_behave() {
    let rows = column(&[1.0, 2.0, 3.0, 10.0]);
    assert_eq!(craft(&["attack.threshold=1.0"], &[0.0], &rows, 4).unwrap(), rows);
    // One crafted model scores at least 1 + 2 where the benign 2 scores 1 + 1.
    let rows = column(&[2.0, 1.0, 2.0, 3.0, 10.0]);
    assert_eq!(full(&[0.0], &rows, 1).unwrap(), rows[..1]);
}

#[test]
fn too_few_colluders_behave() {
    for count in 1..=2 {
        let rows = column(&[1.0, 2.0][..count]);
        assert_eq!(partial(&[0.0], &rows, count), rows);
    }
}

#[test]
fn where_krum_cannot_run_nothing_is_crafted() {
    let refused = full(&[0.0], &column(&[1.0, 2.0, 3.0, 4.0]), 1).unwrap_err();
    assert!(refused.contains("krum needs byzantine < (devices - 2) / 2"), "{refused}");
}

#[test]
fn the_undirected_goal_goes_down_wherever_the_others_go() {
    let rows = column(&[-1.0, -2.0, -3.0, -10.0]);
    assert_eq!(partial(&[0.0], &rows, 4), column(&[0.75; 4]));
    let undirected = craft(&["attack.goal=undirected"], &[0.0], &rows, 4).unwrap();
    assert!(undirected.iter().all(|model| model[0] < 0.0));
}

#[test]
fn supporters_lie_within_epsilon_each_in_its_own_place() {
    let rows = [0.9, 1.0, 1.1].map(|value| vec![value; 1000]);
    let rows: Vec<Vec<f32>> = rows.into_iter().cycle().take(20).collect();
    let scenario = scenario(&["attack.kind=krum", "attack.epsilon=0.5"]);
    let colluders: Vec<usize> = (0..20).collect();
    let models = crafted(&scenario, &[0.25; 1000], &rows, &colluders).unwrap();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(models[0][0] < 0.25 && models[0].iter().all(|value| *value == models[0][0]));
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
        let crafted = full(&[0.0; 5], &rows, colluders).unwrap();
        prop_assume!(crafted != rows[..colluders]);
        let received = [crafted.clone(), rows[colluders..].to_vec()].concat();
        let received: Vec<&[f32]> = received.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&received, None).unwrap();
        let output = Processors.aggregate(&Krum::default(), &updates, Byzantine::of(colluders)).unwrap().values;
        prop_assert_eq!(&output, &crafted[0]);
        let lambda = output[0].abs();
        for (j, value) in output.into_iter().enumerate() {
            let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>();
            prop_assert_eq!(value, if mean > 0.0 { -lambda } else { lambda });
        }
    }
}
