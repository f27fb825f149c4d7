//! A stage that is a program of the user's own.

use std::borrow::Cow;
use std::collections::BTreeSet;

use input::unfit::Unfit;
use program::{Fault, Inputs, Numbers, Written};
use robust::{Byzantine, Combination, OtherProgram, RuleError, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{External, Given, KEPT};
use crate::defense::{DefenseError, Gate, Mixture, Passed, Stage};

/// A program of your own, in whatever language, removes updates, or mixes them.
///
/// A round in which it fails leaves the global model as it is, and the log says why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct ProgramStage {
    /// The program.
    #[serde(flatten)]
    pub program: External,
    /// How many updates it removes in a round at the most; default: the Byzantine devices assumed.
    pub remove: Option<u32>,
}

/// What it is asked.
#[derive(Serialize)]
struct Question {
    r#do: &'static str,
    round: u32,
    seed: u64,
    rows: usize,
    columns: usize,
    byzantine: usize,
    given: Given,
    devices: Vec<String>,
    examples: Option<Vec<f64>>,
    /// How many rows it may remove.
    remove: usize,
}

/// What it answers: rows that are removed, or the places of rows that are mixed anew.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ok: bool,
    remove: Option<Vec<usize>>,
    places: Option<Vec<usize>>,
    keep: Option<usize>,
}

impl Stage for ProgramStage {
    fn resolve(&mut self, byzantine: usize) {
        self.remove.get_or_insert(byzantine as u32);
    }

    fn check(&self) -> Result<(), Unfit> {
        self.program.check(["defense.command", "defense.seconds"])
    }

    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.saturating_sub(self.remove.unwrap_or_default() as usize)
    }

    fn pass(&self, gate: &Gate<'_>, state: &mut State) -> Result<Passed, DefenseError> {
        let (rows, columns, given) = (gate.devices.len(), gate.updates.dimension(), self.program.given);
        let remove = (self.remove.unwrap_or_default() as usize).min(rows);
        let question = Question {
            r#do: "screen",
            round: gate.round,
            seed: gate.seed,
            rows,
            columns,
            byzantine: gate.updates.byzantine().left(),
            given,
            devices: gate.devices.iter().map(ToString::to_string).collect(),
            examples: gate.updates.examples(),
            remove,
        };
        let origin = gate.updates.origin().map_or_else(|| vec![0.0; columns].into(), Cow::from);
        let (passed, keep) = gate.updates.with_rows(given.into(), |arrived| {
            let copy = |row, from, to: &mut [f32]| arrived.copy(row, from, to);
            let updates = Numbers { rows, columns, copy: &copy };
            let inputs =
                Inputs { updates: &updates, global: &origin, state: state.get(KEPT).unwrap_or_default() };
            let read = |answer: Answer, written: &Written| {
                let keep = written.kept(answer.keep)?;
                Ok((passed(answer, written, rows, rows - remove)?, keep))
            };
            let asked = self.program.host.ask(self.program.terms(), &question, inputs, read);
            asked.map_err(|error| RuleError::Program(error.to_string()))
        })?;
        super::keep(state, keep);
        Ok(passed)
    }

    fn program(&self) -> Option<&dyn OtherProgram> {
        Some(&self.program)
    }
}

/// What an answer lets through of so many rows, of which at least some must be left.
fn passed(answer: Answer, written: &Written, rows: usize, least: usize) -> Result<Passed, Fault> {
    super::is_ok(answer.ok)?;
    let wrong = |what: String| Err(Fault::Wrong(what));
    let too_few = |left: usize| {
        format!("it leaves {left} of {rows} rows, and at least {least} must be left: raise `remove`")
    };
    match (answer.remove, answer.places) {
        (Some(_), Some(_)) => wrong("give `remove` or `places`, not both".to_owned()),
        (Some(remove), None) => {
            super::rows_of("remove", &remove, rows)?;
            let removed: BTreeSet<usize> = remove.into_iter().collect();
            let left = rows - removed.len();
            if left < least { wrong(too_few(left)) } else { Ok(Passed::AllBut(removed)) }
        }
        (None, Some(places)) => {
            super::rows_of("places", &places, rows)?;
            if !places.is_sorted_by(|a, b| a < b) || places.is_empty() {
                return wrong(
                    "`places` must name rows in ascending order, each once, and at least one".to_owned(),
                );
            }
            if places.len() < least {
                return wrong(too_few(places.len()));
            }
            let weights = written.rows(places.len(), rows)?;
            let mixture = |(place, weights): (usize, &[f32])| {
                let of = Combination::of(weights.iter().copied().map(f64::from).collect());
                Mixture { place, of }
            };
            Ok(Passed::Mixed(places.into_iter().zip(weights.chunks_exact(rows)).map(mixture).collect()))
        }
        (None, None) => Ok(Passed::AllBut(BTreeSet::new())),
    }
}

