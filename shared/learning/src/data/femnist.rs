//! FEMNIST, in the files that LEAF makes of the handwriting of some 3,500 people.

use std::fmt;
use std::fs;
use std::io::BufRead;
use std::path::Path;

use formats::{Labels, Wrong};
use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Features, FileName, Folder, Groups, Mirror, Published, Source, Spec, Split};

const SIDE: usize = 28;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 62;
/// LEAF has 805,263.
const MOST: usize = 1_000_000;
/// Where LEAF's files lie that are split.
const PARTS: [&str; 2] = ["train", "test"];

/// Handwritten letters and digits, 28x28 grey, by their writers (Caldas et al. 2018): the partition `groups` gives each device
/// whole writers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Femnist {
    /// The share of the examples that is for testing, drawn by the seed, where the files are not in folders `train` and `test`.
    pub test: f64,
}

impl Default for Femnist {
    fn default() -> Self {
        Femnist { test: 0.1 }
    }
}

impl Source for Femnist {
    fn spec(&self) -> Spec {
        Spec {
            shape: vec![SIDE, SIDE],
            classes: CLASSES,
            max_examples: MOST,
            folder: "femnist".to_owned(),
            files: vec!["all_data_0.json".into()],
        }
    }

    fn files_in(&self, folder: &Path) -> Vec<FileName> {
        let split: Vec<_> = PARTS.iter().flat_map(|part| json_files(folder, &format!("{part}/"))).collect();
        let all = if split.is_empty() { json_files(folder, "") } else { split };
        if all.is_empty() { self.spec().files } else { all }
    }

    fn check(&self) -> Result<(), Unfit> {
        require(self.test > 0.0 && self.test < 1.0, "dataset.test", || {
            format!("{} must lie between 0 and 1", self.test)
        })
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let is_split = folder.files().iter().any(|file| file.name.contains('/'));
        if is_split {
            let [train, test] = PARTS.map(|part| load(folder, &format!("{part}/")));
            return Ok(Split { train: train?, test: test? });
        }
        let all = load(folder, "")?;
        let train = ((1.0 - self.test) * all.len() as f64).round() as usize;
        Ok(Split::draw(&all, train.clamp(1, all.len().max(2) - 1), seed))
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "not stated",
            origin: "https://leaf.cmu.edu",
            size: "5 GiB",
            mirror: Mirror::ByHand(
                "LEAF makes its files: get https://github.com/TalwalkarLab/leaf, run `./preprocess.sh -s niid --sf 1.0 -k 0 -t \
                 sample` in its folder data/femnist, and then `hil data fetch femnist --from data/femnist/data`; `--from` takes a \
                 folder with its folders `train` and `test`, or one with files all_data_*.json",
            ),
            content: Vec::new(),
            download: Vec::new(),
        })
    }
}

/// The files of JSON in the folder `within` (its name and a slash, or nothing) of `folder`, in the order of their names.
fn json_files(folder: &Path, within: &str) -> Vec<FileName> {
    let entries = fs::read_dir(folder.join(within)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let plain = names.map(|name| name.strip_suffix(".gz").unwrap_or(&name).to_owned());
    let is_json = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "json");
    let mut names: Vec<String> = plain.filter(is_json).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| format!("{within}{name}").into()).collect()
}

/// All examples in the files whose names begin with `within`.
fn load(folder: &Folder, within: &str) -> Result<Dataset, DataError> {
    let mut examples = Examples::default();
    let files: Vec<_> = folder.files().iter().filter(|file| file.name.starts_with(within)).collect();
    if files.is_empty() {
        return Err(folder.missing(within));
    }
    for file in files {
        folder.stream(&file.name, |reader| examples.add(reader))?;
    }
    let wrong = |cause| DataError::Content { path: folder.path().join(within), cause };
    examples.dataset().map_err(wrong)
}

/// Examples as they are read.
#[derive(Default)]
struct Examples {
    pixels: Vec<u8>,
    labels: Vec<u16>,
    writers: Labels,
}

impl Examples {
    /// Those of one file, of which no more is held than what one writer wrote.
    fn add(&mut self, reader: &mut dyn BufRead) -> Result<(), Wrong> {
        let mut json = serde_json::Deserializer::from_reader(reader);
        File(self).deserialize(&mut json)?;
        Ok(json.end()?)
    }

    fn add_writer(&mut self, name: &str, writer: Writer) -> Result<(), Wrong> {
        let Writer { x, y } = writer;
        if x.len() != y.len() {
            return Err(format!("{} pictures, but {} labels", x.len(), y.len()).into());
        }
        if let Some(label) = y.iter().find(|label| usize::from(**label) >= CLASSES) {
            return Err(format!("has the label {label}; labels must be below {CLASSES}").into());
        }
        if self.labels.len() + y.len() > MOST {
            return Err(format!("more than the {MOST} examples that there can be").into());
        }
        self.labels.extend(&y);
        for Picture(pixels) in x {
            self.pixels.extend(pixels);
            self.writers.push(name)?;
        }
        Ok(())
    }

    fn dataset(self) -> Result<Dataset, Wrong> {
        if self.labels.is_empty() {
            return Err("no writer has an example".into());
        }
        let names = self.writers.in_order();
        let of = self.writers.among(&names)?;
        let all = Dataset::new(vec![SIDE, SIDE], CLASSES, Features::Bytes(self.pixels), self.labels)?;
        Ok(all.with_groups(Groups::new(names, of).ok_or("a writer without a name")?)?)
    }
}

/// What one person wrote.
#[derive(Deserialize)]
struct Writer {
    x: Vec<Picture>,
    y: Vec<u16>,
}

