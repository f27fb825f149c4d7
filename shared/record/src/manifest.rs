//! What a run is made of.

use std::collections::BTreeMap;
use std::path::Path;

use learning::parameters::Layout;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::identity::RunId;

use super::RecordError;

/// Version of the run directory's format.
pub const FORMAT: u32 = 3;

/// What a run is made of: enough to tell whether two runs are comparable, and to read the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the program that wrote it.
    pub format: u32,
    /// The run, as 16 hexadecimal digits; kept when the run resumes.
    #[serde(serialize_with = "write_run", deserialize_with = "read_run")]
    pub run: RunId,
    /// Digest of the resolved scenario, in hexadecimal.
    pub scenario_sha256: String,
    /// The scenario's number of rounds, which may be raised later.
    pub rounds: u32,
    /// Seed of every random draw.
    pub seed: u64,
    /// Where the devices run: `software`, `processes`, `emulated` or `boards`.
    pub bench: String,
    /// Seconds since 1970 (UTC) at which the run was made.
    pub created_unix: u64,
    /// What computed the run, by name: `outpost`, the program's version; the `commit` that was checked out when it was
    /// built, or `unknown`; its `compiler`; the operating `system`. Earlier versions did not write all of them.
    pub versions: BTreeMap<String, String>,
    /// What else than this program's own the run is made of: the name of each and its version or digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// SHA-256 of the data, in hexadecimal: `mnist test`, and `mnist training` where it is known.
    pub data: BTreeMap<String, String>,
    /// SHA-256 of the file that lists the devices' shards, in hexadecimal; absent where the aggregator had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards_sha256: Option<String>,
    /// The model's tensors, in the order of the flat parameter vector.
    pub layout: Vec<TensorShape>,
}

/// Name and shape of one tensor of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorShape {
    /// Name, as in the checkpoint.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
}

impl TensorShape {
    /// The tensors of `layout`, for [`Manifest::layout`].
    pub fn list(layout: &Layout) -> Vec<Self> {
        let tensors = layout.entries().iter();
        tensors.map(|entry| TensorShape { name: entry.name.clone(), shape: entry.shape.clone() }).collect()
    }
}

impl Manifest {
    /// Makes sure that the run in the directory `path`, whose manifest this is, is one of `given`, but for the scenario.
    pub(super) fn check(&self, path: &Path, given: &Manifest) -> Result<(), RecordError> {
        let occupied = |holds: String| Err(RecordError::Occupied { path: path.to_owned(), holds });
        if self.bench != given.bench {
            return occupied(format!("a run of this scenario on the bench `{}`", self.bench));
        }
        if self.seed != given.seed || self.layout != given.layout {
            return occupied("a run of another model".to_owned());
        }
        self.check_data(path, &given.data, "that which is given now")
    }

    /// What computed the run and is another now, for people: one line each.
    pub fn other_versions(&self, now: &Manifest) -> Vec<String> {
        let both =
            self.versions.iter().filter_map(|(name, then)| Some((name, then, now.versions.get(name)?)));
        let other = both.filter(|(_, then, now)| then != now);
        other.map(|(name, then, now)| format!("{name} was `{then}` and is `{now}`")).collect()
    }

    /// Makes sure that the run in the directory `path`, whose manifest this is, was made with the data whose digests are
    /// `given`, which `source` has, as far as both are known.
    ///
    /// # Errors
    /// [`RecordError::OtherData`].
    pub fn check_data(
        &self,
        path: &Path,
        given: &BTreeMap<String, String>,
        source: &str,
    ) -> Result<(), RecordError> {
        for (name, recorded) in &self.data {
            if let Some(given) = given.get(name).filter(|given| *given != recorded) {
                let (recorded, given) = (recorded.clone(), given.clone());
                let (path, source_name) = (path.to_owned(), source.to_owned());
                return Err(RecordError::OtherData {
                    path,
                    name: name.clone(),
                    recorded,
                    source_name,
                    given,
                });
            }
        }
        Ok(())
    }

    /// The model's layout; `None` if its number of parameters overflows, which no model's does.
    pub(super) fn model_layout(&self) -> Option<Layout> {
        let size =
            |tensor: &TensorShape| tensor.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        // In bytes, because that is what the readers of the checkpoint compute with.
        let total = self.layout.iter().try_fold(0usize, |n, tensor| n.checked_add(size(tensor)?));
        total?.checked_mul(4)?;
        Some(Layout::new(self.layout.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone()))))
    }
}

// JSON readers that hold numbers as floats would round a 64-bit number: the run is written as text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn write_run<S: Serializer>(run: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(run)
}

fn read_run<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn the_run_is_written_in_hexadecimal_and_read_back() {
        let manifest = examples::manifest();
        let json = serde_json::to_value(&manifest).unwrap();
        assert_eq!(json["run"], manifest.run.to_string());
        assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
    }

    #[test]
    fn another_compiler_or_commit_is_named_and_no_reason_to_refuse() {
        let ours = examples::manifest();
        let mut other = ours.clone();
        other.versions.insert("outpost".into(), "0.2.0".into());
        other.versions.insert("commit".into(), "unknown".into());
        assert_eq!(ours.other_versions(&other), ["outpost was `0.1.0` and is `0.2.0`"]);
        ours.check(Path::new("runs/first"), &other).unwrap();
    }

    #[test]
    fn a_manifest_of_an_earlier_version_is_read() {
        let json = serde_json::to_string(&examples::manifest()).unwrap();
        assert!(!json.contains("extensions") && !json.contains("shards_sha256"), "{json}");
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), examples::manifest());
    }

    #[test]
    fn other_data_is_named_with_both_digests() {
        let (manifest, path) = (examples::manifest(), Path::new("runs/first"));
        let given = |digest: &str| BTreeMap::from([("mnist test".to_owned(), digest.repeat(32))]);
        manifest.check_data(path, &given("ab"), "the other").unwrap();
        manifest.check_data(path, &BTreeMap::new(), "the other").unwrap();
        let error = manifest.check_data(path, &given("cd"), "the other").unwrap_err().to_string();
        for part in ["runs/first", "mnist test", &"ab".repeat(32), "the other has", &"cd".repeat(32)] {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
    }

    #[test]
    fn a_layout_of_overflowing_size_is_none_and_not_a_panic() {
        let mut manifest = examples::manifest();
        assert_eq!(TensorShape::list(&manifest.model_layout().unwrap()), manifest.layout);
        for shape in [vec![usize::MAX, 2], vec![usize::MAX / 2]] {
            manifest.layout[0].shape = shape;
            assert_eq!(manifest.model_layout(), None);
        }
    }
}
