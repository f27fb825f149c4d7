//! A case, as its file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use input::toml_file::{self, FileError};
use scenario::{Scenario, ScenarioError};
use serde::Deserialize;
use wire::Refusal;

use super::Measurement;
use crate::faults::Step;
use crate::fleet::boards::Sensor;
use crate::fleet::inventory::Kind;

/// One hardware test. `docs/hil.md` explains every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// What it is called, as its file is.
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// When it is run.
    pub matrix: Matrix,
    /// What it asks of a fleet.
    #[serde(default)]
    pub needs: Needs,
    /// The scenario: its keys, or the path of a file beside this one. `fleet.devices` is the fleet's.
    scenario: toml::Value,
    /// Keys to set on top, as in `--set`.
    #[serde(default)]
    settings: Vec<String>,
    /// What goes wrong.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
    /// The folder of the file.
    #[serde(skip)]
    folder: PathBuf,
}

/// Which cases are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matrix {
    /// Those that are quick and show most.
    Quick,
    /// All.
    Full,
}

/// What a case asks of a fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Needs {
    /// So many devices at least.
    pub devices: u32,
    /// Of which kind the device must be that is struck, or one device if none is; any, if none is named.
    pub kinds: Vec<Kind>,
    /// Capabilities that it must have beside those that the faults need.
    pub capabilities: BTreeSet<String>,
    /// What its board must be able to measure.
    pub sensors: Vec<Sensor>,
}

/// What must come of a case, beside that the run completes and every round is recorded once.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Expect {
    /// Whether the model is, to the last bit, that of the undisturbed run in software. Devices of another architecture
    /// than this machine's round otherwise: then the testing errors are held against each other.
    pub same_model: bool,
    /// The highest testing error that will do.
    pub error_at_most: Option<f64>,
    /// From how many to how many updates do not come in, all rounds together: of struck devices only.
    pub missed: [u32; 2],
    /// By reason, from how many to how many are refused; none for other reasons.
    pub refused: BTreeMap<Refusal, [u32; 2]>,
    /// What devices must tell with every update as far as their boards measure it, and must not as far as they do not.
    pub telemetry: Vec<Measurement>,
}

impl Default for Needs {
    fn default() -> Self {
        Needs { devices: 1, kinds: Vec::new(), capabilities: BTreeSet::new(), sensors: Vec::new() }
    }
}

impl Default for Expect {
    fn default() -> Self {
        Expect {
            same_model: true,
            error_at_most: None,
            missed: [0, 0],
            refused: BTreeMap::new(),
            telemetry: Vec::new(),
        }
    }
}

impl Case {
    /// The case in the file `path`.
    ///
    /// # Errors
    /// [`FileError`] names the file, and the line or the key.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let wrong = |key, what: String| FileError::invalid(&path.display().to_string(), key, what);
        let mut case: Case = toml_file::load(path)?;
        if path.file_stem().is_none_or(|stem| stem != case.name.as_str()) {
            return Err(wrong("name", format!("`{}` is not what the file is called", case.name)));
        }
        path.parent().unwrap_or(Path::new("")).clone_into(&mut case.folder);
        case.scenario(case.needs.devices).map_err(|error| wrong("scenario", error.to_string()))?;
        Ok(case)
    }

    /// Those of `matrix` in the folder `path`, in order of name.
    ///
    /// # Errors
    /// [`FileError`] if one cannot be read, or there is none.
    pub fn load_all(path: &Path, matrix: Matrix) -> Result<Vec<Self>, FileError> {
        let wrong = |cause| FileError::Unreadable { file: path.display().to_string(), cause };
        let entries = fs::read_dir(path).map_err(wrong)?;
        let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>();
        let mut files: Vec<PathBuf> = files.map_err(wrong)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        let mut cases = files.iter().map(PathBuf::as_path).map(Case::load).collect::<Result<Vec<_>, _>>()?;
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        if cases.is_empty() {
            return Err(wrong(io::Error::other("it holds no case")));
        }
        Ok(cases.into_iter().filter(|case| case.matrix <= matrix).collect())
    }

    /// Its scenario, for a fleet of so many devices.
    ///
    /// # Errors
    /// [`ScenarioError`] names the key.
    pub fn scenario(&self, devices: u32) -> Result<Scenario, ScenarioError> {
        let mut settings = vec![format!("fleet.devices={devices}")];
        settings.extend(self.settings.iter().cloned());
        match &self.scenario {
            toml::Value::String(file) => Scenario::load(&self.folder.join(file), &settings),
            keys => Scenario::parse(&format!("{}: scenario", self.name), &keys_as_text(keys), &settings),
        }
    }
}

/// A table as the text of a file; anything else is no scenario, which the scenario's reader says.
fn keys_as_text(keys: &toml::Value) -> String {
    keys.as_table().and_then(|table| toml::to_string(table).ok()).unwrap_or_else(|| keys.to_string())
}
