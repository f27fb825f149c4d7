//! What ends a program when this one is killed, and cannot.
//!
//! A shell waits for the end of a pipe that only this process holds, and then ends the program with all that it has started.
//! (The kernel's own means, `PR_SET_PDEATHSIG`, would end the program with the thread that has started it.)

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use tracing::warn;

/// Waits for the end of its input, and ends the process group whose number it is given.
const SCRIPT: &str = r#"read -r _; kill -KILL "-$0""#;

/// The shell that waits.
#[derive(Debug)]
pub(crate) struct Watch(Option<Child>);

impl Watch {
    /// Has the process group of this number ended when this process ends.
    pub(crate) fn over(group: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, &group.to_string()]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C is not for it.
        let started = shell.process_group(0).spawn();
        if let Err(error) = &started {
            warn!(
                "no shell watches over process {group}, which may go on if this program is killed: {error}"
            );
        }
        Watch(started.ok())
    }
}

/// There is nothing to watch over any more.
impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.0 {
            // Already gone is as good.
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_ended_when_the_pipe_is() {
        let mut group = Command::new("sh");
        group.args(["-c", "trap '' TERM; sleep 1000 & wait"]).stdin(Stdio::null());
        let mut group = group.process_group(0).spawn().unwrap();
        let mut watch = Watch::over(group.id());
        // As if this process had ended.
        drop(watch.0.as_mut().unwrap().stdin.take());
        assert!(!group.wait().unwrap().success());
    }
}
