//! Board profiles: what a kind of board is, from `firmware-configs/boards`.

use std::path::Path;

use input::toml_file::{self, FileError};
use serde::Deserialize;

/// The profiles that come with this program: name and text.
const BUILT_IN: [(&str, &str); 5] = [
    ("zero-2-w", include_str!("../../../firmware-configs/boards/zero-2-w.toml")),
    ("pi-3b-plus", include_str!("../../../firmware-configs/boards/pi-3b-plus.toml")),
    ("pi-4b", include_str!("../../../firmware-configs/boards/pi-4b.toml")),
    ("pi-5", include_str!("../../../firmware-configs/boards/pi-5.toml")),
    ("x86-64", include_str!("../../../firmware-configs/boards/x86-64.toml")),
];

/// A kind of board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Board {
    /// What inventories call it.
    pub name: String,
    /// The Rust target that its client is built for.
    pub target: String,
    /// Memory in MiB; of the smallest variant where there are several.
    pub memory_mib: u32,
    /// Number of cores.
    pub cores: u32,
    /// Its processor, as QEMU calls it.
    #[serde(default = "cortex_a72")]
    pub processor: String,
    /// Multiply-adds of 32-bit floats that one core could do in a second at the most: its clock times what its vector units do
    /// in a cycle. What a training step takes is estimated from it; without, nothing is.
    #[serde(default)]
    pub peak_multiply_adds: Option<u64>,
    /// What it can measure.
    #[serde(default)]
    pub sensors: Vec<Sensor>,
    /// For people.
    #[serde(default)]
    pub notes: String,
}

/// Something that a board can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensor {
    /// Of the processor.
    Temperature,
    /// The firmware's flags for low voltage and heat.
    Throttling,
    /// Of the processor's cores.
    Clock,
    /// Drawn from the supply.
    Energy,
}

/// Why there is no such board.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// Neither a name that is known, nor a file.
    #[error("no board `{name}`: give one of {known}, or a file NAME.toml with a profile of your own")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A profile that cannot be used.
    #[error(transparent)]
    Profile(#[from] FileError),
}

impl Board {
    /// The board called `name`; or that of a profile of one's own, if `name` is the path of a `.toml` file.
    ///
    /// # Errors
    /// [`BoardError`] names the boards there are, or the file and what is wrong with it.
    pub fn find(name: &str) -> Result<Self, BoardError> {
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            return Ok(toml_file::load(Path::new(name))?);
        }
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            return Err(BoardError::Unknown { name: name.to_owned(), known: Board::names().join(", ") });
        };
        Ok(toml_file::parse(name, text)?)
    }

    /// The names of the boards that this program knows by itself.
    pub fn names() -> [&'static str; BUILT_IN.len()] {
        BUILT_IN.map(|(name, _)| name)
    }
}

/// What emulates a board whose profile names no processor.
fn cortex_a72() -> String {
    "cortex-a72".to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_board_is_called_what_its_file_is() {
        for name in Board::names() {
            let board = Board::find(name).unwrap();
            assert_eq!(board.name, name);
            assert!(board.memory_mib > 0 && board.cores > 0, "{name}");
        }
    }

    #[test]
    fn only_the_pi_5_measures_energy() {
        let measures = |name: &&str| Board::find(name).unwrap().sensors.contains(&Sensor::Energy);
        assert_eq!(Board::names().into_iter().filter(measures).collect::<Vec<_>>(), ["pi-5"]);
    }

    #[test]
    fn a_profile_of_ones_own_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text =
            "name = \"mine\"\ntarget = \"armv7-unknown-linux-gnueabihf\"\nmemory-mib = 512\ncores = 1\n";
        fs::write(&path, text).unwrap();
        let board = Board::find(path.to_str().unwrap()).unwrap();
        assert_eq!((board.target.as_str(), board.sensors.len()), ("armv7-unknown-linux-gnueabihf", 0));
        assert_eq!(board.processor, "cortex-a72");
        fs::write(&path, format!("{text}turbo = true\n")).unwrap();
        let error = Board::find(path.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains("turbo"), "{error}");
    }

    #[test]
    fn an_unknown_board_is_an_error_that_names_those_there_are() {
        let error = Board::find("pi-6").unwrap_err().to_string();
        assert!(error.contains("pi-6") && error.contains("zero-2-w") && error.contains("pi-5"), "{error}");
    }
}
