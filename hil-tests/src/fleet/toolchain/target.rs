//! The targets that clients are built for.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use super::ToolchainError;
use crate::system::children;
use crate::system::find_program;

/// What is built by `cross` alone.
const ARMV6: &str = "arm-unknown-linux-gnueabihf";
const QEMU: &str = "qemu-user-static";

/// A target: what compiles for it, and what runs it where the processor is another.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Rust's name of it.
    pub triple: &'static str,
    /// What comes before `-gcc` and `-ar` in Debian's names.
    prefix: &'static str,
    /// Packages that bring compiler and C library.
    packages: &'static str,
    /// The linker, where it is not the compiler.
    linker: Option<&'static str>,
    /// Names of the emulator, the static one first.
    emulators: &'static [&'static str],
    /// The processor that it emulates: the weakest that the target is for, so that what runs here runs there.
    processor: &'static str,
    /// Folder and dynamic linker of the target's libraries, and the package that brings them.
    libraries: Option<(&'static str, &'static str, &'static str)>,
}

/// All of them; the first is the one that boards get.
pub const TARGETS: [Target; 4] = [
    Target {
        triple: "aarch64-unknown-linux-musl",
        prefix: "aarch64-linux-gnu",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        // Of Rust's own: start files and C library come with the target.
        linker: Some("rust-lld"),
        emulators: &["qemu-aarch64-static", "qemu-aarch64"],
        processor: "cortex-a53",
        libraries: None,
    },
    Target {
        triple: "aarch64-unknown-linux-gnu",
        prefix: "aarch64-linux-gnu",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        linker: None,
        emulators: &["qemu-aarch64-static", "qemu-aarch64"],
        processor: "cortex-a53",
        libraries: Some(("/usr/aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1", "libc6-arm64-cross")),
    },
    Target {
        triple: "armv7-unknown-linux-gnueabihf",
        prefix: "arm-linux-gnueabihf",
        packages: "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross",
        linker: None,
        emulators: &["qemu-arm-static", "qemu-arm"],
        processor: "cortex-a7",
        libraries: Some(("/usr/arm-linux-gnueabihf", "lib/ld-linux-armhf.so.3", "libc6-armhf-cross")),
    },
    Target {
        triple: "x86_64-unknown-linux-musl",
        prefix: "x86_64-linux-gnu",
        packages: "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        // As for 64-bit ARM.
        linker: Some("rust-lld"),
        emulators: &["qemu-x86_64-static", "qemu-x86_64"],
        processor: "qemu64",
        libraries: None,
    },
];

