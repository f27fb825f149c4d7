//! Files of each form, as data sets.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use formats::gzip::packed;
use formats::{Column, Reading};
use input::chosen::Chosen;
use input::npy::{self, Array};
use proptest::prelude::*;

use super::*;
use crate::data::{Features, Source, Split, load};

/// What a table says after a scenario has been read from it and its file has been looked at.
fn described(datasets: &Path, settings: &str) -> Result<OwnFile, String> {
    let mut file: OwnFile = toml::from_str(settings).map_err(|error| error.message().to_owned())?;
    file.describe(datasets).map_err(|error| error.to_string())?;
    file.check().map_err(|(key, message)| format!("{key}: {message}"))?;
    Ok(file)
}

fn loaded(datasets: &Path, settings: &str) -> Result<Split, String> {
    let file = described(datasets, settings)?;
    let chosen: Chosen<dyn Source> =
        Chosen::new("kind", "file", toml::Table::new(), std::sync::Arc::new(file), None);
    load(&chosen, datasets, 1).map_err(|error| error.to_string())
}

/// A folder of data sets with a file of one's own.
fn folder(name: &str, content: &[u8]) -> tempfile::TempDir {
    let datasets = tempfile::tempdir().unwrap();
    fs::create_dir(datasets.path().join("own")).unwrap();
    fs::write(datasets.path().join("own").join(name), content).unwrap();
    datasets
}

fn table(content: &str, settings: &str) -> Result<Split, String> {
    let datasets = folder("t.csv", content.as_bytes());
    let path = datasets.path().join("own/t.csv").display().to_string();
    let all = format!("file = \"t.csv\"\n{settings}");
    loaded(datasets.path(), &all).map_err(|error| error.replace(&path, "t.csv"))
}

fn floats(split: &Split) -> Vec<f32> {
    let all = |part: &crate::data::Dataset| {
        let batch = part.batches(usize::MAX).next();
        batch.map(|batch| batch.features.to_floats().into_owned()).unwrap_or_default()
    };
    [all(&split.train), all(&split.test)].concat()
}

const PLANTS: &str =
    "length,width,species,part\n1,10,setosa,a\n2,20,\"virginica, red\",a\n3,30,setosa,a\n5,60,setosa,b\n";
const BY_PART: &str = "label = \"species\"\ntest = { column = \"part\", value = \"b\" }\n";

#[test]
fn a_table_is_split_by_a_column_and_standardised_by_its_training_part() {
    let split = table(PLANTS, BY_PART).unwrap();
    assert_eq!((split.train.shape(), split.train.classes()), (&[2][..], 2));
    assert_eq!((split.train.labels(), split.test.labels()), (&[0, 1, 0][..], &[0][..]));
    let deviation = (2.0_f32 / 3.0).sqrt();
    let expected = [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 3.0, 4.0].map(|value| value / deviation);
    assert!(floats(&split).iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-6));
    let plain = table(PLANTS, &format!("{BY_PART}standardise = false")).unwrap();
    assert_eq!(floats(&plain), [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 5.0, 60.0]);
}

#[test]
fn however_it_is_written_a_table_is_the_same() {
    let plain = table(PLANTS, BY_PART).unwrap();
    let same = |content: &[u8], name: &str, more: &str| {
        let datasets = folder(name, content);
        let split = loaded(datasets.path(), &format!("file = \"{name}\"\n{BY_PART}{more}")).unwrap();
        assert_eq!(split, plain, "{name}");
    };
    same(PLANTS.replace('\n', "\r\n").as_bytes(), "t.csv", "");
    same(format!("\u{feff}{PLANTS}").as_bytes(), "t.csv", "");
    same(&packed(PLANTS.as_bytes()), "t.csv.gz", "");
    same(PLANTS.replace("virginica, red", "virginica red").replace(',', "\t").as_bytes(), "t.tsv", "");
    same(PLANTS.replace("virginica, red", "v").replace(',', ";").as_bytes(), "t.csv", "delimiter = \";\"");
    same(
        PLANTS.replace(',', ";").replace("5;60", "5,0;60").as_bytes(),
        "t.data",
        "delimiter = \";\"\ndecimal = \",\"",
    );
    same(
        PLANTS.replace("length,", "id,length,").replace('\n', "\nx,").trim_end_matches("x,").as_bytes(),
        "t.csv",
        "ignore = [\"id\"]",
    );
}

