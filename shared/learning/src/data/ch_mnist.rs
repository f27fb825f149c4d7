//! The table of CH-MNIST: colorectal histology tiles, grey 64 x 64.

use std::io::{BufRead, BufReader, Read as _};

use flate2::bufread::MultiGzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Features, Folder, Mirror, Published, Source, Spec, Split, TableError};
use formats::gzip::is_gzip;

const SIDE: usize = 64;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 8;
const FILE: &str = "hmnist_64_64_L.csv";
const ROWS: usize = 5000;
const TRAIN: usize = 4000;
/// No line of the table is longer: its header has ten bytes per column.
const MAX_LINE: u64 = 10 * (PIXELS as u64 + 1) + 2;

/// Tiles of human colorectal tissue, 64x64 grey.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ChMnist {}

impl Source for ChMnist {
    fn spec(&self) -> Spec {
        Spec {
            shape: vec![SIDE, SIDE],
            classes: CLASSES,
            max_examples: TRAIN,
            folder: "ch-mnist".to_owned(),
            files: vec![FILE.into()],
        }
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        folder.read(FILE, |table| read_ch_mnist(table, seed))
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "CC BY 4.0",
            origin: "https://doi.org/10.5281/zenodo.53169",
            size: "70 MiB",
            mirror: Mirror::ByHand(
                "Kaggle asks for an account: get hmnist_64_64_L.csv from \
                 https://www.kaggle.com/datasets/kmader/colorectal-histology-mnist, unpack it, and run \
                 `hil data fetch ch-mnist --from hmnist_64_64_L.csv`",
            ),
            content: Vec::new(),
            download: Vec::new(),
        })
    }
}

/// Reads `hmnist_64_64_L.csv` (4,096 pixels and a label per row), plain or gzipped, and splits it with `seed`
/// into 4,000 training and 1,000 test examples (paper section 4.1). The file's labels 1 to 8 become the classes
/// 0 to 7.
///
/// No more is decompressed or allocated than the table takes.
///
/// # Errors
/// If `table` is not that file; the error names the line.
pub fn read_ch_mnist(table: &[u8], seed: u64) -> Result<Split, TableError> {
    let (pixels, labels) = if is_gzip(table) {
        read_rows(BufReader::new(MultiGzDecoder::new(table)))?
    } else {
        read_rows(table)?
    };
    let all = Dataset::new(vec![SIDE, SIDE], CLASSES, Features::Bytes(pixels), labels)?;
    Ok(Split::draw(&all, TRAIN, seed))
}

/// The pixels of all rows, and their classes.
fn read_rows(mut table: impl BufRead) -> Result<(Vec<u8>, Vec<u16>), TableError> {
    let mut text = Vec::new();
    read_line(&mut table, &mut text, 1)?;
    check_header(&text)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in 2.. {
        if !read_line(&mut table, &mut text, line)? {
            break;
        }
        if labels.len() == ROWS {
            let more = ROWS + 1;
            return Err(TableError::Whole(format!("{more} rows or more, where the data set has {ROWS}")));
        }
        labels.push(read_row(&text, line, &mut pixels)?);
    }
    if labels.len() < ROWS {
        return Err(TableError::Whole(format!("{} rows, where the data set has {ROWS}", labels.len())));
    }
    Ok((pixels, labels))
}

/// Reads the next line without its end into `text`, and says whether there was one.
fn read_line(table: &mut impl BufRead, text: &mut Vec<u8>, line: u64) -> Result<bool, TableError> {
    text.clear();
    let read = table.by_ref().take(MAX_LINE).read_until(b'\n', text);
    let length = read.map_err(|cause| TableError::line(line, TableError::Gzip(cause)))?;
    if text.pop_if(|byte| *byte == b'\n').is_some() {
        text.pop_if(|byte| *byte == b'\r');
    } else if length as u64 == MAX_LINE {
        return Err(TableError::line(line, "longer than any line of the table; is it a CSV file?"));
    }
    Ok(length > 0)
}

fn check_header(line: &[u8]) -> Result<(), TableError> {
    let differs = |column: usize, name: &[u8], expected: &str| {
        let name = excerpt(name);
        Err(TableError::line(1, format!("column {column} is headed {name:?}, not {expected:?}")))
    };
    let expected = (0..PIXELS).map(|pixel| format!("pixel{pixel:04}")).chain(["label".to_owned()]);
    let mut names = line.split(|&byte| byte == b',');
    for (index, expected) in expected.enumerate() {
        let name = names.next().unwrap_or_default();
        if name != expected.as_bytes() {
            return differs(index + 1, name, &expected);
        }
    }
    names.next().map_or(Ok(()), |name| differs(PIXELS + 2, name, "the end of the line"))
}

