//! Asking a Raspberry Pi's firmware, through its own program.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;
use wire::Throttling;

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
/// What fails so often in a row is not asked again.
const MAX_FAILURES: u32 = 3;
/// Most that is read of an answer, in bytes.
const MAX_BYTES: u64 = 16 << 10;
/// More than any rail has, in V or A.
const MAX_RAIL: f64 = 100.0;

/// `vcgencmd`, or nothing: where the program is not there, it is tried once.
#[derive(Debug)]
pub(super) struct Firmware {
    program: PathBuf,
    throttled: Question,
    power: Question,
}

/// Something that the program is asked again and again.
#[derive(Debug)]
struct Question {
    command: &'static str,
    /// In a row.
    failures: u32,
}

impl Firmware {
    pub(super) fn new(program: PathBuf) -> Self {
        let question = |command| Question { command, failures: 0 };
        Firmware { program, throttled: question("get_throttled"), power: question("pmic_read_adc") }
    }

    /// The throttling flags.
    pub(super) fn throttled(&mut self) -> Option<Throttling> {
        self.throttled.ask(&self.program, throttled)
    }

    /// The power that the board takes, in mW.
    pub(super) fn power(&mut self) -> Option<u32> {
        self.power.ask(&self.program, power)
    }
}

impl Question {
    fn ask<T>(&mut self, program: &Path, understand: fn(&str) -> Option<T>) -> Option<T> {
        if self.failures >= MAX_FAILURES {
            return None;
        }
        let answer = run(program, self.command)
            .and_then(|answer| understand(&answer).ok_or_else(|| io::Error::other("not understood")));
        match answer {
            Ok(answer) => {
                self.failures = 0;
                Some(answer)
            }
            Err(error) => {
                let absent = error.kind() == io::ErrorKind::NotFound;
                self.failures = if absent { MAX_FAILURES } else { self.failures + 1 };
                debug!("{} {}: {error}", program.display(), self.command);
                None
            }
        }
    }
}

/// What `program command` prints.
fn run(program: &Path, command: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    wait(&mut child)?;
    let mut answer = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_BYTES).read_to_string(&mut answer)?;
    }
    Ok(answer)
}

/// Waits for success; one that takes too long, perhaps because it prints without end, is killed.
fn wait(child: &mut Child) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(status.to_string())),
            None if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            None => thread::sleep(POLL),
        }
    }
}

/// Reads `throttled=0x50005`.
fn throttled(answer: &str) -> Option<Throttling> {
    let digits = answer.trim().strip_prefix("throttled=0x")?;
    u32::from_str_radix(digits, 16).ok().map(Throttling)
}