#[test]
fn without_names_columns_have_numbers() {
    let (_, rows) = PLANTS.split_once('\n').unwrap();
    let by_number = "label = 3\ntest = { column = -1, value = \"b\" }\n";
    assert_eq!(
        table(rows, &format!("header = false\n{by_number}")).unwrap(),
        table(PLANTS, BY_PART).unwrap()
    );
    let numbers = "1,2,0\n3,4,1\n5,6,0\n";
    assert_eq!(table(numbers, "label = -1").unwrap().train.len(), 2);
    assert_eq!(table(&format!("a,b,c\n{numbers}"), "label = -1").unwrap().train.len(), 2);
    let refused = table(numbers, "label = \"c\"\nheader = false").unwrap_err();
    assert!(refused.contains("there is no column \"c\": the first line has no names"), "{refused}");
}

#[test]
fn a_share_for_testing_is_drawn_and_no_part_is_empty() {
    let rows: Vec<String> = (0..50).map(|row| format!("{row},{}\n", row % 3)).collect();
    let rows = rows.concat();
    let split = |test: &str| table(&rows, &format!("label = 2\nstandardise = false\n{test}")).unwrap();
    assert_eq!((split("").train.len(), split("").test.len()), (40, 10));
    assert_eq!(split("test = 0.001").test.len(), 1);
    assert_eq!(split("test = 0.999").train.len(), 1);
    let mut all = floats(&split("test = 0.5"));
    all.sort_unstable_by(f32::total_cmp);
    assert_eq!(all, (0..50_u8).map(f32::from).collect::<Vec<_>>());
}

