//! Rules, stages and attacks that are programs in other languages, by the real programs: on every bench, allowed and not, and
//! failing in every way.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::lab::{Lab, records};
use crate::process::{Process, hil, python_has, run, summary, undisturbed, wait_until};
use crate::resume::assert_hil_goes_on_after;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");

/// What scripts of the shell begin with: `path NAME` and `number NAME` print a path and a number of the question in `line`.
const READING: &str = r#"path() { printf %s "$line" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
number() { printf %s "$line" | sed "s/.*\"$1\":\([0-9]*\).*/\1/"; }"#;

/// Answers as the rule of the first device.
const FIRST: &str = r#"head -c $((4 * $(number columns))) "$(path updates)" > "$(path answer)"
    echo '{"ok":true}'"#;

/// The setting of `section` that names this command.
pub(crate) fn command<S: AsRef<str>>(section: &str, words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    format!("{section}.command={}", toml::Value::from(words))
}

/// A command of the shell that does this for each question in `line`.
pub(crate) fn script(body: &str) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("{READING}\nwhile read -r line; do\n    {body}\ndone")]
}

fn example(name: &str) -> [String; 2] {
    ["python3".to_owned(), Path::new(EXAMPLES).join(name).display().to_string()]
}

/// The example in C, compiled.
fn compiled(folder: &Path) -> Option<PathBuf> {
    if !link::has("cc") {
        return None;
    }
    let program = folder.join("median_rule");
    let mut cc = undisturbed("cc");
    cc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o"]).arg(&program);
    run({
        cc.arg(Path::new(EXAMPLES).join("median_rule.c"));
        cc
    })
    .succeeded();
    Some(program)
}

/// Whether a process whose number is in this file is there.
fn is_running(file: &Path) -> bool {
    let number = fs::read_to_string(file).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default();
    !number.trim().is_empty() && !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn the_document_shows_the_rule_in_python_as_it_is() {
    let document = fs::read_to_string(Path::new(EXAMPLES).join("../../docs/your-defense.md")).unwrap();
    let (_, shown) = document.split_once("```python\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let file = fs::read_to_string(Path::new(EXAMPLES).join("median_rule.py")).unwrap();
    assert!(file.ends_with(shown), "{shown}");
}

#[test]
fn a_rule_in_c_ends_in_the_very_model_of_ours_on_every_bench() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = compiled(folder.path()) else { return };
    let command = command("aggregation", &[program.display().to_string()]);
    // Also where each update is left out once to judge it.
    for defense in [&[][..], &["defense.kind=lfr", "defense.validation-examples=50"]] {
        let ours = Lab::new(&[defense, &["aggregation.rule=median"]].concat());
        let theirs = ["aggregation.rule=program", &command, "aggregation.given=models"];
        let theirs = Lab::new(&[defense, &theirs].concat());
        let of = |lab: &Lab, bench: &str| lab.model_after(lab.hil(bench, bench, &[]), bench);
        let expected = of(&ours, "software");
        assert_eq!(of(&theirs, "software"), expected);
        assert_eq!(of(&theirs, "processes"), expected);
        assert_eq!(of(&theirs, "batched"), of(&ours, "batched"));
    }
}

#[test]
fn the_examples_in_python_run_as_rule_stage_and_attack() {
    if !python_has("numpy") {
        return;
    }
    let ours = Lab::new(&["aggregation.rule=median"]);
    let median = command("aggregation", &example("median_rule.py"));
    let rule = ["aggregation.rule=program", &median];
    let theirs = Lab::new(&[&rule[..], &["aggregation.given=models"]].concat());
    assert_eq!(theirs.model_after(theirs.hil("software", "a", &[]), "a"), ours.undisturbed());
    // One that keeps something, round after round.
    let (rounds, smoothed) = ("rounds=4", command("aggregation", &example("smoothed_rule.py")));
    let smoothed = Lab::new(&[rounds, "aggregation.rule=program", &smoothed]);
    let digests =
        ["software", "processes"].map(|bench| smoothed.model_after(smoothed.hil(bench, bench, &[]), bench));
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], Lab::new(&[rounds, "aggregation.rule=median"]).undisturbed());
    let (stage, attack) =
        (command("defense", &example("far_stage.py")), command("attack", &example("opposite_attack.py")));
    let all = ["defense.kind=program", &stage, "defense.remove=2", "attack.kind=program", &attack];
    let lab = Lab::new(&[&rule[..], &all].concat());
    let digests = ["software", "processes"].map(|bench| lab.model_after(lab.hil(bench, bench, &[]), bench));
    assert_eq!(digests[0], digests[1]);
    for record in records(&lab.path("processes")) {
        assert_eq!((record.removed.len(), record.aggregated), (2, true), "round {}", record.round);
    }
    let attack = summary(&lab.path("processes")).attack.unwrap();
    assert_eq!((attack.as_meant, attack.rounds), (20, 20));
}