/// Adds the pixels of a row to `pixels` and returns its class.
fn read_row(text: &[u8], line: u64, pixels: &mut Vec<u8>) -> Result<u16, TableError> {
    let actual = text.split(|&byte| byte == b',').count();
    if actual != PIXELS + 1 {
        let fields = format!("{actual} fields, where a row has {PIXELS} pixels and a label");
        return Err(TableError::line(line, fields));
    }
    let mut fields = text.split(|&byte| byte == b',');
    for (index, field) in fields.by_ref().take(PIXELS).enumerate() {
        pixels.push(number(field).ok_or_else(|| {
            let (column, text) = (index + 1, excerpt(field));
            TableError::line(line, format!("pixel {column} is {text:?}, not a whole number from 0 to 255"))
        })?);
    }
    let label = fields.next().unwrap_or_default();
    let Some(class @ 1..=8) = number(label) else {
        let what = format!("the label is {:?}, not a whole number from 1 to 8", excerpt(label));
        return Err(TableError::line(line, what));
    };
    Ok(u16::from(class - 1))
}

fn number(field: &[u8]) -> Option<u8> {
    // `parse` takes a sign, too.
    let digits = field.first().is_some_and(u8::is_ascii_digit);
    std::str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

/// The beginning of what stands in a field, for an error.
fn excerpt(field: &[u8]) -> String {
    String::from_utf8_lossy(&field[..field.len().min(40)]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use formats::gzip::packed;

    fn header() -> String {
        let names: Vec<String> = (0..PIXELS).map(|pixel| format!("pixel{pixel:04}")).collect();
        names.join(",") + ",label\n"
    }

    /// Row `index`: its pixels are all `index % 251`, its label says into which eighth of the table it is.
    fn row(index: usize) -> String {
        format!("{},", index % 251).repeat(PIXELS) + &format!("{}\n", 1 + index * 8 / ROWS)
    }

    static TABLE: LazyLock<String> = LazyLock::new(|| header() + &(0..ROWS).map(row).collect::<String>());

    fn error(table: &str) -> String {
        let error = read_ch_mnist(table.as_bytes(), 1).unwrap_err().to_string();
        assert_eq!(read_ch_mnist(&packed(table.as_bytes()), 1).unwrap_err().to_string(), error);
        error
    }

    #[test]
    fn the_table_is_split_with_the_seed_into_4000_and_1000() {
        let split = read_ch_mnist(TABLE.as_bytes(), 1).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (4000, 1000));
        assert_eq!((split.train.shape(), split.train.classes()), (&[64, 64][..], 8));
        let mut counts = [0; 8];
        for part in [&split.train, &split.test] {
            part.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        }
        assert_eq!(counts, [625; 8]);
        // Rows come in order, so a test example that has the label but not the pixels of its row would show.
        let Features::Bytes(pixels) = split.test.features_at(&[0, 999]) else { panic!("pixels are bytes") };
        assert!(pixels[..PIXELS].iter().all(|&pixel| pixel == pixels[0]));
        assert_eq!((split.test.labels()[0], split.test.labels()[999]), (0, 7));

        assert_eq!(read_ch_mnist(&packed(TABLE.as_bytes()), 1).unwrap(), split);
        assert_ne!(read_ch_mnist(TABLE.as_bytes(), 2).unwrap().test, split.test);
        assert_eq!(read_ch_mnist(TABLE.replace('\n', "\r\n").trim_end().as_bytes(), 1).unwrap(), split);
    }

    #[test]
    fn errors_name_the_line_and_what_stands_there() {
        let with = |from: &str, to: &str| error(&(header() + &row(0) + &row(1)).replacen(from, to, 1));
        assert_eq!(with("pixel0002", "pixel2"), "line 1: column 3 is headed \"pixel2\", not \"pixel0002\"");
        assert_eq!(
            with("label\n", "label,id\n"),
            "line 1: column 4098 is headed \"id\", not \"the end of the line\""
        );
        assert_eq!(with("\n0,", "\n0,0,"), "line 2: 4098 fields, where a row has 4096 pixels and a label");
        for wrong in ["256", "-1", "+1", "", "1.0"] {
            assert_eq!(
                with("\n1,1,", &format!("\n1,{wrong},")),
                format!("line 3: pixel 2 is {wrong:?}, not a whole number from 0 to 255")
            );
        }
        for wrong in ["0", "9", "tumour"] {
            assert_eq!(
                with(",1\n1,", &format!(",{wrong}\n1,")),
                format!("line 2: the label is {wrong:?}, not a whole number from 1 to 8")
            );
        }
        assert_eq!(with("none", "none"), "2 rows, where the data set has 5000");
        assert_eq!(with("\n0,", "\n\n0,"), "line 2: 1 fields, where a row has 4096 pixels and a label");
        assert!(error("").starts_with("line 1: column 1 is headed \"\""));
    }

    #[test]
    fn a_row_too_many_is_refused() {
        assert_eq!(error(&(TABLE.clone() + &row(0))), "5001 rows or more, where the data set has 5000");
    }

    #[test]
    fn hostile_bytes_are_refused_without_reading_them_all() {
        let endless = packed(&vec![b'0'; 20_000_000]);
        let binary = vec![0xff; 100_000];
        for table in [endless, binary] {
            let error = read_ch_mnist(&table, 1).unwrap_err().to_string();
            assert_eq!(error, "line 1: longer than any line of the table; is it a CSV file?");
        }
        let mut damaged = packed((header() + &row(0)).as_bytes());
        damaged.truncate(damaged.len() - 9);
        let error = read_ch_mnist(&damaged, 1).unwrap_err().to_string();
        assert!(error.starts_with("line 3: cannot be decompressed: "), "{error}");
    }
}
