//! Programs of all sorts, as scripts of the shell.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Serialize)]
struct Question {
    columns: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[allow(dead_code, reason = "an answer has it")]
    ok: bool,
}

/// What each script begins with: `path NAME` prints a path of the question in `line`.
const PATH: &str = r#"path() { printf %s "$line" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }"#;

/// A program that answers with the first row that it is given, and tells its number on standard error.
const FIRST_ROW: &str = r#"echo "I am $$" >&2
while read -r line; do
    head -c 8 "$(path updates)" > "$(path answer)"
    echo '{"ok":true}'
done"#;

struct Script {
    command: Vec<String>,
    seconds: u32,
    host: Host,
}

impl Script {
    fn of(body: &str) -> Self {
        let command = ["sh", "-c", &format!("{PATH}\n{body}")].map(ToOwned::to_owned).to_vec();
        let host = Host::default();
        host.allow();
        Script { command, seconds: 60, host }
    }

    fn ask(&self, updates: &[[f32; 2]]) -> Result<Vec<f32>, String> {
        let numbers = Numbers {
            rows: updates.len(),
            columns: 2,
            copy: &|row, from, to| to.copy_from_slice(&updates[row][from..][..to.len()]),
        };
        let inputs = Inputs { updates: &numbers, global: &[9.0, 9.0], state: &[] };
        let terms = Terms { command: &self.command, seconds: self.seconds };
        let asked =
            self.host.ask(terms, &Question { columns: 2 }, inputs, |_: Answer, written| written.rows(1, 2));
        asked.map_err(|error| {
            assert!(!error.to_string().contains('\n'), "{error}");
            error.fault.to_string()
        })
    }

    fn refused(&self) -> String {
        self.ask(&[[1.0, 2.0]]).unwrap_err()
    }
}

/// Waits until no process of this number is there.
#[track_caller]
fn assert_gone(number: &str) {
    let begun = Instant::now();
    let is_there = || {
        let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    while is_there() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{number} goes on");
        sleep(Duration::from_millis(5));
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn a_program_is_started_once_and_answers_question_after_question() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let script = Script::of(&format!("echo started >> {}\n{FIRST_ROW}", starts.display()));
    assert_eq!(script.ask(&[[1.0, 2.0], [3.0, 4.0]]).unwrap(), [1.0, 2.0]);
    assert_eq!(script.ask(&[[5.0, 6.0]]).unwrap(), [5.0, 6.0], "also where there are fewer rows than before");
    assert_eq!(read(&starts), "started");
}

#[test]
fn it_is_told_what_is_asked_and_where_its_numbers_are() {
    let script = Script::of(
        r#"read -r line
case $line in '{"outpost":1,"columns":2,"updates":"/'*'","global":"/'*'","kept":0,"state":"/'*'","answer":"/'*'","keep":"/'*'"}') ;; *) exit 1 ;; esac
cat "$(path global)" > "$(path answer)"; echo '{"ok":true}'"#,
    );
    assert_eq!(script.ask(&[[1.0, 2.0]]).unwrap(), [9.0, 9.0]);
}

#[test]
fn it_is_given_what_it_has_kept_and_says_how_much_it_keeps() {
    #[derive(Deserialize)]
    struct Keeping {
        keep: Option<usize>,
    }
    let script = Script::of(
        r#"while read -r line; do
            case $line in *'"kept":3,'*) head -c 12 "$(path state)" > "$(path keep)"; echo '{"keep":3}' ;;
                *'"kept":0,'*) echo '{}' ;;
                *) head -c 4 "$(path state)" > "$(path keep)"; echo '{"keep":2}' ;; esac
        done"#,
    );
    let ask = |state: &[f32]| {
        let updates = Numbers { rows: 0, columns: 1, copy: &|_, _, _| {} };
        let inputs = Inputs { updates: &updates, global: &[], state };
        let terms = Terms { command: &script.command, seconds: 60 };
        let read = |answer: Keeping, written: &Written| written.kept(answer.keep);
        script
            .host
            .ask(terms, &Question { columns: 1 }, inputs, read)
            .map_err(|error| error.fault.to_string())
    };
    assert_eq!(ask(&[]).unwrap(), None);
    assert_eq!(ask(&[1.0, -2.5, 3.0]).unwrap().unwrap(), [1.0, -2.5, 3.0]);
    let refused = ask(&[1.0]).unwrap_err();
    assert!(refused.contains("4 bytes to `keep`, where 1 x 2 numbers of 4 bytes take 8"), "{refused}");
    let refused = ask(&[1.0, f32::NAN, 1.0]).unwrap_err();
    assert!(refused.contains("number 1 of row 0 of `keep` is NaN"), "{refused}");
    assert_eq!(ask(&[]).unwrap(), None, "what an earlier answer has written is gone");
}

