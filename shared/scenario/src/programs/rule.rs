//! A rule that is a program of the user's own.

use std::borrow::Cow;
use std::iter::zip;
use std::sync::{Arc, Mutex, PoisonError};

use program::{Fault, Inputs, Numbers, Written};
use robust::{Byzantine, OtherProgram, Plan, Round, Rule, RuleError, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;

use super::{External, Given, KEPT};

/// A program of your own, in whatever language, aggregates.
///
/// A round in which it fails leaves the global model as it is, and the log says why. It is asked anew for every update that a
/// stage leaves out, and for every try of an attack that tries the rule out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct ProgramRule {
    /// The program.
    #[serde(flatten)]
    pub program: External,
    /// What its last answer wants to be kept, until the round is over; all copies of these settings have the same.
    #[serde(skip)]
    keeps: Arc<Mutex<Option<Vec<f32>>>>,
}

/// What it is asked.
#[derive(Serialize)]
struct Question {
    r#do: &'static str,
    round: u32,
    seed: u64,
    /// Whether nothing comes of the answer but a judgement.
    trial: bool,
    rows: usize,
    columns: usize,
    byzantine: usize,
    given: Given,
    /// Who sent each row, if that is known.
    devices: Option<Vec<String>>,
    examples: Option<Vec<f64>>,
}

/// What it answers beside its numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ok: bool,
    used: Option<Vec<usize>>,
    keep: Option<usize>,
}

impl Rule for ProgramRule {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        let unfit = |(key, message)| RuleError::Program(format!("{key}: {message}"));
        self.program.check(["aggregation.command", "aggregation.seconds"]).map_err(unfit)?;
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (devices, columns, given) = (round.devices(), round.dimension(), self.program.given);
        let sender = |row| round.sender(row).map(|device| DeviceId(device).to_string());
        let question = Question {
            r#do: "aggregate",
            round: round.number(),
            seed: round.seed(),
            trial: round.is_trial(),
            rows: devices,
            columns,
            byzantine: round.byzantine().left(),
            given,
            devices: (0..devices).map(sender).collect(),
            examples: round.examples(),
        };
        let origin = round.origin().map_or_else(|| vec![0.0; columns].into(), Cow::from);
        let (mut values, used, keep) = round.with_rows(given.into(), |rows| {
            let copy = |row, from, to: &mut [f32]| rows.copy(row, from, to);
            let updates = Numbers { rows: devices, columns, copy: &copy };
            let inputs =
                Inputs { updates: &updates, global: &origin, state: round.state(KEPT).unwrap_or_default() };
            let read = |answer: Answer, written: &Written| {
                let keep = written.kept(answer.keep)?;
                Ok((written.rows(1, columns)?, used(answer, devices)?, keep))
            };
            let asked = self.program.host.ask(self.program.terms(), &question, inputs, read);
            asked.map_err(|error| RuleError::Program(error.to_string()))
        })?;
        if !round.is_trial() {
            *self.keeps.lock().unwrap_or_else(PoisonError::into_inner) = keep;
        }
        if given == Given::Updates {
            zip(&mut values, &*origin).for_each(|(value, origin)| *value += origin);
        }
        Ok(Plan::Given { values: values.into(), used })
    }

    fn remember(&self, _: &Round<'_>, _: &[f32], state: &mut State) -> Result<(), RuleError> {
        super::keep(state, self.keeps.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }

    fn in_turn(&self) -> bool {
        true
    }

    fn program(&self) -> Option<&dyn OtherProgram> {
        Some(&self.program)
    }
}

/// The rows that have a part in the aggregate, if the program says so.
fn used(answer: Answer, devices: usize) -> Result<Option<Vec<usize>>, Fault> {
    super::is_ok(answer.ok)?;
    let Some(mut used) = answer.used else { return Ok(None) };
    super::rows_of("used", &used, devices)?;
    used.sort_unstable();
    used.dedup();
    Ok(Some(used))
}

#[cfg(test)]
mod tests {
    use robust::{Context, Executor as _, InContext, Processors, Updates};

    use super::super::testing::{FIRST_ROW, allowed, script};
    use super::*;
    use crate::Scenario;

    fn rule(body: &str, given: Given) -> ProgramRule {
        ProgramRule { program: allowed(script(body), given), ..ProgramRule::default() }
    }