impl Target {
    /// The target that Rust calls `triple`.
    ///
    /// # Errors
    /// [`ToolchainError::Unknown`] names those there are; [`ToolchainError::ThroughCross`] says what builds the other.
    pub fn find(triple: &str) -> Result<&'static Self, ToolchainError> {
        if triple == ARMV6 {
            return Err(ToolchainError::ThroughCross { triple: ARMV6 });
        }
        TARGETS.iter().find(|target| target.triple == triple).ok_or_else(|| ToolchainError::Unknown {
            triple: triple.to_owned(),
            known: TARGETS.each_ref().map(|target| target.triple).join(", "),
        })
    }

    /// Environment variables by which cargo and the `cc` crate compile for it; those that are set already are left
    /// out.
    pub fn environment(&self) -> Vec<(String, String)> {
        let lower = self.triple.replace('-', "_");
        let gcc = format!("{}-gcc", self.prefix);
        let variables = [
            (format!("CC_{lower}"), gcc.clone()),
            (format!("AR_{lower}"), format!("{}-ar", self.prefix)),
            (
                format!("CARGO_TARGET_{}_LINKER", lower.to_uppercase()),
                self.linker.map_or(gcc, ToOwned::to_owned),
            ),
        ];
        variables.into_iter().filter(|(name, _)| env::var_os(name).is_none()).collect()
    }

    /// The same, and how cargo runs what it has built: with it `cargo test --target` tests under the emulator.
    ///
    /// # Errors
    /// [`ToolchainError::Emulator`] if there is none.
    pub fn environment_to_run(&self) -> Result<Vec<(String, String)>, ToolchainError> {
        let mut variables = self.environment();
        let runner = self.emulator()?.into_iter().map(|word| word.to_string_lossy().into_owned());
        let name = format!("CARGO_TARGET_{}_RUNNER", self.triple.replace('-', "_").to_uppercase());
        variables.push((name, runner.collect::<Vec<_>>().join(" ")));
        Ok(variables)
    }

    /// Program and first arguments that run a program for this target on any processor.
    ///
    /// # Errors
    /// [`ToolchainError::Emulator`] names what is missing and the package that brings it.
    pub fn emulator(&self) -> Result<Vec<OsString>, ToolchainError> {
        let missing = |program: &str, packages: &str| ToolchainError::Emulator {
            program: program.to_owned(),
            triple: self.triple,
            packages: packages.to_owned(),
        };
        let program = find_program(self.emulators).ok_or_else(|| missing(self.emulators[0], QEMU))?;
        let mut command = vec![program.into_os_string(), "-cpu".into(), self.processor.into()];
        // Who sets this has libraries elsewhere.
        if let Some((folder, linker, package)) =
            self.libraries.filter(|_| env::var_os("QEMU_LD_PREFIX").is_none())
        {
            let linker = Path::new(folder).join(linker);
            if !linker.is_file() {
                return Err(missing(&linker.display().to_string(), package));
            }
            command.extend(["-L".into(), folder.into()]);
        }
        Ok(command)
    }

    /// Checks that what compiles for this target is there.
    ///
    /// # Errors
    /// [`ToolchainError`] says what to install.
    pub(super) fn check(&self) -> Result<(), ToolchainError> {
        if !self.has_standard_library()? {
            return Err(ToolchainError::StandardLibrary { triple: self.triple });
        }
        for (_, program) in self.environment() {
            // The linker of Rust's own is where only Rust looks.
            if Some(program.as_str()) != self.linker && find_program(&[&program]).is_none() {
                return Err(ToolchainError::Compiler {
                    program,
                    triple: self.triple,
                    packages: self.packages,
                });
            }
        }
        Ok(())
    }

    fn has_standard_library(&self) -> Result<bool, ToolchainError> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = children::command(&rustc)
            .args(["--print", "target-libdir", "--target", self.triple])
            .output()
            .map_err(|cause| ToolchainError::Start { program: rustc.display().to_string(), cause })?;
        Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::boards::Board;

    #[test]
    fn every_board_has_a_target_that_can_be_built() {
        for name in Board::names() {
            Target::find(&Board::find(name).unwrap().target).unwrap();
        }
    }

    #[test]
    fn an_unknown_target_is_an_error_that_names_those_there_are() {
        let error = Target::find("sparc").unwrap_err().to_string();
        assert!(error.contains("sparc"), "{error}");
        assert!(TARGETS.iter().all(|target| error.contains(target.triple)), "{error}");
    }

    #[test]
    fn for_armv6_the_error_is_the_command_that_builds_it() {
        let error = Target::find(ARMV6).unwrap_err().to_string();
        assert!(error.contains("cross build") && error.contains("best effort"), "{error}");
    }

    #[test]
    fn cargo_and_cc_are_told_the_compilers_of_debian() {
        let variables = Target::find("armv7-unknown-linux-gnueabihf").unwrap().environment();
        for (name, value) in [
            ("CC_armv7_unknown_linux_gnueabihf", "arm-linux-gnueabihf-gcc"),
            ("AR_armv7_unknown_linux_gnueabihf", "arm-linux-gnueabihf-ar"),
            ("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER", "arm-linux-gnueabihf-gcc"),
        ] {
            // What is set in the surroundings is left as it is.
            let told = variables.contains(&(name.to_owned(), value.to_owned()));
            assert!(told || env::var_os(name).is_some(), "{name}: {variables:?}");
        }
    }
}