#[test]
fn one_that_nobody_has_allowed_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let script = Script::of(&format!("touch {}\n{FIRST_ROW}", started.display()));
    let script = Script { host: Host::default(), ..script };
    assert!(script.refused().contains("is not allowed here"), "{}", script.refused());
    assert!(!started.exists());
    script.host.allow();
    script.ask(&[[1.0, 2.0]]).unwrap();
    assert!(started.exists());
}

#[test]
fn a_crash_has_the_last_words_in_its_error_and_the_next_question_starts_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = folder.path().join("crashed");
    let crash = format!(
        "if [ ! -e {0} ]; then read -r line; touch {0}; echo first >&2; echo 'division by zero' >&2; exit 3; fi",
        crashed.display()
    );
    let script = Script::of(&format!("{crash}\n{FIRST_ROW}"));
    let refused = script.refused();
    assert_eq!(refused, "ended before it answered, with exit status: 3: division by zero");
    assert_eq!(script.ask(&[[1.0, 2.0]]).unwrap(), [1.0, 2.0]);
}

#[test]
fn one_that_ends_by_a_signal_or_at_once_says_how() {
    assert!(Script::of("kill -SEGV $$; sleep 60").refused().contains("with signal: 11"));
    let at_once = Script::of("exit 0");
    assert_eq!(at_once.refused(), "ended before it answered, with exit status: 0");
    let missing = Script { command: vec!["/nowhere/program".to_owned()], ..Script::of("") };
    assert!(missing.refused().contains("cannot be started: No such file"), "{}", missing.refused());
    let nameless = Script { command: Vec::new(), ..Script::of("") };
    assert_eq!(nameless.refused(), "cannot be started: it has no name");
}

#[test]
fn what_is_no_answer_is_repeated_in_the_error() {
    for (printed, said) in [
        ("hello", "answered `hello`, which is no answer, and was ended: expected value"),
        ("[1,2]", "answered `[1,2]`, which is no answer, and was ended: "),
        ("{\"ok\":true,\"more\":1}", "unknown field `more`"),
        ("{}", "missing field `ok`"),
        ("", "answered ``, which is no answer"),
    ] {
        let script = Script::of(&format!("while read -r line; do echo '{printed}'; done"));
        assert!(script.refused().contains(said), "{}", script.refused());
    }
    let bytes = Script::of("while read -r line; do printf '\\377\\376\\n'; done");
    assert!(bytes.refused().contains("which is no answer"), "{}", bytes.refused());
}

#[test]
fn one_that_says_itself_that_it_cannot_answer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let script = Script::of(&format!(
        "echo started >> {}\nwhile read -r line; do printf '%s\\n' '{{\"error\":\"too few\\nrows\"}}'; done",
        starts.display()
    ));
    assert_eq!(script.refused(), "says: too few rows");
    assert_eq!(script.refused(), "says: too few rows");
    assert_eq!(read(&starts), "started");
}

#[test]
fn a_wrong_number_of_numbers_and_what_is_no_number_are_refused() {
    let answers = |bytes: &str| {
        Script::of(&format!(
            "while read -r line; do printf '{bytes}' > \"$(path answer)\"; echo '{{\"ok\":true}}'; done"
        ))
    };
    let wrong = answers("abc");
    assert!(wrong.refused().contains("answered wrongly: it wrote 3 bytes"), "{}", wrong.refused());
    assert!(answers("").refused().contains("it wrote 0 bytes"));
    // 1 and NaN.
    let nan = answers("\\000\\000\\200\\077\\000\\000\\300\\177");
    assert!(
        nan.refused().contains("number 1 of row 0 of `answer` is NaN, and not finite"),
        "{}",
        nan.refused()
    );
}

#[test]
fn numbers_of_an_earlier_answer_are_not_taken_for_those_of_a_later_one() {
    let script = Script::of(
        r#"read -r line; head -c 8 "$(path updates)" > "$(path answer)"; echo '{"ok":true}'
read -r line; echo '{"ok":true}'"#,
    );
    script.ask(&[[1.0, 2.0]]).unwrap();
    assert!(script.refused().contains("it wrote 0 bytes"));
}

