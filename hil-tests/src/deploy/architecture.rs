//! Which machines a program runs on.

use std::fmt;

use anyhow::{Context, bail};

/// The processors that clients are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Arm64,
    Arm32,
    X86,
}

impl Architecture {
    /// The architecture of the program in `bytes`, from its ELF header; `None` for a script, which runs anywhere.
    ///
    /// # Errors
    /// If it is neither, or for a machine that no client is built for.
    pub(super) fn of(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        if bytes.starts_with(b"#!") {
            return Ok(None);
        }
        if !bytes.starts_with(b"\x7fELF") {
            bail!("no program for Linux");
        }
        // e_machine, after e_ident of 16 bytes and e_type of 2; little-endian on all of these.
        let machine: [u8; 2] =
            bytes.get(18..20).and_then(|at| at.try_into().ok()).context("no whole program")?;
        match u16::from_le_bytes(machine) {
            183 => Ok(Some(Architecture::Arm64)),
            40 => Ok(Some(Architecture::Arm32)),
            62 => Ok(Some(Architecture::X86)),
            other => bail!("a program for a machine of ELF number {other}, which is no board's"),
        }
    }

    /// The architecture of a Rust target.
    pub(super) fn of_target(triple: &str) -> Option<Self> {
        match triple.split('-').next()? {
            "aarch64" => Some(Architecture::Arm64),
            "x86_64" => Some(Architecture::X86),
            arm if arm.starts_with("arm") => Some(Architecture::Arm32),
            _ => None,
        }
    }

    /// Whether a machine that calls itself `machine` (`uname -m`) runs it. A 64-bit ARM kernel runs 32-bit programs too,
    /// except on the few cores that cannot.
    pub(super) fn runs_on(self, machine: &str) -> bool {
        match self {
            Architecture::Arm64 => machine == "aarch64",
            Architecture::Arm32 => machine.starts_with("armv") || machine == "aarch64",
            Architecture::X86 => machine == "x86_64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Architecture::Arm64 => "64-bit ARM",
            Architecture::Arm32 => "32-bit ARM",
            Architecture::X86 => "x86-64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend([machine, 0]);
        bytes
    }

    #[test]
    fn a_program_is_known_by_its_header() {
        assert_eq!(Architecture::of(&elf(183)).unwrap(), Some(Architecture::Arm64));
        assert_eq!(Architecture::of(&elf(40)).unwrap(), Some(Architecture::Arm32));
        assert_eq!(Architecture::of(b"#!/bin/sh\n").unwrap(), None);
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Architecture::of(&this).unwrap(), Architecture::of_target(std::env::consts::ARCH));
        for wrong in [&b"text"[..], b"\x7fELF", &elf(8), b""] {
            assert!(Architecture::of(wrong).is_err());
        }
    }

    #[test]
    fn a_64_bit_board_runs_both_and_nothing_runs_elsewhere() {
        let arm = Architecture::of_target("armv7-unknown-linux-gnueabihf").unwrap();
        assert!(arm.runs_on("armv7l") && arm.runs_on("aarch64") && !arm.runs_on("x86_64"));
        assert!(Architecture::Arm64.runs_on("aarch64") && !Architecture::Arm64.runs_on("armv7l"));
    }
}