#[test]
fn missing_values_are_an_error_or_left_out_or_the_mean_of_the_training_part() {
    let holes = "a,b,y\n1,,x\n3,4,x\n5,8,z\n?,6,z\n";
    let refused = table(holes, "label = \"y\"").unwrap_err();
    assert!(
        refused.starts_with("t.csv: line 2, column 2 (b): the value is missing; `missing = \"drop\"`"),
        "{refused}"
    );
    let dropped = table(holes, "label = \"y\"\nmissing = \"drop\"\nstandardise = false").unwrap();
    assert_eq!((dropped.train.len(), dropped.test.len()), (1, 1));
    let part = holes.replace("y\n", "y,p\n").replace("x\n", "x,1\n").replace("z\n", "z,2\n");
    let settings =
        "label = \"y\"\nmissing = \"mean\"\nstandardise = false\ntest = { column = \"p\", value = \"2\" }";
    assert_eq!(floats(&table(&part, settings).unwrap()), [1.0, 4.0, 3.0, 4.0, 5.0, 8.0, 2.0, 6.0]);
    let no_label = table("a,y\n1,x\n2,\n", "label = \"y\"\nmissing = \"mean\"").unwrap_err();
    assert!(no_label.contains("line 3, column 2 (y): the label is missing"), "{no_label}");
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_line_and_column() {
    let refused = |content: &str, settings: &str| table(content, settings).unwrap_err();
    let windows = refused("a,y\r\n1,x\r\n\r\nred,z\r\n", "label = \"y\"");
    assert!(windows.starts_with("t.csv: line 4, column 1 (a): \"red\""), "{windows}");
    for (content, settings, expected) in [
        (
            "a,y\n1,x\nred,z\n",
            "label = \"y\"",
            "t.csv: line 3, column 1 (a): \"red\" is no number of 32 bits; leave the column out",
        ),
        ("a,y\n\"1,5\",x\n2,z\n", "label = \"y\"", "or say `decimal = \",\"`"),
        ("a,y\n1,x\n1,x,2\n", "label = \"y\"", "t.csv: line 3: 3 values, where the first line has 2"),
        ("a,y\n1,x\n2,z\n", "", "t.csv: which column has the labels? Say it with `label`; there are a, y"),
        ("a,y\n1,x\n2,z\n", "label = \"z\"", "t.csv: there is no column \"z\"; the 2 columns are a, y"),
        ("a,y\n1,0.5\n2,1.5\n", "label = \"y\"", "no regression"),
        ("a,y\n1,x\n2,x\n", "label = \"y\"", "dataset.classes: 1 class is nothing to tell apart"),
        ("a,a,y\n1,2,x\n", "label = \"y\"", "line 1: two columns are called \"a\""),
        ("y\nx\nz\n", "label = \"y\"", "no column beside that of the labels"),
        ("a,y\n", "label = \"y\"", "no row is left"),
        ("", "label = \"y\"", "t.csv: it is empty"),
        ("a,y\n1,x\n2,z\n", "label = \"y\"\ntest = 1.5", "dataset.test: 1.5 must lie between 0 and 1"),
        (
            "a,y\n1,x\n2,z\n",
            "label = \"y\"\ntest = { column = \"q\", value = \"1\" }",
            "there is no column \"q\"",
        ),
        ("a,y\n1,x\n2,z\n", "label = \"y\"\ntest = { column = \"a\", value = \"7\" }", "no column beside"),
        (
            "a,b,y\n1,1,x\n2,1,z\n",
            "label = \"y\"\ntest = { column = \"b\", value = \"7\" }",
            "no example is left for testing",
        ),
        (
            "a,y\n1,x\n2,z\n",
            "label = \"y\"\nclasses = [\"x\", \"q\"]",
            "example 2 has the label \"z\", which is none of the 2 classes",
        ),
        ("a,y\n1,x\n2,z\n", "label = \"y\"\nshape = [2, 2]", "do not make the shape [2, 2]"),
        ("a,y\n1,x\n2,z\n", "label = \"y\"\nfeatures = \"x\"", "`features` is for .npz and .safetensors"),
        ("a;y\n1;x\n2;z\n", "label = \"y\"\ndelimiter = \";\"\ndecimal = \";\"", "cannot separate values"),
    ] {
        let error = refused(content, settings);
        assert!(error.contains(expected), "{error}, not {expected}");
    }
    let missing = loaded(folder("t.csv", b"").path(), "file = \"other.csv\"\nlabel = 1").unwrap_err();
    assert!(
        missing.contains("own/other.csv: file not found; a data set of your own lies there"),
        "{missing}"
    );
    let unknown = loaded(folder("t.xls", b"").path(), "file = \"t.xls\"\nlabel = 1").unwrap_err();
    assert!(unknown.contains("t.xls: no file of a form that is read"), "{unknown}");
    let utf16 = loaded(folder("t.csv", b"\xff\xfea\0").path(), "file = \"t.csv\"\nlabel = 1").unwrap_err();
    assert!(utf16.contains("it is text in UTF-16; save it as UTF-8"), "{utf16}");
    let latin =
        loaded(folder("t.csv", b"a,y\n1,caf\xe9\n").path(), "file = \"t.csv\"\nlabel = 2").unwrap_err();
    assert!(latin.contains("line 2 is not text in UTF-8"), "{latin}");
}

#[test]
fn what_the_scenario_says_is_held_against_the_file() {
    let datasets = folder("t.csv", b"a,y\n1,x\n2,z\n3,x\n");
    let file = described(datasets.path(), "file = \"t.csv\"\nlabel = \"y\"").unwrap();
    let spec = file.spec();
    assert_eq!((spec.shape, spec.classes, spec.max_examples), (vec![1], 2, 3));
    let resolved = toml::to_string(&file).unwrap();
    // Nobody but whoever reads the examples needs the file.
    assert!(described(tempfile::tempdir().unwrap().path(), &resolved).is_ok());
    fs::write(datasets.path().join("own/t.csv"), "a,y\n1,x\n2,z\n").unwrap();
    let error = loaded(datasets.path(), &resolved).unwrap_err();
    assert!(error.contains("has 2 examples, where the scenario says 3"), "{error}");
    let mut unread: OwnFile = toml::from_str("file = \"t.csv\"\nlabel = \"y\"").unwrap();
    assert!(unread.check().unwrap_err().1.contains("are not known here"));
    unread.describe(datasets.path()).unwrap();
    unread.check().unwrap();
}

fn save(path: &Path, shape: &[usize], values: Vec<f32>) {
    npy::write(path, &Array { shape: shape.to_vec(), values }).unwrap();
}

#[test]
fn arrays_of_numpy_are_read_from_files_and_archives() {
    let datasets = folder("none", b"");
    let own = datasets.path().join("own");
    save(&own.join("x.npy"), &[4, 2, 3], (0..24).map(|value| value as f32).collect());
    save(&own.join("y.npy"), &[4], vec![7.0, 8.0, 8.0, 7.0]);
    let split = loaded(datasets.path(), "file = \"x.npy\"\nlabels = \"y.npy\"\ntest = 0.5").unwrap();
    assert_eq!((split.train.shape(), split.train.len(), split.train.classes()), (&[2, 3][..], 2, 2));
    let elsewhere = "file = \"x.npy\"\nlabels = \"y.npy\"\ntest = { file = \"x.npy\", labels = \"y.npy\" }";
    let split = loaded(datasets.path(), elsewhere).unwrap();
    assert_eq!((split.train.labels(), split.test.labels()), (&[0, 1, 1, 0][..], &[0, 1, 1, 0][..]));

    let mut archive = zip::ZipWriter::new(File::create(own.join("a.npz")).unwrap());
    for (name, file) in [("x", "x.npy"), ("y", "y.npy"), ("x_test", "x.npy"), ("y_test", "y.npy")] {
        let options = zip::write::SimpleFileOptions::default().compression_method(if name == "x" {
            zip::CompressionMethod::Stored
        } else {
            zip::CompressionMethod::Deflated
        });
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(&fs::read(own.join(file)).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    let test = "test = { features = \"x_test\", label = \"y_test\" }";
    assert_eq!(loaded(datasets.path(), &format!("file = \"a.npz\"\n{test}")).unwrap(), split);
    let error = loaded(datasets.path(), "file = \"a.npz\"\nlabel = \"z\"").unwrap_err();
    assert!(error.contains("there is no array \"z\" in it, but x, x_test, y, y_test"), "{error}");
    let error = loaded(datasets.path(), "file = \"x.npy\"").unwrap_err();
    assert!(error.contains("its labels are in a file of their own"), "{error}");
    save(&own.join("y.npy"), &[3], vec![7.0; 3]);
    let error = loaded(datasets.path(), "file = \"x.npy\"\nlabels = \"y.npy\"").unwrap_err();
    assert!(error.contains("4 examples of shape [2, 3], but 3 labels"), "{error}");
    save(&own.join("y.npy"), &[4, 2], vec![0.0; 8]);
    let error = loaded(datasets.path(), "file = \"x.npy\"\nlabels = \"y.npy\"").unwrap_err();
    assert!(error.contains("labels have the shape [4, 2]") && error.contains("argmax"), "{error}");
}

#[test]
fn tensors_of_bytes_are_pixels_and_their_channels_can_come_first() {
    use safetensors::tensor::{Dtype, TensorView};
    let datasets = folder("none", b"");
    let pixels: Vec<u8> = (0..2 * 3 * 2 * 2).collect();
    let labels: Vec<u8> = [1_i64, 0].iter().flat_map(|label| label.to_le_bytes()).collect();
    let tensors = [
        ("x", TensorView::new(Dtype::U8, vec![2, 3, 2, 2], &pixels).unwrap()),
        ("y", TensorView::new(Dtype::I64, vec![2], &labels).unwrap()),
    ];
    fs::write(datasets.path().join("own/t.safetensors"), safetensors::serialize(tensors, None).unwrap())
        .unwrap();
    let settings =
        "file = \"t.safetensors\"\nchannels-first = true\ntest = { features = \"x\", label = \"y\" }";
    let split = loaded(datasets.path(), settings).unwrap();
    assert_eq!((split.train.shape(), split.train.labels()), (&[2, 2, 3][..], &[1, 0][..]));
    let Features::Bytes(moved) = split.train.batch(&[0]).features else { panic!("pixels are bytes") };
    assert_eq!(moved, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
}

#[test]
fn a_column_or_an_array_says_in_which_group_an_example_is() {
    let table_of_groups = "sensor,a,y\nnorth,1,0\nsouth,2,1\nnorth,3,0\n10,4,1\n";
    let settings = "label = \"y\"\ngroup = \"sensor\"\nstandardise = false\ntest = 0.25";
    let split = table(table_of_groups, settings).unwrap();
    let groups = split.train.groups().unwrap();
    assert_eq!(
        (split.train.shape(), groups.names()),
        (&[1][..], &["10", "north", "south"].map(ToOwned::to_owned)[..])
    );
    let of: Vec<(f32, u16)> = std::iter::zip(floats(&split), groups.of().iter().copied()).collect();
    for (value, group) in &of {
        assert_eq!(usize::from(*group), [1, 2, 1, 0][*value as usize - 1], "{of:?}");
    }
    assert!(split.test.groups().is_none());
    let (_, rows) = table_of_groups.split_once('\n').unwrap();
    let by_number = table(rows, &settings.replace("\"y\"", "3").replace("\"sensor\"", "1")).unwrap();
    assert_eq!(by_number, split);
    for (settings, expected) in [
        ("label = \"y\"\ngroup = \"y\"", "the column \"y\" has either labels or groups"),
        ("label = \"y\"\ngroup = \"plot\"", "there is no column \"plot\""),
        (
            "label = 3\ngroup = \"plot\"\nheader = false",
            "there is no column \"plot\": the first line has no names",
        ),
    ] {
        let error = table(table_of_groups, settings).unwrap_err();
        assert!(error.contains(expected), "{error}, not {expected}");
    }
    let missing = table_of_groups.replace("south", "");
    let error = table(&missing, settings).unwrap_err();
    assert!(error.contains("line 3, column 1 (sensor): the group is missing"), "{error}");
    let dropped = table(&missing, &format!("{settings}\nmissing = \"drop\"")).unwrap();
    assert_eq!(dropped.train.groups().unwrap().names(), ["10", "north"]);

    let datasets = folder("none", b"");
    let own = datasets.path().join("own");
    save(&own.join("x.npy"), &[3, 2], vec![0.0; 6]);
    save(&own.join("y.npy"), &[3], vec![7.0, 8.0, 8.0]);
    save(&own.join("g.npy"), &[3], vec![20.0, 3.0, 20.0]);
    let by_file = |group: &str| {
        let test = "test = { file = \"x.npy\", labels = \"y.npy\" }";
        loaded(datasets.path(), &format!("file = \"x.npy\"\nlabels = \"y.npy\"\ngroup = {group}\n{test}"))
    };
    let split = by_file("\"g.npy\"").unwrap();
    let groups = split.train.groups().unwrap();
    assert_eq!((groups.names(), groups.of()), (&["3", "20"].map(ToOwned::to_owned)[..], &[1, 0, 1][..]));
    assert!(by_file("1").unwrap_err().contains("`group` must be the name of a file, in quotes"));
    save(&own.join("g.npy"), &[2], vec![20.0, 3.0]);
    assert!(by_file("\"g.npy\"").unwrap_err().contains("3 examples, but 2 groups"));
    let mut archive = zip::ZipWriter::new(File::create(own.join("a.npz")).unwrap());
    for (name, file) in [("x", "x.npy"), ("y", "y.npy"), ("who", "y.npy")] {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&fs::read(own.join(file)).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    let split = loaded(datasets.path(), "file = \"a.npz\"\ngroup = \"who\"\ntest = 0.3").unwrap();
    assert_eq!(split.train.groups().unwrap().names(), ["7", "8"]);
}

#[test]
fn what_a_file_would_become_is_described_with_what_is_odd() {
    let rows: Vec<String> =
        (0..40).map(|row| format!("{row},5,{}\n", if row == 7 { "rare" } else { "usual" })).collect();
    let datasets = folder("t.csv", format!("a,b,y\n?,5,usual\n{}", rows.concat()).as_bytes());
    let reading = Reading { label: Some(Column::Name("y".to_owned())), ..Reading::default() };
    let path = datasets.path().join("own/t.csv");
    let description = Description::of(&OwnFile::new("t.csv".to_owned(), reading), &path).unwrap();
    assert_eq!((description.examples, &description.shape[..]), (41, &[2][..]));
    assert_eq!(description.classes, [("rare".to_owned(), 1), ("usual".to_owned(), 40)]);
    let text = description.to_string();
    for part in [
        "41 examples of shape [2] in 2 classes",
        "1 values are missing",
        "the same value everywhere: b",
        "40 of 41",
        "single example",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

proptest! {
    /// Whatever is in a file, there is an error or a data set.
    #[test]
    fn no_bytes_are_too_odd(content in prop::collection::vec(any::<u8>(), 0..200), form in 0..5_usize) {
        let name = ["t.csv", "t.npy", "t.npz", "t.safetensors", "t.idx"][form];
        let datasets = folder(name, &content);
        let labels = if form == 1 || form == 4 { format!("labels = \"{name}\"") } else { String::new() };
        let label = if form == 0 { "label = 1" } else { "" };
        let _ = loaded(datasets.path(), &format!("file = \"{name}\"\n{label}\n{labels}"));
    }

    /// Tables of any numbers and names come back as they were written.
    #[test]
    fn rows_are_neither_lost_nor_changed(
        rows in prop::collection::vec((any::<f32>().prop_filter("finite", |value| value.is_finite()), "[a-c\",;\n ]{0,4}x"), 2..30),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["a", "y"]).unwrap();
        for (value, label) in &rows {
            writer.write_record([&value.to_string(), label]).unwrap();
        }
        let datasets = folder("t.csv", &writer.into_inner().unwrap());
        let mut labels: Vec<&str> = rows.iter().map(|(_, label)| label.trim()).collect();
        labels.sort_unstable();
        labels.dedup();
        prop_assume!(labels.len() > 1);
        let split = loaded(datasets.path(), "file = \"t.csv\"\nlabel = \"y\"\nstandardise = false").unwrap();
        let mut values = floats(&split);
        let mut expected: Vec<f32> = rows.iter().map(|(value, _)| *value).collect();
        values.sort_unstable_by(f32::total_cmp);
        expected.sort_unstable_by(f32::total_cmp);
        prop_assert_eq!(values, expected);
    }
}