#[test]
fn one_that_never_answers_is_ended_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for waits in ["sleep 1000", "read -r line; sleep 1000", "trap '' TERM; while :; do :; done"] {
        let script = Script::of(&format!(
            "echo $$ > {}; sleep 1000 & echo $! > {}; echo working >&2; {waits}",
            first.display(),
            second.display()
        ));
        let script = Script { seconds: 1, ..script };
        let refused = script.refused();
        assert!(refused.starts_with("did not answer within 1 s and was ended: working"), "{refused}");
        assert_gone(&read(&first));
        assert_gone(&read(&second));
    }
}

#[test]
fn one_that_does_not_take_its_question_is_ended_as_well() {
    // The line is longer than a pipe holds.
    #[derive(Serialize)]
    struct Long {
        devices: Vec<u32>,
    }
    let script = Script::of("exec sleep 1000");
    let numbers = Numbers { rows: 1, columns: 1, copy: &|_, _, to| to.fill(1.0) };
    let question = Long { devices: (0..100_000).collect() };
    let terms = Terms { command: &script.command, seconds: 1 };
    let inputs = Inputs { updates: &numbers, global: &[1.0], state: &[] };
    let asked = script.host.ask(terms, &question, inputs, |_: Answer, _| Ok(()));
    assert!(matches!(asked.unwrap_err().fault, Fault::TooSlow { seconds: 1, .. }));
}

#[test]
fn one_that_writes_without_end_takes_no_memory_and_is_ended() {
    let line = Script::of("read -r line; exec cat /dev/zero");
    assert_eq!(line.refused(), "answered with a line of more than 4096 KiB and was ended");
    let lines =
        Script::of(r#"read -r line; cat "$(path updates)" > "$(path answer)"; exec yes '{"ok":true}'"#);
    // The first is an answer; of the others nobody has asked.
    assert_eq!(lines.ask(&[[1.0, 2.0]]).unwrap(), [1.0, 2.0]);
    sleep(Duration::from_millis(100));
    assert!(lines.refused().starts_with("printed `{\"ok\":true}` when nobody had asked it, and was ended"));
    let noise = Script { seconds: 1, ..Script::of("yes 'it is hot' >&2") };
    assert!(noise.refused().contains("did not answer within 1 s and was ended: it is hot"));
}

#[test]
fn one_that_answers_a_single_question_and_leaves_is_started_for_each() {
    let script = Script::of(r#"read -r line; cat "$(path updates)" > "$(path answer)"; echo '{"ok":true}'"#);
    for pause in [0, 0, 50] {
        sleep(Duration::from_millis(pause));
        assert_eq!(script.ask(&[[1.0, 2.0]]).unwrap(), [1.0, 2.0]);
    }
}

#[test]
fn one_that_closes_its_output_is_not_waited_for() {
    let begun = Instant::now();
    let script = Script::of("read -r line; exec sleep 1000 >&- 2>&-");
    assert!(script.refused().starts_with("closed its standard output before it answered"));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn at_the_end_it_has_a_moment_to_leave_and_nothing_of_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let [number, other, left] = ["number", "other", "left"].map(|name| folder.path().join(name));
    let script = Script::of(&format!(
        "echo $$ > {}; sleep 1000 & echo $! > {}\n{FIRST_ROW}\necho left > {}",
        number.display(),
        other.display(),
        left.display()
    ));
    script.ask(&[[1.0, 2.0]]).unwrap();
    drop(script);
    assert_eq!(read(&left), "left");
    assert_gone(&read(&number));
    assert_gone(&read(&other));
    // One that does not care that nobody asks any more.
    let stubborn =
        Script::of(&format!("trap '' TERM HUP INT; echo $$ > {}\n{FIRST_ROW}\nsleep 1000", number.display()));
    stubborn.ask(&[[1.0, 2.0]]).unwrap();
    stubborn.host.end();
    assert_gone(&read(&number));
    assert_eq!(stubborn.ask(&[[3.0, 4.0]]).unwrap(), [3.0, 4.0], "asked once more, it is started again");
}

#[test]
fn it_gets_none_of_this_programs_settings() {
    let script = Script::of(
        r#"read -r line; env | grep -q '^OUTPOST_PASSWORD=' && exit 7
cat "$(path updates)" > "$(path answer)"; echo '{"ok":true}'"#,
    );
    assert!(super::super::child::is_ours("OUTPOST_PASSWORD".as_ref()));
    assert!(!super::super::child::is_ours("OUTPOST_STARTED_BY".as_ref()));
    assert!(!super::super::child::is_ours("PATH".as_ref()));
    script.ask(&[[1.0, 2.0]]).unwrap();
}