/// Has each of two devices send the global model.
pub(crate) const COPY: &str =
    r#"cat "$(path global)" "$(path global)" > "$(path answer)"; echo '{"ok":true}'"#;

#[test]
fn an_attack_of_the_shell_is_what_compromised_devices_send_on_every_bench() {
    let attack = command("attack", &script(COPY));
    let settings = ["attack.kind=program", &attack, "attack.given=models", "aggregation.rule=mean"];
    let lab = Lab::new(&settings);
    let digests = ["software", "processes"].map(|bench| lab.model_after(lab.hil(bench, bench, &[]), bench));
    assert_eq!(digests[0], digests[1]);
    let attack = summary(&lab.path("processes")).attack.unwrap();
    assert_eq!((attack.as_meant, attack.rounds), (20, 20));
    let ours = Lab::new(&["attack.kind=copy", "aggregation.rule=mean"]);
    assert_eq!(ours.undisturbed(), digests[0], "the same attack, written by us");
}

#[test]
fn nobody_starts_a_program_that_a_scenario_names_and_the_own_configuration_does_not() {
    let attack = command("attack", &["touch", "here"]);
    let lab = Lab::new(&["attack.kind=program", &attack]);
    let attacker = lab.scenario.attackers().first().unwrap().0;
    let refused = run(lab.client(attacker)).ended_with(2).stderr;
    let advice = "the scenario's attack.command names a program that is not allowed here: give --allow-program 'touch here', \
                  set OUTPOST_ALLOW_PROGRAM, or on a device write `allow-program = [\"touch here\"]` into the file of --config\n";
    assert_eq!(refused, format!("edge-client: {advice}"));
    let mut another = lab.client(attacker);
    another.args(["--allow-program", "touch"]);
    assert_eq!(run(another).ended_with(2).stderr, format!("edge-client: {advice}"));

    let rule = command("aggregation", &["touch", "here"]);
    let lab = Lab::new(&["aggregation.rule=program", &rule]);
    let refused = run(lab.aggregator("out")).ended_with(2).stderr;
    assert!(
        refused.contains("the scenario's aggregation.command names a program that is not allowed"),
        "{refused}"
    );
    assert!(!lab.path("out").exists());
}

#[test]
fn a_round_in_which_the_program_fails_leaves_the_model_as_it_is_and_says_why() {
    let failing = format!("n=$((n + 1)); [ $n = 3 ] && echo 'singular matrix' >&2 && exit 4\n    {FIRST}");
    let rule = command("aggregation", &script(&failing));
    let lab = Lab::new(&["aggregation.rule=program", &rule, "rounds=7", "evaluation.every=1"]);
    for bench in ["software", "batched", "processes"] {
        let stderr = run(lab.hil(bench, bench, &[])).succeeded().stderr;
        let records = records(&lab.path(bench));
        let aggregated: Vec<bool> = records.iter().map(|record| record.aggregated).collect();
        assert_eq!(aggregated, [true, true, false, true, true, false, true], "{bench}");
        assert_eq!(records[1].test_loss, records[2].test_loss, "{bench}: the model stays");
        assert_ne!(records[2].test_loss, records[3].test_loss, "{bench}: and then goes on");
        let said = "round 3: the global model stays as it is: ";
        let log = match bench {
            "processes" => fs::read_to_string(lab.path(bench).join("logs/aggregator-node.log")).unwrap(),
            _ => stderr,
        };
        let line = log.lines().find(|line| line.contains(said)).unwrap_or_else(|| panic!("{bench}: {log}"));
        assert!(line.contains("ended before it answered, with exit status: 4: singular matrix"), "{line}");
    }
}

