//! An emulated board that is switched on.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use wire::identity::DeviceId;

use super::message::BoardMessage;
use crate::fleet::boards::Board;
use crate::fleet::deploy::last_words;
use crate::system::Child;
use crate::system::child_output::end_of;
use crate::system::children;
use crate::system::find_program;

/// The longest line that a board may say. What is longer is none of `init`'s.
const LONGEST_LINE: u64 = 4096;
/// Most that a board may say until it is switched off, in bytes; `init` says some twenty for each thing it does.
const MOST: u64 = 4 << 20;
/// Where the last words are looked for, in bytes at the end of what the console has shown.
const LAST: u64 = 64 << 10;

/// How a board is emulated.
#[derive(Clone, Debug)]
pub(super) struct Hardware {
    pub(super) device: DeviceId,
    pub(super) board: Board,
    pub(super) qemu: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    /// All that the kernel and the client print, one boot after the other.
    pub(super) console: PathBuf,
}

/// A board that is switched on. Dropped, it is switched off.
#[derive(Debug)]
pub(super) struct Machine {
    #[expect(dead_code, reason = "dropped, it ends the emulator")]
    process: Child,
    ask: ChildStdin,
    said: Receiver<BoardMessage>,
}

/// The program that emulates boards.
///
/// # Errors
/// If it is not installed.
pub fn qemu() -> anyhow::Result<PathBuf> {
    find_program(&["qemu-system-aarch64"])
        .context("qemu-system-aarch64 is not installed; apt-get install qemu-system-arm")
}

impl Hardware {
    /// Switches the board on; with `start` it starts its client by itself.
    pub(super) fn switch_on(&self, start: bool) -> anyhow::Result<Machine> {
        let mut command = children::command(&self.qemu);
        // Ctrl-C is for this program, which lets the clients leave.
        command.args(self.arguments(start)).process_group(0);
        let name = format!("the emulator of {}", self.device);
        let (process, ask, answers) = Child::start_talking(&name, command, &self.console)?;
        let (tell, said) = channel();
        // Ends with the emulator, whose end of the pipe is closed then.
        thread::spawn(move || {
            let mut answers = BufReader::new(answers.take(MOST));
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = answers.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
                if !matches!(read, Ok(1..)) {
                    return;
                }
                let heard = BoardMessage::parse(&String::from_utf8_lossy(&line));
                if heard.is_some_and(|said| tell.send(said).is_err()) {
                    return;
                }
            }
        });
        Ok(Machine { process, ask, said })
    }

    fn arguments(&self, start: bool) -> Vec<OsString> {
        let start = if start { "yes" } else { "no" };
        let Board { memory_mib, cores, processor, .. } = &self.board;
        let plain = [
            "-machine virt -nodefaults -display none -no-reboot".to_owned(),
            format!("-cpu {processor} -smp {cores} -m {memory_mib}"),
            "-chardev stdio,id=bench,signal=off -device virtio-serial-pci -device virtserialport,chardev=bench"
                .to_owned(),
            "-netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile=".to_owned(),
            "-serial chardev:console".to_owned(),
        ];
        let mut arguments: Vec<OsString> =
            plain.iter().flat_map(|words| words.split(' ')).map(OsString::from).collect();
        let append = format!("console=ttyAMA0 loglevel=4 panic=-1 rdinit=/init BOARD_START={start}");
        let mut console = OsString::from("file,id=console,append=on,path=");
        console.push(doubled_commas(&self.console));
        for (option, value) in [
            ("-kernel", self.kernel.clone().into_os_string()),
            ("-initrd", self.initramfs.clone().into_os_string()),
            ("-append", append.into()),
            ("-chardev", console),
        ] {
            arguments.extend([option.into(), value]);
        }
        arguments
    }

    /// What the console ended with, in a line: that of a kernel that has given up says most.
    pub(super) fn last_words(&self) -> String {
        let console = end_of(&self.console, LAST);
        let panic = console.lines().rev().take(100).find(|line| line.contains("Kernel panic"));
        last_words(panic.unwrap_or(&console))
    }
}

impl Machine {
    /// Asks for something, in a line.
    pub(super) fn ask(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.ask, "{line}").context("the board does not listen any more")
    }

    /// What it has said since, one after the other; `None` for nothing. Does not wait.
    ///
    /// # Errors
    /// [`IsDown`] when it has said all that it will ever say.
    pub(super) fn heard(&self) -> Result<Option<BoardMessage>, IsDown> {
        match self.said.try_recv() {
            Ok(said) => Ok(Some(said)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(IsDown),
        }
    }

    /// What it says next, waiting for it.
    ///
    /// # Errors
    /// [`IsDown`] when it has said all that it will ever say.
    pub(super) fn wait_for_word(&self, patience: Duration) -> Result<Option<BoardMessage>, IsDown> {
        match self.said.recv_timeout(patience) {
            Ok(said) => Ok(Some(said)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(IsDown),
        }
    }
}

/// The board is down: its emulator has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsDown;

/// As QEMU reads a path among other settings.
fn doubled_commas(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}
