//! Starting a program, waiting for it, and what it leaves behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hil_tests::system::held_port::HeldPort;
use record::{FollowedRun, StoredRun, Summary};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use scenario::catalogue::Catalogue;
use tempfile::TempDir;

/// How long anything may take. Each takes a second or a few; a machine under load must not fail a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One of the project's programs, with none of the surroundings' settings.
pub(crate) fn program(name: &str) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_hil")).with_file_name(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is missing: run `cargo test --workspace`, which builds it", path.display());
    undisturbed(path)
}

/// `hil` with these words, each of any kind that a command line takes.
macro_rules! hil {
    ($($word:expr),+ $(,)?) => {{
        let mut command = $crate::process::program("hil");
        $(command.arg($word);)+
        command
    }};
}
pub(crate) use hil;

/// A command with none of the surroundings' settings.
pub(crate) fn undisturbed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // Started by cargo, hil would build its siblings anew while they are in use.
    command.env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
    for (name, _) in std::env::vars_os() {
        if ["OUTPOST_", "SLURM_", "JOB_COMPLETION"]
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A running program that does not outlive this value.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: TempDir,
}

/// How a program ended and what it said.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// In a group of its own, as a shell starts it in a terminal.
    pub(crate) fn start_in_terminal(mut command: Command) -> Self {
        command.process_group(0);
        Process::start(command)
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let name = Path::new(command.get_program()).file_name().unwrap().display().to_string();
        let output = tempfile::tempdir().unwrap();
        let file = |name| File::create(output.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name, child, output }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Ctrl-C in its terminal: it reaches whatever this program has started, too.
    pub(crate) fn interrupt_all(&self) {
        kill_process_group(self.pid(), Signal::INT).unwrap();
    }

    /// SIGKILL: it has no chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has said `text` on standard error.
    pub(crate) fn wait_for_words(&mut self, text: &str) {
        wait_until(&format!("{} says `{text}`", self.name), || {
            assert!(self.is_running(), "{} has ended:\n{}", self.name, self.stderr());
            self.stderr().contains(text)
        });
    }

    /// Waits until it has ended.
    pub(crate) fn outcome(self) -> Outcome {
        self.outcome_within(PATIENCE)
    }

    /// Waits that long until it has ended.
    pub(crate) fn outcome_within(mut self, patience: Duration) -> Outcome {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} does not end; it said:\n{}", self.name, self.stderr());
            sleep(Duration::from_millis(10));
        };
        let stdout = fs::read_to_string(self.output.path().join("stdout")).unwrap();
        Outcome { code: status.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `command` and waits until it has ended.
pub(crate) fn run(command: Command) -> Outcome {
    Process::start(command).outcome()
}

impl Outcome {
    /// Itself, having ended well.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.ended_with(0)
    }

    /// Itself, having ended with `code`.
    #[track_caller]
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }

    /// The only line on standard error, of a program that ended with `code`; each of `parts` must be in it.
    #[track_caller]
    pub(crate) fn complains(self, code: i32, parts: &[&str]) {
        let this = self.ended_with(code);
        assert_eq!(this.stderr.lines().count(), 1, "not one line:\n{}", this.stderr);
        this.says(parts);
    }

    /// Each of `parts` must be in what it said on standard error.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        assert_has(&self.stderr, parts);
        self
    }

    /// Each of `parts` must be in the last line that it said there.
    #[track_caller]
    pub(crate) fn ends_by_saying(&self, parts: &[&str]) {
        assert_has(self.stderr.lines().last().unwrap_or_default(), parts);
    }

    /// Each of `parts` must be in what it printed on standard output.
    #[track_caller]
    pub(crate) fn prints(&self, parts: &[&str]) -> &Self {
        assert_has(&self.stdout, parts);
        self
    }
}

/// That each of `parts` is in `text`.
#[track_caller]
pub(crate) fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

/// The run in `out`.
#[track_caller]
pub(crate) fn stored(out: &Path) -> StoredRun {
    StoredRun::open(out, &Catalogue::standard()).unwrap()
}

/// The summary of the finished run in `out`.
#[track_caller]
pub(crate) fn summary(out: &Path) -> Summary {
    stored(out).finished().unwrap().expect("the run is finished")
}

/// How many rounds the run in `out` has recorded.
pub(crate) fn recorded_rounds(out: &Path) -> usize {
    FollowedRun::of(out).recorded().unwrap() as usize
}

/// Waits until the run in `out` has recorded `rounds` rounds.
pub(crate) fn wait_for_rounds(out: &Path, rounds: usize) {
    wait_until(&format!("round {rounds} of {}", out.display()), || recorded_rounds(out) >= rounds);
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Numbers of the processes whose words `are` what is looked for. One that has just ended has no words.
pub(crate) fn processes(are: impl Fn(&[String]) -> bool) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let looked_for = |process: &PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        are(&words.collect::<Vec<_>>())
    };
    let number = |process: PathBuf| process.file_name().unwrap().display().to_string();
    processes.filter(looked_for).map(number).collect()
}

/// Writes the program `text` to `path`.
pub(crate) fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What comes of `future`, on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Whether Python can import `module`. Where it cannot, the calling test is skipped.
pub(crate) fn python_has(module: &str) -> bool {
    let python = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    let has = python.is_ok_and(|output| output.status.success());
    if !has {
        link::skipped(module, "python3 cannot import it");
    }
    has
}

/// A broker that is away, at a port that nobody listens on while this is held.
pub(crate) fn no_broker() -> (HeldPort, String) {
    let port = HeldPort::local().unwrap();
    let broker = format!("mqtt://{}", port.address());
    (port, broker)
}

/// The data sets of this repository.
pub(crate) fn datasets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets")
}