/// Reads lines like `VDD_CORE_A current(7)=1.21875000A` and `VDD_CORE_V volt(15)=0.87563500V`: the sum of volts times
/// amperes over the rails that have both, in mW. The input and the battery have volts alone. If a rail's values make
/// no sense, the sum is unknown.
fn power(answer: &str) -> Option<u32> {
    let (mut volts, mut amperes) = (BTreeMap::new(), BTreeMap::new());
    for line in answer.lines().filter(|line| line.contains('=')) {
        let (rail, value) = line.trim().split_once(char::is_whitespace)?;
        let (_, value) = value.split_once('=')?;
        let (rail, values, unit) = match rail.rsplit_once('_')? {
            (rail, "V") => (rail, &mut volts, 'V'),
            (rail, "A") => (rail, &mut amperes, 'A'),
            _ => return None,
        };
        let value: f64 = value.trim().strip_suffix(unit)?.parse().ok()?;
        if !(0.0..=MAX_RAIL).contains(&value) || values.insert(rail, value).is_some() {
            return None;
        }
    }
    let watts = amperes.iter().map(|(rail, amperes)| Some(volts.get(rail)? * amperes));
    let total: f64 = watts.sum::<Option<f64>>()?;
    (!amperes.is_empty()).then(|| (1000.0 * total).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{calls, file, program};
    use super::*;

    /// As a Pi 5 prints it, shortened.
    const RAILS: &str = "   3V7_WL_SW_A current(0)=0.10000000A\n     VDD_CORE_A current(7)=2.00000000A\n   3V7_WL_SW_V \
                         volt(8)=3.70000000V\n     VDD_CORE_V volt(15)=0.90000000V\n       EXT5V_V \
                         volt(24)=5.15097800V\n        BATT_V volt(25)=0.00000000V\n";

    #[test]
    fn the_program_is_asked_and_understood() {
        let folder = tempfile::tempdir().unwrap();
        let rails = file(folder.path(), "rails", RAILS);
        let body =
            format!("case $1 in get_throttled) echo throttled=0x50005;; *) cat '{}';; esac", rails.display());
        let mut firmware = Firmware::new(program(folder.path(), &body));
        assert_eq!(firmware.throttled(), Some(Throttling(0x5_0005)));
        assert_eq!(firmware.power(), Some(2170));
    }

    #[test]
    fn a_program_that_is_not_there_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut firmware = Firmware::new(folder.path().join("vcgencmd"));
        assert_eq!(firmware.throttled(), None);
        program(folder.path(), "echo throttled=0x0");
        assert_eq!(firmware.throttled(), None);
        assert_eq!(calls(folder.path()), 0);
    }

    #[test]
    fn a_program_that_fails_is_given_up_in_the_end() {
        for body in ["exit 1", "echo error=1", "printf '\\377'", ":"] {
            let folder = tempfile::tempdir().unwrap();
            let mut firmware = Firmware::new(program(folder.path(), body));
            for _ in 0..9 {
                assert_eq!(firmware.power(), None, "{body}");
            }
            assert_eq!(calls(folder.path()), MAX_FAILURES as usize, "{body}");
        }
    }

    #[test]
    fn a_program_that_hangs_or_prints_without_end_is_killed() {
        for body in ["exec sleep 1000", "exec cat /dev/zero"] {
            let folder = tempfile::tempdir().unwrap();
            let mut firmware = Firmware::new(program(folder.path(), body));
            let begun = Instant::now();
            assert_eq!(firmware.throttled(), None, "{body}");
            assert!(begun.elapsed() < 60 * PATIENCE, "{body}");
        }
    }

    #[test]
    fn throttling_that_makes_no_sense_is_unknown() {
        assert_eq!(throttled("throttled=0x0\n"), Some(Throttling(0)));
        for answer in
            ["", "throttled=", "throttled=0x", "throttled=5", "throttled=0x1ffffffff", "0x5", "throttled=0xg"]
        {
            assert_eq!(throttled(answer), None, "{answer}");
        }
    }

    #[test]
    fn power_that_makes_no_sense_is_unknown() {
        assert_eq!(power(RAILS), Some(2170));
        let rail = "A_A current(0)=1.0A\nA_V volt(1)=2.0V\n";
        assert_eq!(power(rail), Some(2000));
        for wrong in [
            "",
            "error=1 error_msg=\"Command not registered\"",
            "EXT5V_V volt(24)=5.1V",
            "A_A current(0)=1.0A",
            "A_A current(0)=nanA\nA_V volt(1)=2.0V",
            "A_A current(0)=-1.0A\nA_V volt(1)=2.0V",
            "A_A current(0)=1e300A\nA_V volt(1)=2.0V",
            "A_A current(0)=1.0V\nA_V volt(1)=2.0V",
            "A_A =\nA_V volt(1)=2.0V",
            "A_A current(0)=1.0A\nA_A current(0)=1.0A\nA_V volt(1)=2.0V",
        ] {
            assert_eq!(power(wrong), None, "{wrong}");
        }
        assert_eq!(power(&format!("{rail}B_A current(2)=1.0A\n")), None, "a rail without volts");
    }
}
