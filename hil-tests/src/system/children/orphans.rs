//! Ending what is left when this program could not: when it was killed, or ended at once by a second Ctrl-C.
//!
//! A second process waits for the end of a pipe that only this one holds. Every descendant of this program has a variable in
//! its environment by which that process then finds it, however deep it is. (The kernel's own means, `PR_SET_PDEATHSIG`, would
//! end a process with the thread that has started it, and reaches one generation only.)

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::{MARK, NotStarted, command_for_what_stays};

/// The hidden command of `hil` that is the second process.
pub(crate) const COMMAND: &str = "end-orphans";
/// How often it is looked for more, for what is ended may just be starting something.
const SEARCHES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Ends what this program has started, should this program be killed.
#[derive(Debug)]
pub struct Watcher(Option<ChildStdin>);

impl Watcher {
    /// Has another process watch over this one, which must be `hil`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start() -> Result<Self, NotStarted> {
        // The file may have been replaced since.
        let mut watcher = command_for_what_stays("/proc/self/exe");
        watcher.args([COMMAND, &mark()]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C is not for it.
        let started = watcher.process_group(0).spawn().map_err(NotStarted::of(&watcher))?;
        Ok(Watcher(started.stdin))
    }

    /// Nothing is left that was not meant to stay.
    pub fn dismiss(mut self) {
        // It may have been ended itself.
        let _ = self.0.as_mut().map(|pipe| pipe.write_all(b"."));
    }
}

/// What the second process does: waits for the end of the first, and ends what has `mark`.
pub fn end_orphans(mark: &str) {
    if matches!(io::stdin().read(&mut [0]), Ok(1)) {
        return;
    }
    let marked = format!("{MARK}={mark}");
    for _ in 0..SEARCHES {
        let orphans = processes_with(marked.as_bytes());
        for process in orphans {
            // It may have ended in this moment.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(PAUSE);
    }
}

/// Processes of this user that were started with the variable `marked`.
fn processes_with(marked: &[u8]) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let is_marked = |number: &i32| {
        // Those of others cannot be read.
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == marked)
    };
    numbers.filter(is_marked).filter_map(Pid::from_raw).collect()
}

/// This process's number and when it began: no other's, at any time since this machine was started.
pub(super) fn mark() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything (proc_pid_stat(5)).
    let began = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(19));
    format!("{}-{}", std::process::id(), began.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_mark_and_so_is_what_it_starts() {
        let mut shell = super::super::command("sh");
        shell.args(["-c", "sleep 60 & wait"]).env(MARK, "a test's");
        let mut shell = shell.process_group(0).spawn().unwrap();
        let found = || processes_with(format!("{MARK}=a test's").as_bytes());
        assert!((0..500).any(|_| {
            thread::sleep(PAUSE);
            found().len() == 2
        }));
        found().into_iter().for_each(|process| kill_process(process, Signal::KILL).unwrap());
        shell.wait().unwrap();
        assert!((0..500).any(|_| {
            thread::sleep(PAUSE);
            found().is_empty()
        }));
        assert_eq!(mark(), mark());
    }
}