#[test]
fn a_stage_and_an_attack_that_fail_disturb_nothing_else() {
    let stage = command("defense", &script("echo nonsense"));
    let attack = command("attack", &script("echo '{\"error\":\"no idea\"}'"));
    let lab = Lab::new(&["attack.kind=program", &attack, "rounds=3"]);
    for bench in ["software", "batched"] {
        let stderr = run(lab.hil(bench, bench, &[])).succeeded().stderr;
        assert!(records(&lab.path(bench)).iter().all(|record| record.aggregated), "{bench}");
        let attack = summary(&lab.path(bench)).attack.unwrap();
        assert_eq!((attack.as_meant, attack.rounds), (0, 3), "{bench}");
        assert!(
            stderr.contains("the attack took place as the scenario means it in 0 of 3 rounds"),
            "{stderr}"
        );
    }
    let lab = Lab::new(&["defense.kind=program", &stage, "defense.remove=0", "rounds=3"]);
    for bench in ["software", "batched"] {
        // Nothing was aggregated.
        let stderr = run(lab.hil(bench, bench, &[])).ended_with(1).stderr;
        assert!(
            stderr.contains("answered `nonsense`, which is no answer, and was ended"),
            "{bench}: {stderr}"
        );
        assert_eq!(records(&lab.path(bench)).len(), 3);
    }
}

#[test]
fn what_programs_keep_is_kept_when_a_run_is_killed_and_goes_on() {
    // The rule and the attack answer with what came first in the round before; the stage removes one device and another in turn.
    let late = |answers: &str| {
        script(&format!(
            r#"from=state; [ "$(number kept)" = 0 ] && from=updates
    for answer in {answers}; do head -c $((4 * $(number columns))) "$(path $from)"; done > "$(path answer)"
    head -c $((4 * $(number columns))) "$(path updates)" > "$(path keep)"
    echo '{{"ok":true,"keep":'"$(number columns)"'}}'"#
        ))
    };
    let in_turn = script(
        r#"kept=$(number kept); head -c $((4 - 4 * kept)) "$(path updates)" > "$(path keep)"
    echo '{"ok":true,"remove":['"$kept"'],"keep":'"$((1 - kept))"'}'"#,
    );
    let settings = [
        "aggregation.rule=program",
        &command("aggregation", &late("once")),
        "attack.kind=program",
        &command("attack", &late("once twice")),
        "defense.kind=program",
        "defense.remove=1",
        &command("defense", &in_turn),
    ];
    let kill = |hil: &Process| hil.signal(Signal::KILL);
    assert_hil_goes_on_after(kill, None, "software", 100, &settings);
    assert_hil_goes_on_after(kill, None, "processes", 30, &settings);
}

#[test]
fn of_a_program_that_never_answers_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = ["own", "other"].map(|name| folder.path().join(name));
    let sleeps =
        format!("echo $$ > {}; sleep 1000 & echo $! > {}; wait", numbers[0].display(), numbers[1].display());
    let rule = command("aggregation", &script(&sleeps));
    let settings = ["aggregation.rule=program", &rule, "aggregation.seconds=1", "rounds=2"];
    let lab = Lab::new(&settings);
    let stderr = run(lab.hil("software", "out", &[])).ended_with(1).stderr;
    assert!(stderr.contains("did not answer within 1 s and was ended"), "{stderr}");
    assert_eq!(records(&lab.path("out")).len(), 2);
    assert!(numbers.iter().all(|number| number.exists() && !is_running(number)));
}

#[test]
fn a_program_ends_with_the_program_that_has_started_it_even_if_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = ["own", "other"].map(|name| folder.path().join(name));
    let sleeps =
        format!("echo $$ > {}; sleep 1000 & echo $! > {}; wait", numbers[0].display(), numbers[1].display());
    let rule = command("aggregation", &script(&sleeps));
    let lab = Lab::new(&["aggregation.rule=program", &rule, "aggregation.seconds=1000"]);
    let hil = Process::start(lab.hil("software", "out", &[]));
    wait_until("the program works", || numbers.iter().all(|number| is_running(number)));
    hil.kill();
    wait_until("the program has ended", || numbers.iter().all(|number| !is_running(number)));
}

#[test]
fn a_rule_can_be_tried_on_a_file() {
    let lab = Lab::new(&[]);
    let matrix = input::npy::Array { shape: vec![3, 2], values: vec![5.0, 6.0, 1.0, 2.0, 3.0, 4.0] };
    input::npy::write(&lab.path("updates.npy"), &matrix).unwrap();
    let set =
        command("x", &["sh".to_owned(), Path::new(EXAMPLES).join("first_rule.sh").display().to_string()]);
    let set = set.trim_start_matches("x.");
    let mut command = hil!["aggregate", "program"];
    command.arg(lab.path("updates.npy")).args(["--set", set]).arg("--out").arg(lab.path("aggregate.npy"));
    run(command).succeeded();
    assert_eq!(input::npy::read(&lab.path("aggregate.npy")).unwrap().values, [5.0, 6.0]);
}
