//! One device over the user's own ssh.
//!
//! Host keys are checked as the user's configuration says; nothing here relaxes that. ssh never asks (`BatchMode`): a
//! key that is unknown or locked is an error.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use crate::inventory::Device;

const SCRIPT: &str = include_str!("remote.sh");

/// What ssh ends with when it could not run the command.
pub(crate) const NOT_CONNECTED: i32 = 255;

/// Why something did not work on a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// There is no ssh here.
    #[error("cannot start ssh: {0}; install the OpenSSH client")]
    NoSsh(std::io::Error),
    /// The device was not reached.
    #[error("{place} cannot be reached: {said}{advice}")]
    Unreachable {
        /// Host, and who logs in.
        place: String,
        /// What ssh said.
        said: String,
        /// What to do, where it is known.
        advice: &'static str,
    },
    /// A command failed there.
    #[error("{action} failed: {said}")]
    Failed {
        /// What was asked for.
        action: String,
        /// What it said.
        said: String,
    },
}

/// A device that is reached over ssh.
#[derive(Clone, Debug)]
pub(crate) struct Ssh {
    /// Host, and who logs in.
    place: String,
    port: Option<u16>,
    /// The folder on the device.
    root: String,
    options: Vec<OsString>,
}

impl Ssh {
    /// `options` are handed to ssh as they are.
    pub(crate) fn new(device: &Device, options: &[OsString]) -> Self {
        let place = format!("{}@{}", device.user, device.address.as_deref().unwrap_or_default());
        Ssh { place, port: device.port, root: device.root.clone(), options: options.to_vec() }
    }

    /// Runs one action of the script and gives what it printed.
    pub(crate) fn run(&self, action: &str, arguments: &[&str]) -> Result<String, SshError> {
        self.run_with(action, arguments, Vec::new())
    }

    /// As [`Ssh::run`], with `input` on standard input.
    pub(super) fn run_with(
        &self,
        action: &str,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<String, SshError> {
        let mut ssh = self.command(action, arguments);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().map_err(SshError::NoSsh)?;
        let stdin = child.stdin.take();
        let feed = thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                // Who does not want it all has failed, and says why.
                let _ = stdin.write_all(&input);
            }
        });
        let output = child.wait_with_output().map_err(SshError::NoSsh)?;
        let _ = feed.join();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = last_words(&String::from_utf8_lossy(&output.stderr));
        if output.status.code() == Some(NOT_CONNECTED) {
            return Err(self.unreachable(said));
        }
        Err(SshError::Failed { action: action.to_owned(), said })
    }

    /// The error that ssh, which ended with [`NOT_CONNECTED`], has `said`.
    pub(crate) fn unreachable(&self, said: String) -> SshError {
        SshError::Unreachable { place: self.place.clone(), advice: advice(&said), said }
    }

    /// The command that runs one action of the script. It ends with [`NOT_CONNECTED`] if ssh cannot run it.
    pub(crate) fn command(&self, action: &str, arguments: &[&str]) -> Command {
        let mut words = vec!["sh", "-c", SCRIPT, "hil", action, &self.root];
        words.extend(arguments);
        let line = words.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
        // A connection that has died must not be waited for for ever.
        ssh.args(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]);
        ssh.args(&self.options);
        if let Some(port) = self.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.args(["--", &self.place, &line]);
        // Ctrl-C is for this program, which lets each step on a device come to its end.
        ssh.process_group(0);
        ssh
    }
}

/// A word as a shell reads it back, whatever is in it.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The last lines of what was said, in one, without what a terminal would obey.
pub(crate) fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" / ");
    let plain: String = last.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if plain.is_empty() { "it said nothing".to_owned() } else { plain }
}

fn advice(said: &str) -> &'static str {
    if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || said.contains("Host key verification failed")
    {
        "; log in once by hand with ssh and compare the fingerprint of its host key"
    } else if said.contains("Permission denied") {
        "; ssh must log in without asking: check the key, and that the agent has it"
    } else if said.contains("Could not resolve") {
        "; correct its `address` in the inventory"
    } else if ["refused", "timed out", "No route", "unreachable"].iter().any(|word| said.contains(word)) {
        "; is it switched on and on the network, and does sshd run there?"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_word_back() {
        for word in ["plain", "it's", "$(reboot) `x` \"y\" \\ \n;", ""] {
            let output =
                Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    /// Runs one action of the script on this machine, as a device would.
    fn act(root: &std::path::Path, words: &[&str], input: &[u8]) -> Result<String, String> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "hil", words[0]]).arg(root).args(&words[1..]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // An action that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    #[test]
    fn a_file_that_arrives_damaged_is_never_part_of_a_release() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        act(root, &["look"], b"").unwrap();
        act(root, &["stage", "r1"], b"").unwrap();
        let digest = shared::identity::Digest::of(b"whole").to_string();
        let error = act(root, &["put", "r1", "device.key", "0600", &digest], b"who").unwrap_err();
        assert!(error.contains("device.key arrived damaged"), "{error}");
        assert_eq!(std::fs::read_dir(root.join("releases/.partial-r1")).unwrap().count(), 0);
        act(root, &["put", "r1", "device.key", "0600", &digest], b"whole").unwrap();
        act(root, &["complete", "r1"], b"").unwrap();
        let metadata = std::fs::metadata(root.join("releases/r1/device.key")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn old_releases_go_but_never_the_one_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for release in ["1", "2", "3", "4", "5"] {
            std::fs::create_dir_all(root.join("releases").join(release)).unwrap();
        }
        act(root, &["activate", "1"], b"").unwrap();
        act(root, &["prune", "3"], b"").unwrap();
        let mut left: Vec<_> = std::fs::read_dir(root.join("releases"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["1", "3", "4", "5"]);
        assert!(act(root, &["activate", "6"], b"").unwrap_err().contains("no release 6"));
        assert!(act(root, &["look"], b"").unwrap().contains("current 1\n"));
    }

    /// What sudo is asked for, in the form of the rule that allows it.
    const SUDO: &str = "#!/bin/sh\nshift\necho \"$*\" >>\"$LOG\"\n";
    const SYSTEMCTL: &str = "#!/bin/sh\nexit 1\n";

    #[test]
    fn under_systemd_root_does_exactly_what_the_sudo_rules_of_the_first_boot_allow() {
        let folder = tempfile::tempdir().unwrap();
        let (root, log) = (folder.path().join("outpost"), folder.path().join("log"));
        for (name, text) in [("sudo", SUDO), ("systemctl", SYSTEMCTL)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1").join(super::super::UNIT), "[Unit]\n").unwrap();
        act(&root, &["activate", "1"], b"").unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        for action in ["start", "stop"] {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT, "hil", action]).arg(&root).arg("systemd");
            let output = command.env("PATH", &path).env("LOG", &log).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let text = include_str!("../../../firmware-configs/fleets/shelf.toml");
        let mut device = crate::inventory::Inventory::parse("shelf.toml", text).unwrap().devices.remove(0);
        device.root = root.display().to_string();
        let mut asked: Vec<String> =
            std::fs::read_to_string(&log).unwrap().lines().map(ToOwned::to_owned).collect();
        assert!(asked[0].contains("install") && asked[5].contains("stop"), "{asked:?}");
        let mut allowed = super::super::root_commands(&device);
        asked.sort();
        allowed.sort();
        assert_eq!(asked, allowed);
    }

    #[test]
    fn what_a_device_says_is_one_short_line() {
        assert_eq!(last_words("a\n\nb\nc\u{1b}[31m\nd\n"), "b / c?[31m / d");
        assert_eq!(last_words("\n"), "it said nothing");
    }
}
