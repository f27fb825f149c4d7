//! What keeps a client from being built or emulated.

use std::path::PathBuf;

use input::advice::advice_on_starting;

/// Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A target that nobody has tried.
    #[error("no target `{triple}` here: give one of {known}")]
    Unknown {
        /// What was asked for.
        triple: String,
        /// The targets there are.
        known: String,
    },
    /// Debian's libraries for 32-bit ARM need a newer processor; those of `cross` do not.
    #[error(
        "`{triple}` (Pi Zero and Pi 1) has no compiler of Debian's; best effort, with Docker: \
         cross build --profile fleet -p edge-client --target {triple}"
    )]
    ThroughCross {
        /// The target.
        triple: &'static str,
    },
    /// No standard library for the target.
    #[error("Rust cannot compile for {triple} yet: rustup target add {triple}")]
    StandardLibrary {
        /// The target.
        triple: &'static str,
    },
    /// No C compiler for the target.
    #[error("no {program} here to compile for {triple}: apt install {packages}")]
    Compiler {
        /// The compiler or archiver.
        program: String,
        /// The target.
        triple: &'static str,
        /// Packages of Debian and Raspberry Pi OS that bring it.
        packages: &'static str,
    },
    /// No emulator of the target's processor.
    #[error("no {program} here to run a program for {triple}: apt install {packages}")]
    Emulator {
        /// The emulator, or the dynamic linker that it needs.
        program: String,
        /// The target.
        triple: &'static str,
        /// Packages of Debian and Raspberry Pi OS that bring it.
        packages: String,
    },
    /// Not where the sources are.
    #[error("{}: no sources of Outpost here; run this in a checkout of it", .0.display())]
    NoSources(PathBuf),
    /// No such program, and nothing that could build it.
    #[error("{}: no such program; `cargo hil build --target {triple}` builds it", path.display())]
    NotBuilt {
        /// Where it would be.
        path: PathBuf,
        /// The target.
        triple: &'static str,
    },
    /// A program that does not start.
    #[error("cannot start {program}: {cause}{}", advice_on_starting(cause))]
    Start {
        /// The program.
        program: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Cargo has said why.
    #[error("the build for {triple} failed")]
    Failed {
        /// The target.
        triple: &'static str,
    },
}