#[cfg(test)]
mod tests {
    use robust::{Geometry, Round, Updates};
    use wire::identity::DeviceId;

    use super::super::testing::{allowed, script};
    use super::*;

    /// What passes of three rows, trained from zeros, where the program does this for a question.
    fn pass(body: &str, remove: u32) -> Result<Passed, DefenseError> {
        let command = script(&format!("while read -r line; do {body}; done"));
        let stage = ProgramStage { program: allowed(command, Given::Updates), remove: Some(remove) };
        let rows: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]];
        let updates = Updates::new(&rows, Some(&[1.0, 2.0, 3.0])).unwrap().from_origin(&[0.0; 2]).unwrap();
        let geometry = Geometry::of(&updates);
        let gate = Gate {
            seed: 7,
            attackers: &BTreeSet::new(),
            round: 4,
            devices: &[0, 3, 8].map(DeviceId),
            updates: Round::new(&geometry, Byzantine::of(1)),
            evaluate: &|| Err(DefenseError::NoExamples),
            represent: &|| Err(DefenseError::NoExamples),
        };
        stage.pass(&gate, &mut State::default())
    }

    #[test]
    fn rows_are_removed_or_let_through() {
        assert_eq!(pass("echo '{\"ok\":true}'", 1).unwrap(), Passed::AllBut(BTreeSet::new()));
        let removed = pass("echo '{\"ok\":true,\"remove\":[2,0,2]}'", 2).unwrap();
        assert_eq!(removed, Passed::AllBut([0, 2].into()));
    }

    #[test]
    fn rows_are_mixed_by_coefficients() {
        // 1, 0.5 and 0 for the first place, 0, 0 and 1 for the second.
        let weights = r"printf '\000\000\200\077\000\000\000\077\000\000\000\000\000\000\000\000\000\000\000\000\000\000\200\077'";
        let mixed =
            pass(&format!("{weights} > \"$(path answer)\"; echo '{{\"ok\":true,\"places\":[0,2]}}'"), 1)
                .unwrap();
        let mixture = |place, weights: &[f64]| Mixture { place, of: Combination::of(weights.to_vec()) };
        assert_eq!(mixed, Passed::Mixed(vec![mixture(0, &[1.0, 0.5, 0.0]), mixture(2, &[0.0, 0.0, 1.0])]));
    }

    #[test]
    fn the_question_says_how_many_may_be_removed() {
        let refuses = r#"printf '{"error":"%s"}\n' "$(printf %s "$line" | tr '"' "'")""#;
        let said = pass(refuses, 1).unwrap_err().to_string();
        let part = "'do':'screen','round':4,'seed':7,'rows':3,'columns':2,'byzantine':1,'given':'updates','devices':[\
                    'device-000','device-003','device-008'],'examples':[1.0,2.0,3.0],'remove':1,";
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn answers_that_cannot_be_are_refused_and_are_not_laid_to_the_model() {
        for (answer, said) in [
            (
                "{\"ok\":true,\"remove\":[0,1]}",
                "it leaves 1 of 3 rows, and at least 2 must be left: raise `remove`",
            ),
            ("{\"ok\":true,\"remove\":[3]}", "`remove` names row 3, and there are 3"),
            ("{\"ok\":true,\"places\":[1]}", "it leaves 1 of 3 rows"),
            ("{\"ok\":true,\"places\":[]}", "`places` must name rows in ascending order"),
            ("{\"ok\":true,\"places\":[1,0]}", "`places` must name rows in ascending order"),
            (
                "{\"ok\":true,\"places\":[0,1]}",
                "it wrote 0 bytes to `answer`, where 2 x 3 numbers of 4 bytes take 24",
            ),
            ("{\"ok\":true,\"places\":[0],\"remove\":[1]}", "give `remove` or `places`, not both"),
        ] {
            let refused = pass(&format!("echo '{answer}'"), 1).unwrap_err();
            assert!(matches!(refused, DefenseError::Rule(RuleError::Program(_))), "{refused:?}");
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn a_stage_without_a_program_is_refused_by_its_key() {
        let refused = crate::Scenario::parse(
            "t.toml",
            "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n[defense]\nkind = \"program\"\n",
            &[],
        );
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("defense.command: name the program and its arguments"), "{refused}");
    }
}