    fn aggregate(rule: &dyn Rule, rows: &[&[f32]]) -> Result<robust::Aggregate, RuleError> {
        let (origin, examples) = (vec![1.0; rows[0].len()], vec![3.0; rows.len()]);
        let updates = Updates::new(rows, Some(&examples)).unwrap().from_origin(&origin).unwrap();
        let context = Context { devices: &[4, 7, 9], seed: 5, round: 2, ..Context::default() };
        Processors.aggregate(&InContext { rule, context }, &updates, Byzantine::of(1))
    }

    const ROWS: [&[f32]; 3] = [&[2.5, 3.5], &[4.0, 5.0], &[6.0, 7.0]];

    #[test]
    fn the_program_is_given_updates_or_models_and_gives_the_same_back() {
        for given in [Given::Updates, Given::Models] {
            let aggregate = aggregate(&rule(FIRST_ROW, given), &ROWS).unwrap();
            assert_eq!((aggregate.values, aggregate.used), (vec![2.5, 3.5], vec![0, 1, 2]));
        }
        let ones = "head -c 8 \"$(path global)\" > \"$(path answer)\"; echo '{\"ok\":true,\"used\":[2,0]}'";
        let one =
            |given| aggregate(&rule(&format!("while read -r line; do {ones}; done"), given), &ROWS).unwrap();
        assert_eq!(one(Given::Models).values, [1.0, 1.0]);
        let of_updates = one(Given::Updates);
        assert_eq!((of_updates.values, of_updates.used), (vec![2.0, 2.0], vec![0, 2]));
    }

