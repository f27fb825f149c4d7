//! An attack that is a program of the user's own.

use std::iter::zip;

use candle_core::{DType, Device, Tensor};
use input::unfit::Unfit;
use learning::random::Stream;
use program::{Fault, Inputs, Numbers, Written};
use rand::Rng as _;
use robust::{Form, OtherProgram, Rows, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{External, Given, KEPT};
use crate::attacks::{Attack, AttackError, Conditions, Knowledge, Needs, View};

/// A program of your own, in whatever language, crafts what compromised devices send.
///
/// It runs on the device that leads the others, and only if the configuration of that device allows exactly this command. A round
/// in which it fails has the compromised devices send what they trained, and the log says why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct ProgramAttack {
    /// The program.
    #[serde(flatten)]
    pub program: External,
    /// What the attacker knows.
    pub knowledge: Knowledge,
}

/// What is drawn is a whole number below this, which also a 32-bit float holds.
const SEEDS: u32 = 1 << 24;

/// What it is asked.
#[derive(Serialize)]
struct Question {
    r#do: &'static str,
    round: u32,
    /// Drawn anew for each round.
    seed: u64,
    rows: usize,
    columns: usize,
    byzantine: usize,
    given: Given,
    devices: Vec<String>,
    /// The rows of compromised devices.
    colluders: Vec<usize>,
    /// How many devices take part in the round.
    selected: usize,
}

/// What it answers beside its numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ok: bool,
    /// Whether the devices are to send what they trained.
    #[serde(default)]
    honest: bool,
    keep: Option<usize>,
}

impl Attack for ProgramAttack {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        self.program.check(["attack.command", "attack.seconds"])
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn draw(&self, rank: usize, random: &mut Stream, values: &mut [f64]) {
        if let (0, [first, ..]) = (rank, values) {
            *first = random.random_range(0..SEEDS).into();
        }
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let (known, columns, given) =
            (self.knowledge.rows(view), view.global_values.len(), self.program.given);
        let seed = view.drawn.get(0)?.get(0)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let is_colluder = |row: &u32| view.colluders.contains(row);
        let question = Question {
            r#do: "craft",
            round: view.round,
            seed: seed as u64,
            rows: known.len(),
            columns,
            byzantine: view.byzantine,
            given,
            devices: known.iter().map(|row| view.devices[*row as usize].to_string()).collect(),
            colluders: zip(0.., &known).filter(|(_, row)| is_colluder(row)).map(|(place, _)| place).collect(),
            selected: view.selected,
        };
        let colluders = question.colluders.len();
        let models = view.rows(&known)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let models: Vec<&[f32]> = models.chunks_exact(columns).collect();
        let rows = Rows::of_models(&models, Some(view.global_values), Form::from(given));
        let updates = Numbers { rows: known.len(), columns, copy: &|row, from, to| rows.copy(row, from, to) };
        let inputs = Inputs {
            updates: &updates,
            global: view.global_values,
            state: state.get(KEPT).unwrap_or_default(),
        };
        let read = |answer: Answer, written: &Written| {
            Ok((crafted(&answer, written, colluders, columns)?, written.kept(answer.keep)?))
        };
        let asked = self.program.host.ask(self.program.terms(), &question, inputs, read);
        let (crafted, keep) = asked.map_err(AttackError::Program)?;
        super::keep(state, keep);
        let Some(mut crafted) = crafted else { return Ok(None) };
        if given == Given::Updates {
            for row in crafted.chunks_exact_mut(columns) {
                zip(row, view.global_values).for_each(|(value, global)| *value += global);
            }
        }
        Ok(Some(Tensor::from_vec(crafted, (colluders, columns), view.models.device())?))
    }

    fn program(&self) -> Option<&dyn OtherProgram> {
        Some(&self.program)
    }
}

fn crafted(
    answer: &Answer,
    written: &Written,
    rows: usize,
    columns: usize,
) -> Result<Option<Vec<f32>>, Fault> {
    super::is_ok(answer.ok)?;
    if answer.honest { Ok(None) } else { written.rows(rows, columns).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::script;
    use crate::Scenario;
    use crate::attacks::testing::{crafted, scenario};

    fn attacked(body: &str, settings: &[&str]) -> Scenario {
        let command = serde_json::Value::from(script(&format!("while read -r line; do {body}; done")));
        let command = format!("attack.command={command}");
        let scenario = scenario(&[&["attack.kind=program", &command], settings].concat());
        scenario.attack.kind.as_ref().unwrap().program().unwrap().allow();
        scenario
    }

    /// Three models of two values, and what of them the first and the last device, which are compromised, send.
    fn sent(scenario: &Scenario) -> Result<Vec<Vec<f32>>, String> {
        let models = [vec![2.0, 3.0], vec![4.0, 5.0], vec![6.0, 8.0]];
        crafted(scenario, &[1.0, 1.0], &models, &[0, 2]).map_err(|error| error.to_string())
    }

    const LAST_TWO_ROWS: &str = r#"tail -c 16 "$(path updates)" > "$(path answer)"; echo '{"ok":true}'"#;

    #[test]
    fn a_row_is_sent_for_each_compromised_device_whether_it_is_a_model_or_an_update() {
        for given in ["attack.given=updates", "attack.given=models"] {
            let partial = sent(&attacked(LAST_TWO_ROWS, &[given])).unwrap();
            assert_eq!(partial, [[2.0, 3.0], [6.0, 8.0]], "it is not given those of others");
            let full = sent(&attacked(LAST_TWO_ROWS, &[given, "attack.knowledge=full"])).unwrap();
            assert_eq!(full, [[4.0, 5.0], [6.0, 8.0]]);
        }
    }

    #[test]
    fn it_may_say_that_they_are_to_send_what_they_trained() {
        let honest = attacked("echo '{\"ok\":true,\"honest\":true}'", &[]);
        assert_eq!(sent(&honest).unwrap(), [[2.0, 3.0], [6.0, 8.0]]);
    }

    #[test]
    fn the_question_says_which_rows_are_of_compromised_devices() {
        let refuses = r#"printf '{"error":"%s"}\n' "$(printf %s "$line" | tr '"' "'")""#;
        let said = sent(&attacked(refuses, &["attack.knowledge=full", "seed=3"])).unwrap_err();
        for part in
            ["'do':'craft','round':1,'seed':", "'colluders':[0,2],'selected':100,'updates':", "'rows':3,"]
        {
            assert!(said.contains(part), "{said}");
        }
        let seed = |said: &str| said.split("'seed':").nth(1).unwrap().split(',').next().unwrap().to_owned();
        let again = sent(&attacked(refuses, &["attack.knowledge=full", "seed=3"])).unwrap_err();
        let another = sent(&attacked(refuses, &["attack.knowledge=full", "seed=4"])).unwrap_err();
        assert_eq!(seed(&said), seed(&again));
        assert_ne!(seed(&said), seed(&another));
    }

    #[test]
    fn what_fails_is_told_with_its_words() {
        let refused = sent(&attacked("echo 'no such file' >&2; exit 2", &[])).unwrap_err();
        assert!(refused.ends_with("with exit status: 2: no such file"), "{refused}");
        let short = sent(&attacked("echo '{\"ok\":true}'", &[])).unwrap_err();
        assert!(short.contains("it wrote 0 bytes to `answer`, where 2 x 2 numbers"), "{short}");
    }
}
