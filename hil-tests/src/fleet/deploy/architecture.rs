//! Which machines a program runs on.

use std::fmt;

use anyhow::{Context, bail};

/// The processors that clients are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Arm64,
    /// 32-bit ARM from version 7 on.
    Armv7,
    /// What runs on the first Raspberry Pis, too.
    Armv6,
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
            // A program that does not say is taken for one of the many.
            40 => Ok(Some(match version_of_arm(bytes) {
                Some(version) if version < ARM_V7 => Architecture::Armv6,
                _ => Architecture::Armv7,
            })),
            62 => Ok(Some(Architecture::X86)),
            other => bail!("a program for a machine of ELF number {other}, which is no board's"),
        }
    }

    /// The architecture of a Rust target.
    pub(super) fn of_target(triple: &str) -> Option<Self> {
        match triple.split('-').next()? {
            "aarch64" => Some(Architecture::Arm64),
            "x86_64" => Some(Architecture::X86),
            arm if arm.starts_with("armv7") => Some(Architecture::Armv7),
            arm if arm.starts_with("arm") => Some(Architecture::Armv6),
            _ => None,
        }
    }

    /// Whether a machine that calls itself `machine` (`uname -m`) runs it. A 64-bit ARM kernel runs 32-bit programs too,
    /// except on the few cores that cannot.
    pub(super) fn runs_on(self, machine: &str) -> bool {
        match self {
            Architecture::Arm64 => machine == "aarch64",
            Architecture::Armv7 => {
                ["armv7", "armv8"].iter().any(|it| machine.starts_with(it)) || machine == "aarch64"
            }
            Architecture::Armv6 => machine.starts_with("armv6") || Architecture::Armv7.runs_on(machine),
            Architecture::X86 => machine == "x86_64",
        }
    }
}

/// What to do about a machine that calls itself so, as the end of an error.
pub(super) fn advice(machine: &str) -> &'static str {
    match machine {
        _ if machine.starts_with("armv6") => {
            "; the Pi Zero, Zero W and Pi 1 have processors that programs for ARMv7 end on: leave the board out with \
             --without, or give it a profile with target = \"arm-unknown-linux-gnueabihf\" (docs/arm.md)"
        }
        "x86_64" => "; its board is `x86-64`",
        "aarch64" => {
            "; its system is a 64-bit one: give it a board with target = \"aarch64-unknown-linux-musl\""
        }
        _ if machine.starts_with("armv") => {
            "; its system is a 32-bit one: write a 64-bit one onto its card, or give it a profile with \
             target = \"armv7-unknown-linux-gnueabihf\" (docs/arm.md)"
        }
        _ => "",
    }
}

/// Version 7 in the table of `Tag_CPU_arch`.
const ARM_V7: u64 = 10;

/// For which version of the processor a program of 32-bit ARM says that it was built: `Tag_CPU_arch` among its build
/// attributes (ABI for the Arm Architecture, addenda 32, section 3.3.5).
fn version_of_arm(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 4)?, number(46, 2)?, number(48, 2)?);
    let section = (0..count).find_map(|index| {
        let header = table.checked_add(index.checked_mul(size)?)?;
        // SHT_ARM_ATTRIBUTES
        (number(header.checked_add(4)?, 4)? == 0x7000_0003).then_some(())?;
        let start = number(header.checked_add(16)?, 4)?;
        elf.get(start..start.checked_add(number(header.checked_add(20)?, 4)?)?)
    })?;
    // The version of the format, and of its first subsection the length and the vendor's name; of that in turn the first
    // part, which is of the whole file: its tag (1) and its length.
    let attributes = section.strip_prefix(b"A")?.get(4..)?.strip_prefix(b"aeabi\0\x01")?.get(4..)?;
    let mut rest = attributes.iter().copied();
    while let Some(tag) = uleb128(&mut rest) {
        match tag {
            6 => return uleb128(&mut rest),
            // Text that ends with a zero.
            4 | 5 | 67 => drop(rest.find(|byte| *byte == 0)?),
            32 => {
                uleb128(&mut rest)?;
                rest.find(|byte| *byte == 0)?;
            }
            tag if tag > 32 && tag % 2 == 1 => drop(rest.find(|byte| *byte == 0)?),
            _ => drop(uleb128(&mut rest)?),
        }
    }
    None
}

