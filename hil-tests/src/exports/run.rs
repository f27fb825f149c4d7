//! The runs that are exported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use learning::evaluation::MOST_CLASSES;
use record::StoredRun;
use scenario::Scenario;
use scenario::catalogue::Catalogue;
use toml::{Table, Value};
use wire::identity::DeviceId;

use super::Time;

/// How deep below a folder runs are looked for: those of a sweep are in `cells`.
const DEPTH: usize = 4;
/// Names are names of folders, which may have 255 bytes.
const LONGEST_NAME: usize = 150;

/// A run to export.
pub struct ExportedRun {
    /// The run.
    pub stored: StoredRun,
    /// What it is called: no two of one export are called alike, and a file may be.
    pub name: String,
    /// The keys of its resolved scenario, as in `fleet.devices`, with their values, which are no tables.
    pub keys: Vec<(String, Value)>,
    /// The compromised devices.
    pub attackers: BTreeSet<DeviceId>,
}

impl ExportedRun {
    /// Of a run that has no name yet.
    fn of(stored: StoredRun) -> Self {
        let keys = keys_of(stored.scenario());
        let attackers = stored.scenario().attackers();
        ExportedRun { stored, name: String::new(), keys, attackers }
    }

    /// Its id, which it keeps for ever.
    pub fn id(&self) -> String {
        self.stored.manifest().run.to_string()
    }

    /// When it was made.
    pub fn created(&self) -> Time {
        Time { seconds: self.stored.manifest().created_unix as f64 }
    }

    /// How many classes it counts errors of.
    pub fn classes(&self) -> usize {
        let classes = self.stored.scenario().dataset.spec().classes;
        if classes > MOST_CLASSES { 0 } else { classes }
    }
}

/// The runs at `paths`, each the directory of a run or a folder with runs below it, such as that of a sweep.
///
/// A run that is named itself is called like its directory. One that is found in a folder is called by the keys of its
/// scenario in which it differs from the others there, and like its directory where these are too many.
///
/// # Errors
/// If there is no run somewhere, one cannot be read, or two are copies of each other.
pub fn find(paths: &[PathBuf], catalogue: &Catalogue) -> anyhow::Result<Vec<ExportedRun>> {
    let mut runs = Vec::new();
    for path in paths {
        if StoredRun::exists(path) {
            let mut run = ExportedRun::of(StoredRun::open(path, catalogue)?);
            run.name = name_of_directory(path);
            runs.push(run);
            continue;
        }
        let mut places = Vec::new();
        search(path, DEPTH, &mut places)?;
        ensure!(
            !places.is_empty(),
            "there is no run in {}: name the directory of a run, or the folder that a sweep wrote",
            path.display()
        );
        let open = |place: &PathBuf| Ok(ExportedRun::of(StoredRun::open(place, catalogue)?));
        let mut found = places.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        name_by_differences(&mut found);
        runs.extend(found);
    }
    refuse_copies(&runs)?;
    tell_apart(&mut runs);
    Ok(runs)
}

/// The directories of the runs below `folder`, in the order of their names.
fn search(folder: &Path, depth: usize, places: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("cannot look for runs in {}", folder.display()))?;
    // Not through links.
    let folders = entries.iter().filter(|entry| entry.file_type().is_ok_and(|found| found.is_dir()));
    let mut folders: Vec<_> = folders.map(fs::DirEntry::path).collect();
    folders.sort();
    for folder in folders {
        if StoredRun::exists(&folder) {
            places.push(folder);
        } else if depth > 1 {
            search(&folder, depth - 1, places)?;
        }
    }
    Ok(())
}

/// The keys of `scenario` and their values. The elements of a list of tables are counted from 0: `defense.0.kind`; other lists
/// are texts.
fn keys_of(scenario: &Scenario) -> Vec<(String, Value)> {
    fn flatten(key: String, value: Value, keys: &mut Vec<(String, Value)>) {
        let below = |part: &str| format!("{key}.{part}");
        match value {
            Value::Table(table) => {
                table.into_iter().for_each(|(part, value)| flatten(below(&part), value, keys));
            }
            Value::Array(list) if list.iter().any(Value::is_table) => {
                list.into_iter()
                    .enumerate()
                    .for_each(|(at, value)| flatten(below(&at.to_string()), value, keys));
            }
            list @ Value::Array(_) => keys.push((key, Value::String(list.to_string()))),
            value => keys.push((key, value)),
        }
    }
    let mut keys = Vec::new();
    // A scenario is plain TOML.
    let table = Table::try_from(scenario).unwrap_or_default();
    table.into_iter().for_each(|(key, value)| flatten(key, value, &mut keys));
    keys
}

/// `value` as it stands in a file, a text without quotes.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn name_of_directory(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file_name(&whole.file_name().unwrap_or_default().to_string_lossy())
}

/// `text` with nothing in it that a name of a file must not have.
pub(super) fn file_name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// Names `runs`, which were found together, by what tells them apart.
fn name_by_differences(runs: &mut [ExportedRun]) {
    let mut values = BTreeMap::<&str, BTreeSet<Option<String>>>::new();
    for run in &*runs {
        for (key, value) in &run.keys {
            values.entry(key).or_default().insert(Some(plain(value)));
        }
    }
    let is_everywhere = |key: &str| runs.iter().all(|run| run.keys.iter().any(|(own, _)| own == key));
    let differs = values.iter().filter(|(key, values)| values.len() > 1 || !is_everywhere(key));
    let differs: BTreeSet<String> = differs.map(|(key, _)| (*key).to_owned()).collect();
    for run in runs {
        let parts = run.keys.iter().filter(|(key, _)| differs.contains(key));
        let parts: Vec<_> = parts.map(|(key, value)| format!("{key}={}", plain(value))).collect();
        let name = file_name(&parts.join(", "));
        run.name = match name.len() {
            1..=LONGEST_NAME => name,
            _ => name_of_directory(run.stored.path()),
        };
    }
}

fn refuse_copies(runs: &[ExportedRun]) -> anyhow::Result<()> {
    let mut known = BTreeMap::new();
    for run in runs {
        let place = run.stored.path();
        if let Some(other) = known.insert(run.stored.manifest().run, place) {
            let (other, place) = (other.display(), place.display());
            anyhow::bail!("{other} and {place} hold the same run; name one of the two");
        }
    }
    Ok(())
}

/// Adds to names that several have the ids of the runs.
fn tell_apart(runs: &mut [ExportedRun]) {
    let mut counts = BTreeMap::<_, usize>::new();
    runs.iter().for_each(|run| *counts.entry(run.name.clone()).or_default() += 1);
    for run in runs.iter_mut().filter(|run| counts[&run.name] > 1) {
        run.name = format!("{} {}", run.name, run.id());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n\
                            [fleet]\ndevices = 5\ncompromised = 1\n[[defense]]\nkind = \"clip\"\nnorm = 2.0\n";

    #[test]
    fn keys_are_dotted_and_lists_of_tables_counted() {
        let keys: BTreeMap<_, _> =
            keys_of(&Scenario::parse("s.toml", SCENARIO, &[]).unwrap()).into_iter().collect();
        assert_eq!(keys["fleet.devices"], Value::Integer(5));
        assert_eq!(keys["defense.0.norm"], Value::Float(2.0));
        assert_eq!(plain(&keys["dataset"]), "mnist");
        assert!(keys.values().all(|value| !value.is_table() && !value.is_array()));
    }

    #[test]
    fn a_name_is_one_of_a_file() {
        assert_eq!(file_name("model.weights=a/b\n"), "model.weights=a_b_");
        assert_eq!(file_name(".."), "_..");
    }
}
