//! `hil board-kernel`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use clap::Args;

use super::common::Ending;
use crate::benches::emulated_board::{fetch, folder};

/// Get the kernel that emulated boards boot (devices of kind qemu-system)
///
///   cargo hil board-kernel
///
/// Debian's kernel for virtual machines of 64-bit ARM and busybox: 22 MB of packages, of which 30 MB are kept. Needs no
/// root and installs nothing. They come from this machine's own sources of packages, if it runs Debian; elsewhere apt and
/// dpkg-deb must be there, and a file with a source such as this one:
///
///   deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian stable main
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct BoardKernelArgs {
    /// Where to put it [default: OUTPOST_KERNEL, or outpost/board-kernel in the user's cache]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take the packages from the sources in this file, which is written as apt's sources.list
    #[arg(long, value_name = "FILE")]
    sources: Option<PathBuf>,
}

impl BoardKernelArgs {
    /// Gets it.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let folder = folder(self.out.as_deref())?;
        fetch(&folder, self.sources.as_deref())?;
        link::print(folder.display())?;
        Ok(Ending::Finished)
    }
}