fn uleb128(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Architecture::Arm64 => "64-bit ARM",
            Architecture::Armv7 => "32-bit ARM of version 7",
            Architecture::Armv6 => "32-bit ARM of version 6",
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

    /// A program of 32-bit ARM with these build attributes.
    fn arm(attributes: &[u8]) -> Vec<u8> {
        let mut elf = elf(40);
        elf.resize(52, 0);
        let mut section = b"A\0\0\0\0aeabi\0\x01\0\0\0\0".to_vec();
        section.extend(attributes);
        // One header of 40 bytes behind the program's own, and what it describes behind that.
        (elf[32], elf[46], elf[48]) = (52, 40, 1);
        elf.extend([0; 4]);
        elf.extend(0x7000_0003_u32.to_le_bytes());
        elf.extend([0; 8]);
        elf.extend(92_u32.to_le_bytes());
        elf.extend((section.len() as u32).to_le_bytes());
        elf.resize(92, 0);
        elf.extend(section);
        elf
    }

    #[test]
    fn a_program_is_known_by_its_header() {
        assert_eq!(Architecture::of(&elf(183)).unwrap(), Some(Architecture::Arm64));
        assert_eq!(Architecture::of(&elf(40)).unwrap(), Some(Architecture::Armv7));
        assert_eq!(Architecture::of(b"#!/bin/sh\n").unwrap(), None);
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Architecture::of(&this).unwrap(), Architecture::of_target(std::env::consts::ARCH));
        for wrong in [&b"text"[..], b"\x7fELF", &elf(8), b""] {
            assert!(Architecture::of(wrong).is_err());
        }
    }

    #[test]
    fn a_program_for_armv6_is_known_by_its_attributes_and_no_nonsense_in_them_does_harm() {
        let of = |attributes: &[u8]| Architecture::of(&arm(attributes)).unwrap().unwrap();
        // Tag_CPU_name, Tag_CPU_arch: v6KZ, as of the arm1176 of the first boards; then v7.
        assert_eq!(of(b"\x05arm1176jzf-s\0\x06\x07"), Architecture::Armv6);
        assert_eq!(of(b"\x05cortex-a7\0\x06\x0a"), Architecture::Armv7);
        assert_eq!(of(b"\x22\x01\x20\x01gnu\0\x43two\0\x06\x06"), Architecture::Armv6);
        for nonsense in [&b"\x05"[..], b"\x06", b"", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(of(nonsense), Architecture::Armv7);
        }
        let whole = arm(b"\x05arm1176jzf-s\0\x06\x07");
        for length in 20..whole.len() {
            Architecture::of(&whole[..length]).unwrap();
        }
        let mut far = whole;
        far[32..36].fill(0xff);
        assert_eq!(Architecture::of(&far).unwrap(), Some(Architecture::Armv7));
    }

    #[test]
    fn a_64_bit_board_runs_both_and_nothing_runs_elsewhere() {
        let arm = Architecture::of_target("armv7-unknown-linux-gnueabihf").unwrap();
        assert!(arm.runs_on("armv7l") && arm.runs_on("aarch64") && !arm.runs_on("x86_64"));
        assert!(Architecture::Arm64.runs_on("aarch64") && !Architecture::Arm64.runs_on("armv7l"));
    }

    #[test]
    fn what_is_built_for_armv7_does_not_run_on_a_pi_zero_and_what_is_for_armv6_runs_on_both() {
        assert!(!Architecture::Armv7.runs_on("armv6l"));
        let old = Architecture::of_target("arm-unknown-linux-gnueabihf").unwrap();
        assert!(old.runs_on("armv6l") && old.runs_on("armv7l") && old.runs_on("aarch64"));
        assert!(advice("armv6l").contains("--without") && advice("x86_64").contains("x86-64"));
    }
}