    #[test]
    fn the_question_says_what_round_it_is_and_whose_updates_they_are() {
        let refuses =
            r#"read -r line; printf '{"error":"%s"}\n' "$(printf %s "$line" | tr '"' "'")"; read -r line"#;
        let said = aggregate(&rule(refuses, Given::Updates), &ROWS).unwrap_err().to_string();
        for part in [
            "'outpost':1,'do':'aggregate','round':2,'seed':5,'trial':false,'rows':3,'columns':2,'byzantine':1,",
            "'given':'updates','devices':['device-004','device-007','device-009'],'examples':[3.0,3.0,3.0],'updates':'",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn what_it_keeps_is_kept_once_the_round_is_over_and_given_back_in_the_next() {
        // What came first in the round before, and before the first round, what comes first.
        let late = r#"while read -r line; do
            case $line in *'"kept":0,'*) from=updates ;; *) from=state ;; esac
            head -c 8 "$(path $from)" > "$(path answer)"
            case $line in *'"trial":true'*) head -c 4 "$(path global)" ;; *) head -c 8 "$(path updates)" ;; esac > "$(path keep)"
            echo '{"ok":true,"keep":'"$(($(wc -c < "$(path keep)") / 4))"'}'
        done"#;
        let (rule, mut state) = (rule(late, Given::Models), State::default());
        let mut round = |number: u32, rows: &[&[f32]]| {
            let context =
                Context { devices: &[4, 7, 9], round: number, state: Some(&state), ..Context::default() };
            let updates = Updates::new(rows, None).unwrap();
            let values = Processors
                .aggregate(&InContext { rule: &rule, context }, &updates, Byzantine::of(1))
                .unwrap()
                .values;
            let geometry = robust::Geometry::of(&updates);
            let mut after = state.clone();
            rule.remember(&Round::new(&geometry, Byzantine::of(1)), &values, &mut after).unwrap();
            state = after;
            values
        };
        assert_eq!(round(1, &ROWS), ROWS[0]);
        assert_eq!(round(2, &ROWS[1..]), ROWS[0]);
        // A trial: what it says is not kept.
        assert_eq!(round(0, &ROWS[2..]), ROWS[1]);
        assert_eq!(round(3, &ROWS), ROWS[1]);
    }

    #[test]
    fn rows_that_are_not_there_and_an_answer_that_is_not_ok_are_refused() {
        for (answer, said) in [
            ("{\"ok\":true,\"used\":[0,3]}", "answered wrongly: `used` names row 3, and there are 3"),
            ("{\"ok\":false}", "answered wrongly: `ok` is false; say {\"error\": \"why\"}"),
            ("{\"ok\":true,\"remove\":[]}", "unknown field `remove`, expected one of `ok`, `used`, `keep`"),
        ] {
            let body = format!(
                "while read -r line; do head -c 8 \"$(path updates)\" > \"$(path answer)\"; echo '{answer}'; done"
            );
            let refused = aggregate(&rule(&body, Given::Updates), &ROWS).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn the_updates_that_are_left_out_are_tried_in_their_order() {
        let rows: Vec<&[f32]> = ROWS.to_vec();
        let updates = Updates::new(&rows, None).unwrap().from_origin(&[1.0, 1.0]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let body = format!(
            "while read -r line; do echo \"$line\" >> {}; head -c 8 \"$(path updates)\" > \"$(path answer)\"; echo '{{\"ok\":true}}'; done",
            log.display()
        );
        let (rule, mut aggregates) = (rule(&body, Given::Models), Vec::new());
        let context = Context { devices: &[4, 7, 9], seed: 5, round: 2, ..Context::default() };
        let rule = InContext { rule: &rule, context };
        Processors.leave_one_out(&rule, &updates, Byzantine::of(0), &mut aggregates).unwrap();
        assert_eq!(aggregates, [[4.0, 5.0], [2.5, 3.5], [2.5, 3.5]]);
        let log = std::fs::read_to_string(log).unwrap();
        let asked: Vec<&str> = log
            .lines()
            .map(|line| line.split("\"devices\":").nth(1).unwrap().split(']').next().unwrap())
            .collect();
        let without = [
            "\"device-007\",\"device-009\"",
            "\"device-004\",\"device-009\"",
            "\"device-004\",\"device-007\"",
        ];
        assert_eq!(asked, without.map(|devices| format!("[{devices}")));
        assert!(log.lines().all(|line| line.contains("\"trial\":true")));
    }

    #[test]
    fn a_failure_is_no_failure_of_what_rules_are_computed_on() {
        let refused = aggregate(&rule("echo 'no numpy' >&2; exit 1", Given::Updates), &ROWS).unwrap_err();
        let RuleError::Program(said) = refused else { panic!("{refused}") };
        assert!(said.ends_with("ended before it answered, with exit status: 1: no numpy"), "{said}");
    }

    #[test]
    fn reading_a_scenario_starts_nothing_and_settings_that_cannot_be_are_refused() {
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        let parse = |keys: &str| {
            Scenario::parse("t.toml", &format!("{text}[aggregation]\nrule = \"program\"\n{keys}"), &[])
        };
        let folder = tempfile::tempdir().unwrap();
        let touched = folder.path().join("touched");
        let scenario = parse(&format!("command = [\"touch\", \"{}\"]", touched.display())).unwrap();
        assert_eq!(scenario, scenario.clone());
        assert!(scenario.to_toml().contains("given = \"updates\"\nseconds = 60\n"), "{}", scenario.to_toml());
        let refused = aggregate(&*scenario.aggregation.rule, &ROWS).unwrap_err().to_string();
        assert!(refused.contains("is not allowed here"), "{refused}");
        assert!(!touched.exists());
        for (keys, said) in [
            ("", "aggregation.command: name the program"),
            ("command = [\"\"]", "aggregation.command: name the program"),
            ("command = [\"a\"]\nseconds = 0", "aggregation.seconds: 0 must lie between 1 and 86400"),
            ("command = \"a\"", "invalid type: string \"a\", expected a sequence"),
            (
                "command = [\"a\"]\ntrim = 1",
                "the aggregation rule `program` has no `trim`, but `command`, `given`, `seconds`",
            ),
        ] {
            let refused = parse(keys).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn mixtures_are_what_it_is_given_where_a_stage_has_mixed() {
        let rows: Vec<&[f32]> = ROWS.to_vec();
        let updates = Updates::new(&rows, None).unwrap();
        let mixtures = [robust::Combination::row(2, 3), robust::Combination::of(vec![0.5, 0.5, 0.0])];
        let rule = rule(FIRST_ROW, Given::Updates);
        let mixing = robust::Mixing { rule: &rule, mixtures: &mixtures, examples: None };
        let aggregate = Processors.aggregate(&mixing, &updates, Byzantine::of(0)).unwrap();
        assert_eq!((aggregate.values, aggregate.used), (vec![6.0, 7.0], vec![0, 1, 2]));
        assert!(mixing.in_turn());
    }
}