/// A picture, whose numbers are 255ths, as LEAF makes them of bytes.
#[derive(Deserialize)]
#[serde(try_from = "Vec<f32>")]
struct Picture(Vec<u8>);

impl TryFrom<Vec<f32>> for Picture {
    type Error = String;

    fn try_from(values: Vec<f32>) -> Result<Self, String> {
        if values.len() != PIXELS {
            return Err(format!("{} values, where a picture has {PIXELS}", values.len()));
        }
        let byte = |value: f32| {
            let byte = (value * 255.0).round();
            let is_one = (0.0..=255.0).contains(&byte) && (value * 255.0 - byte).abs() < 0.01;
            is_one.then_some(byte as u8).ok_or_else(|| format!("{value} is no shade of grey, n / 255"))
        };
        values.into_iter().map(byte).collect::<Result<_, _>>().map(Picture)
    }
}

/// A file: what all of its writers wrote, and what follows from that.
struct File<'a>(&'a mut Examples);

/// What each of its writers wrote.
struct Writers<'a>(&'a mut Examples);

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `user_data`, as LEAF writes it")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_there = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "user_data" {
                map.next_value_seed(Writers(&mut *self.0))?;
                is_there = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_there {
            Ok(())
        } else {
            Err(A::Error::custom("there is no `user_data`; is it a file of LEAF?"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Writers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Writers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `x` and `y` for each writer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let added = self.0.add_writer(&name, map.next_value()?);
            added.map_err(|error| A::Error::custom(format_args!("writer {name}: {error}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use formats::gzip::packed;
    use input::chosen::Chosen;
    use serde_json::json;

    use super::*;
    use crate::data;

    /// What LEAF writes of these writers: each with labels, and the shade of its pictures.
    fn leaf(writers: &[(&str, &[u16], u8)]) -> String {
        let user_data = writers.iter().map(|(name, labels, shade)| {
            let picture = vec![f64::from(*shade) / 255.0; PIXELS];
            ((*name).to_owned(), json!({ "x": vec![picture; labels.len()], "y": labels }))
        });
        let names: Vec<_> = writers.iter().map(|(name, ..)| name).collect();
        let counts: Vec<_> = writers.iter().map(|(_, labels, _)| labels.len()).collect();
        let user_data: serde_json::Map<_, _> = user_data.collect();
        json!({ "users": names, "num_samples": counts, "user_data": user_data }).to_string()
    }

    fn loaded(files: &[(&str, Vec<u8>)]) -> Result<Split, String> {
        let datasets = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = datasets.path().join("femnist").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let source = Arc::new(Femnist::default());
        let source: Chosen<dyn Source> = Chosen::new("kind", "femnist", toml::Table::new(), source, None);
        data::load(&source, datasets.path(), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn writers_are_groups_however_leaf_has_spread_them_over_files() {
        let first = leaf(&[("f1_41", &[3, 61], 255), ("f2_08", &[7], 1)]);
        let second = leaf(&[("f0_12", &[0, 9], 51), ("f2_08", &[8], 2)]);
        let split = loaded(&[
            ("train/all_data_0_niid_0_keep_0_train_9.json", first.clone().into()),
            ("train/all_data_1_niid_0_keep_0_train_9.json.gz", packed(second.as_bytes())),
            ("test/all_data_0_niid_0_keep_0_test_9.json", leaf(&[("f1_41", &[4], 0)]).into()),
        ]);
        let Split { train, test } = split.unwrap();
        assert_eq!((train.labels(), test.labels()), (&[3, 61, 7, 0, 9, 8][..], &[4][..]));
        let groups = train.groups().unwrap();
        assert_eq!(
            (groups.names(), groups.of()),
            (&["f0_12", "f1_41", "f2_08"].map(ToOwned::to_owned)[..], &[1, 1, 2, 0, 0, 2][..])
        );
        let Features::Bytes(pixels) = train.batch(&[0, 2, 3]).features else { panic!("pixels are bytes") };
        assert_eq!(pixels, [[255; PIXELS], [1; PIXELS], [51; PIXELS]].concat());
        let whole = loaded(&[("all_data_0.json", first.into()), ("all_data_1.json", second.into())]).unwrap();
        assert_eq!((whole.train.len(), whole.test.len()), (5, 1));
    }

    #[test]
    fn what_is_wrong_is_said_with_file_writer_and_place() {
        let error = |content: String| loaded(&[("all_data_7.json", content.into())]).unwrap_err();
        let good = leaf(&[("f1_41", &[3], 0)]);
        for (content, expected) in [
            (good.replace("[3]", "[3, 4]"), "writer f1_41: 1 pictures, but 2 labels at line 1 column"),
            (good.replace("[3]", "[62]"), "writer f1_41: has the label 62; labels must be below 62"),
            (good.replacen("0.0,", "", 1), "783 values, where a picture has 784 at line 1"),
            (good.replacen("0.0,", "0.5,", 1), "0.5 is no shade of grey"),
            (good.replacen("0.0,", "2.0,", 1), "2 is no shade of grey"),
            (good.replacen("0.0,", "\"a\",", 1), "invalid type: string \"a\""),
            (good.replace("user_data", "data"), "there is no `user_data`; is it a file of LEAF?"),
            (good[..good.len() - 9].to_owned(), "EOF while parsing"),
            (format!("{good} {good}"), "trailing characters"),
            (leaf(&[("f1_41", &[], 0)]), "no writer has an example"),
            ("[1]".to_owned(), "as LEAF writes it"),
        ] {
            let error = error(content);
            assert!(error.contains("femnist/") && error.contains(expected), "{error}, not {expected}");
        }
        let missing = loaded(&[("train/a.json", good.into())]).unwrap_err();
        assert!(missing.contains("femnist/test/: file not found; `hil data fetch femnist`"), "{missing}");
    }
}
