//! One device over the user's own ssh.
//!
//! Host keys are checked as the user's configuration says; nothing here relaxes that. ssh never asks (`BatchMode`): a
//! key that is unknown or locked is an error.
//!
//! A device is logged in to once: its [`Line`](super::Line) is the login that everything else goes through. Without a
//! line, or where sshd lets one login carry one command only, each command logs in by itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use input::advice::advice_on_starting;
use link::random_id;

use crate::fleet::inventory::Device;
use crate::system::child_output::{Limits, OutputError, output};
use crate::system::children;

pub(super) const SCRIPT: &str = include_str!("remote.sh");

/// What ssh ends with when it could not run the command.
pub(super) const NOT_CONNECTED: i32 = 255;
/// The slowest that a device is waited for, in bytes a second.
const SLOWEST: u64 = 32 << 10;
/// Most of a log that is fetched, in bytes; its end.
const LONGEST_LOG: usize = 16 << 20;
/// The longest path of a socket, without what ssh adds while it makes it.
const LONGEST_PATH: usize = 80;

/// Why something did not work on a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// There is no ssh here.
    #[error("cannot start ssh, the OpenSSH client: {}{}", .0, advice_on_starting(.0))]
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
    /// It was reached, and answers too much or nothing.
    #[error("{place} is reached, but does not answer to {action}: {why}")]
    NoAnswer {
        /// Host, and who logs in.
        place: String,
        /// What was asked for.
        action: String,
        /// How that was noticed.
        why: String,
    },
    /// This program is to stop.
    #[error("{action}: interrupted")]
    Interrupted {
        /// What was asked for.
        action: String,
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

impl SshError {
    /// Whether the device is not there, or as good as not: a fleet can do without it.
    pub(crate) fn is_of_absence(&self) -> bool {
        matches!(self, SshError::Unreachable { .. } | SshError::NoAnswer { .. })
    }
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
    /// The socket of its line.
    socket: Option<PathBuf>,
}

impl Ssh {
    /// `options` go to ssh as they are; the socket of its line lies in `folder`, which only this user can read.
    pub(crate) fn new(device: &Device, options: &[OsString], folder: &Path) -> Self {
        let place = format!("{}@{}", device.user, device.address.as_deref().unwrap_or_default());
        // Short, and without what ssh would replace.
        let socket = folder.join(device.id.0.to_string());
        let path = socket.as_os_str().as_bytes();
        let usable = path.len() <= LONGEST_PATH && !path.contains(&b'%');
        let (port, root, options) = (device.port, device.root.clone(), options.to_vec());
        Ssh { place, port, root, options, socket: usable.then_some(socket) }
    }

    /// Runs one action of the script and gives what it printed.
    pub(crate) fn run(
        &self,
        action: &str,
        arguments: &[&str],
        stop: &AtomicBool,
    ) -> Result<String, SshError> {
        self.run_with(action, arguments, Vec::new(), stop)
    }

    /// The client's log, or its end if it is long.
    pub(crate) fn log(&self, service: &str) -> Result<String, SshError> {
        let limits = Limits {
            size: 2 * LONGEST_LOG,
            time: Limits::BRIEF.time + Duration::from_secs(LONGEST_LOG as u64 / SLOWEST),
            stop: None,
        };
        self.run_within("whole-log", &[service, &LONGEST_LOG.to_string()], Vec::new(), limits)
    }

    /// As [`Ssh::run`], with `input` on standard input.
    pub(super) fn run_with(
        &self,
        action: &str,
        arguments: &[&str],
        input: Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<String, SshError> {
        let time = Limits::BRIEF.time + Duration::from_secs(input.len() as u64 / SLOWEST);
        self.run_within(action, arguments, input, Limits { time, stop: Some(stop), ..Limits::BRIEF })
    }

    fn run_within(
        &self,
        action: &str,
        arguments: &[&str],
        input: Vec<u8>,
        limits: Limits<'_>,
    ) -> Result<String, SshError> {
        let mark = mark();
        let mut ssh = self.command("no", &mark, action, arguments);
        let output = output(&mut ssh, input, limits).map_err(|error| match error {
            OutputError::Start(error) => SshError::NoSsh(error),
            OutputError::Interrupted => SshError::Interrupted { action: action.to_owned() },
            error => self.no_answer(action, error.to_string()),
        })?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(NOT_CONNECTED) {
            return Err(self.unreachable(last_words(&stderr)));
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let Some(answer) = after_mark(&stdout, &mark) else {
            let said = last_words(&format!("{stdout}\n{stderr}"));
            return Err(self.no_answer(action, format!("its login runs no command, and says: {said}")));
        };
        if output.status.success() {
            return Ok(answer.to_owned());
        }
        let said = last_words(after_mark(&stderr, &mark).unwrap_or(&stderr));
        Err(SshError::Failed { action: action.to_owned(), said })
    }

    /// The error that ssh, which could not connect, has `said`.
    pub(super) fn unreachable(&self, said: String) -> SshError {
        SshError::Unreachable { place: self.place.clone(), advice: advice(&said), said }
    }

    /// The error that the device does not answer to `action`.
    pub(super) fn no_answer(&self, action: &str, why: String) -> SshError {
        SshError::NoAnswer { place: self.place.clone(), action: action.to_owned(), why }
    }

    /// The command that logs in for all others, and runs the script's `line`.
    pub(super) fn line_command(&self, mark: &str, arguments: &[&str]) -> Command {
        if let Some(socket) = &self.socket {
            // One that was killed has left it, and the next could not make its own.
            let _ = fs::remove_file(socket);
        }
        self.command("yes", mark, "line", arguments)
    }

    /// The command that runs one action of the script, as the `master` of its connection or through the one there is.
    fn command(&self, master: &str, mark: &str, action: &str, arguments: &[&str]) -> Command {
        let mut words = vec!["sh", "-c", SCRIPT, "hil", mark, action, &self.root];
        words.extend(arguments);
        let line = words.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
        let mut ssh = children::command("ssh");
        ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
        // A connection that has died must not be waited for for ever.
        ssh.args(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]);
        if let Some(socket) = &self.socket {
            ssh.arg("-S").arg(socket).args(["-o", &format!("ControlMaster={master}")]);
            ssh.args(["-o", "ControlPersist=no"]);
        }
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

/// What stands before each answer: a word that nothing else that a login prints can hold.
pub(super) fn mark() -> String {
    format!("hil-{:016x}", random_id())
}

/// What comes after the line that ends with `mark`.
fn after_mark<'a>(said: &'a str, mark: &str) -> Option<&'a str> {
    said.split_once(&format!("{mark}\n")).map(|(_, answer)| answer)
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
#[allow(clippy::disallowed_methods, reason = "a device's shell, not this program's child")]
mod tests {
    use std::io::Write as _;
    use std::process::Stdio;

    use super::*;
    use crate::fleet::inventory::Inventory;
    use crate::fleet::provision::{UNIT, root_commands};

    #[test]
    fn what_a_login_says_is_no_part_of_an_answer() {
        let said = "machine sparc\n+ sh -c hil hil-1 look /opt\nWelcome> hil-1\nmachine aarch64\n";
        assert_eq!(after_mark(said, "hil-1"), Some("machine aarch64\n"));
        assert_eq!(after_mark("This account is currently not available.\n", "hil-1"), None);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_back() {
        for word in ["plain", "it's", "$(reboot) `x` \"y\" \\ \n;", ""] {
            let output =
                Command::new("sh").args(["-c", &format!("printf %s {}", quoted(word))]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    /// One action of the script, for a device whose folder is `root`.
    fn script(root: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "hil", "mark", words[0]]).arg(root).args(&words[1..]);
        command
    }

    /// Runs one action of the script on this machine, as a device would whose user has settings of the client.
    fn act(root: &Path, words: &[&str], input: &[u8]) -> Result<String, String> {
        let mut command = script(root, words);
        command.env("OUTPOST_TOPIC_PREFIX", "lab");
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
        let digest = wire::identity::Digest::of(b"whole").to_string();
        let error = act(root, &["put", "r1", "device.key", "0600", &digest], b"who").unwrap_err();
        assert!(error.contains("device.key arrived damaged"), "{error}");
        assert_eq!(std::fs::read_dir(root.join("releases/.partial-r1")).unwrap().count(), 0);
        act(root, &["put", "r1", "device.key", "0600", &digest], b"whole").unwrap();
        act(root, &["complete", "r1"], b"").unwrap();
        let metadata = std::fs::metadata(root.join("releases/r1/device.key")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_client_that_is_started_on_a_board_has_no_settings_but_those_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let release = folder.path().join("releases/1");
        std::fs::create_dir_all(&release).unwrap();
        write_program(&release.join("edge-client"), "#!/bin/sh\nenv >\"${0%/*}/environment\"\n");
        act(folder.path(), &["activate", "1"], b"").unwrap();
        act(folder.path(), &["start", "process"], b"").unwrap();
        let environment = std::fs::read_to_string(release.join("environment")).unwrap();
        assert!(environment.contains("PATH=") && !environment.contains("OUTPOST_"), "{environment}");
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

    fn write_program(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Programs in `folder` that stand in for those of a board; gives the `PATH` that finds them.
    fn stand_ins(folder: &Path, programs: &[(&str, &str)]) -> String {
        for (name, text) in programs {
            write_program(&folder.join(name), text);
        }
        format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
    }

    /// What sudo is asked for, in the form of the rule that allows it.
    const SUDO: &str = "#!/bin/sh\nshift\necho \"$*\" >>\"$LOG\"\n";
    const SYSTEMCTL: &str = "#!/bin/sh\nexit 1\n";

    #[test]
    fn under_systemd_root_does_exactly_what_the_sudo_rules_of_the_first_boot_allow() {
        let folder = tempfile::tempdir().unwrap();
        let (root, log) = (folder.path().join("outpost"), folder.path().join("log"));
        let path = stand_ins(folder.path(), &[("sudo", SUDO), ("systemctl", SYSTEMCTL)]);
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1").join(UNIT), "[Unit]\n").unwrap();
        act(&root, &["activate", "1"], b"").unwrap();
        for action in ["start", "stop"] {
            let mut command = script(&root, &[action, "systemd"]);
            let output = command.env("PATH", &path).env("LOG", &log).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        let text = include_str!("../../../../firmware-configs/fleets/shelf.toml");
        let mut device = Inventory::parse("shelf.toml", text).unwrap().devices.remove(0);
        device.root = root.display().to_string();
        let mut asked: Vec<String> =
            std::fs::read_to_string(&log).unwrap().lines().map(ToOwned::to_owned).collect();
        assert!(asked[0].contains("install") && asked[5].contains("stop"), "{asked:?}");
        let mut allowed = root_commands(&device);
        asked.sort();
        allowed.sort();
        assert_eq!(asked, allowed);
    }

    #[test]
    fn what_a_device_says_is_one_short_line() {
        assert_eq!(last_words("a\n\nb\nc\u{1b}[31m\nd\n"), "b / c?[31m / d");
        assert_eq!(last_words("\n"), "it said nothing");
    }

    /// A journal of one unit; what systemd says of it is not the unit's own.
    const JOURNALCTL: &str =
        "#!/bin/sh\ncase $1 in _SYSTEMD_UNIT=*) cat \"$OWN\" ;; *) cat \"$OWN\" \"$ALL\" ;; esac\n";

    #[test]
    fn the_last_words_of_a_client_are_its_own_and_not_those_of_systemd() {
        let folder = tempfile::tempdir().unwrap();
        let path = stand_ins(folder.path(), &[("journalctl", JOURNALCTL)]);
        let (own, all) = (folder.path().join("own"), folder.path().join("all"));
        let of_systemd =
            "Main process exited, code=exited, status=1/FAILURE\nFailed with result 'exit-code'.\n";
        std::fs::write(&all, of_systemd).unwrap();
        let last_words = |said: &str| {
            std::fs::write(&own, said).unwrap();
            let mut command = script(folder.path(), &["last-words", "systemd"]);
            let output = command.env("PATH", &path).env("OWN", &own).env("ALL", &all).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            super::last_words(after_mark(&said, "mark").unwrap())
        };
        let crash = "INFO starting\nedge-client: shard: no such file\n";
        assert_eq!(last_words(&format!("{crash}INFO starting\n")), "edge-client: shard: no such file");
        assert_eq!(last_words("thread panicked\nout of memory\n"), "thread panicked/out of memory");
        // One that never ran has said nothing.
        assert!(last_words("").contains("Failed with result"));
    }

    /// The line of a holder, and what it is answered at first.
    fn line(root: &Path, token: &str, force: &str, owner: &str) -> (std::process::Child, String) {
        use std::io::BufRead as _;
        let mut command = script(root, &["line", "process", token, force, owner, "noon"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = std::io::BufReader::new(child.stdout.take().unwrap()).lines().nth(1).unwrap().unwrap();
        (child, said)
    }

    #[test]
    fn a_device_belongs_to_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("outpost");
        let line = |token: &str, force: &str, owner: &str| line(&root, token, force, owner);
        let end = |mut child: std::process::Child| {
            drop(child.stdin.take());
            child.wait().unwrap();
        };
        let (first, said) = line("1", "no", "ada@lab for run a");
        assert_eq!(said, "mark 0 ok");
        let refusal = "mark 0 failed in use by ada@lab for run a since noon; wait for its end, or take the device with \
                       --take-over";
        // The same owner, too: two of them are at it.
        for owner in ["bob@lab for run b", "ada@lab for run a"] {
            let (refused, said) = line("2", "no", owner);
            assert!(said.starts_with(refusal), "{said}");
            end(refused);
        }
        // Its line was lost: its own run may come back while that is noticed, and so may the same command.
        let (again, said) = line("1", "no", "ada@lab for run a");
        assert_eq!(said, "mark 0 ok");
        end(first);
        end(again);
        let (refused, said) = line("2", "no", "bob@lab for run b");
        assert!(said.starts_with(refusal), "{said}");
        end(refused);
        let (second, said) = line("3", "no", "ada@lab for run a");
        assert_eq!(said, "mark 0 ok");
        // Taken over, it ends.
        let (other, said) = line("2", "yes", "bob@lab for run b");
        assert_eq!(said, "mark 0 ok");
        let ended = { second }.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
        end(other);
        // Whoever holds it has been gone for long.
        let old = ["-d", "2 minutes ago"];
        assert!(Command::new("touch").args(old).arg(root.join("claim")).status().unwrap().success());
        let (last, said) = line("4", "no", "eve@lab for run c");
        assert_eq!(said, "mark 0 ok");
        end(last);
    }

    #[test]
    fn what_is_let_go_is_free_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, _) = line(folder.path(), "1", "no", "ada@lab for run a");
        first.stdin.as_mut().unwrap().write_all(b"1 let-go '1'\n").unwrap();
        drop(first.stdin.take());
        first.wait().unwrap();
        let (mut second, said) = line(folder.path(), "2", "no", "bob@lab for run b");
        assert_eq!(said, "mark 0 ok");
        drop(second.stdin.take());
        second.wait().unwrap();
    }

    /// Counts how often it runs.
    const SHA256SUM: &str = "#!/bin/sh\necho >>\"$LOG\"\nexec /usr/bin/sha256sum\n";

    #[test]
    fn a_client_is_digested_once_as_long_as_it_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (root, log) = (folder.path().join("outpost"), folder.path().join("log"));
        let path = stand_ins(folder.path(), &[("sha256sum", SHA256SUM)]);
        let look = || {
            let mut command = script(&root, &["look"]);
            let output = command.env("PATH", &path).env("LOG", &log).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let runs = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
            (runs, String::from_utf8(output.stdout).unwrap())
        };
        look();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::fs::write(root.join("releases/1/edge-client"), "client").unwrap();
        act(&root, &["activate", "1"], b"").unwrap();
        let file = |content: &[u8]| format!("file {} edge-client\n", wire::identity::Digest::of(content));
        let (runs, said) = look();
        assert!(runs == 1 && said.ends_with(&file(b"client")), "{runs}: {said}");
        let (runs, said) = look();
        assert!(runs == 1 && said.ends_with(&file(b"client")), "{runs}: {said}");
        std::fs::write(root.join("releases/1/edge-client"), "tneilc").unwrap();
        let (runs, said) = look();
        assert!(runs == 2 && said.ends_with(&file(b"tneilc")), "{runs}: {said}");
    }
}
