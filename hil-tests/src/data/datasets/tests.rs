//! Fetching from folders, and from an HTTP server that breaks off.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use input::chosen::Chosen;
use learning::data::{DataError, Folder, Mnist, Published, Source, Spec, Split, load};
use scenario::catalogue::Catalogue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::identity::Digest;

use super::fetch::{FetchError, FetchFrom, Fetched, fetch};

/// A data set in the files of MNIST, with two training and two test examples.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Small {}

impl Source for Small {
    fn spec(&self) -> Spec {
        Mnist {}.spec()
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        Mnist {}.load(folder, seed)
    }

    fn published(&self) -> Option<Published> {
        let content = contents().iter().map(|content| &*Digest::of(content).to_string().leak()).collect();
        Some(Published { content, ..Mnist {}.published()? })
    }
}

fn known(name: &str) -> Chosen<dyn Source> {
    Catalogue::standard().datasets.with_defaults(name).unwrap()
}

fn small() -> Chosen<dyn Source> {
    let mut datasets = Catalogue::standard().datasets;
    datasets.add::<Small>("mnist");
    datasets.with_defaults("mnist").unwrap()
}

fn files() -> Vec<String> {
    small().spec().files.iter().map(ToString::to_string).collect()
}

fn file(index: usize) -> String {
    files().swap_remove(index)
}

fn list(datasets: &Path) -> String {
    super::list(&Catalogue::standard().datasets, datasets)
}

#[test]
fn a_data_set_that_is_there_and_cannot_be_read_is_called_damaged() {
    let datasets = tempfile::tempdir().unwrap();
    let folder = datasets.path().join("breast-cancer-wisconsin");
    fs::create_dir(&folder).unwrap();
    for content in ["", "569,30,malignant,benign\n"] {
        fs::write(folder.join("wdbc.csv"), content).unwrap();
        let listed = list(datasets.path());
        let line = listed.lines().find(|line| line.starts_with("breast-cancer")).unwrap();
        assert!(line.contains("  damaged  "), "{listed}");
        assert!(listed.lines().last().unwrap().contains("wdbc.csv: "), "{listed}");
    }
}

/// The content of the four files of a data set of two training and two test examples.
fn contents() -> Vec<Vec<u8>> {
    let images =
        |pixel: u8| [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &vec![pixel; 2 * 784]].concat();
    let labels = |labels: [u8; 2]| [&[0, 0, 8, 1, 0, 0, 0, 2][..], &labels].concat();
    vec![images(1), labels([3, 4]), images(2), labels([5, 6])]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write_files(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (file, content) in files().iter().zip(contents()) {
        fs::write(folder.join(file), content).unwrap();
    }
}

/// What is below a folder of data sets, but for the data set itself.
fn leftovers(datasets: &Path) -> Vec<String> {
    let names =
        fs::read_dir(datasets).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "mnist").collect()
}

fn assert_complete_files(fetched: &[Fetched]) {
    let digests: Vec<Digest> = contents().iter().map(|content| Digest::of(content)).collect();
    assert_eq!(fetched.iter().map(|file| file.digest).collect::<Vec<_>>(), digests);
}

fn assert_complete(fetched: &[Fetched], datasets: &Path) {
    assert_complete_files(fetched);
    assert!(fetched.iter().all(|file| file.as_published == Some(true) && file.path.is_file()));
    assert_eq!(load(&small(), datasets, 1).unwrap().test.labels(), [5, 6]);
    assert_eq!(leftovers(datasets), Vec::<String>::new());
}

/// A server of gzipped files over plain HTTP.
struct Server {
    url: String,
    /// The first line of each request, and its range if it asked for one.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Breaks off the first `broken` answers in the middle; knows ranges, or answers 416 to them as it would for
    /// a file that has shrunk.
    ///
    /// `None`, having said so, where there is no curl, which downloads.
    fn start(files: Vec<Vec<u8>>, broken: usize, ranges: bool) -> Option<Self> {
        if !link::has("curl") {
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mirror", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                answer(stream.unwrap(), &files, number < broken, ranges, &log);
            }
        });
        Some(Server { url, requests })
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, files: &[Vec<u8>], broken: bool, ranges: bool, log: &Mutex<Vec<String>>) {
    let lines: Vec<String> =
        BufReader::new(&stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let range =
        lines.iter().find_map(|line| line.strip_prefix("Range: bytes=")?.strip_suffix('-')?.parse().ok());
    log.lock().unwrap().push(format!("{path} {range:?}"));
    let named = |file: &str| path == format!("/mirror/{file}.gz");
    let found = self::files().iter().position(|file| named(file)).and_then(|index| files.get(index));
    let Some(file) = found else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    let start = range.unwrap_or(0usize);
    if start > 0 && !ranges {
        let _ = stream.write_all(
            b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        return;
    }
    let (body, size) = (&file[start..], file.len());
    let status = match start {
        0 => "200 OK".to_owned(),
        _ => format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}", size - 1),
    };
    let header = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let sent = if broken { body.len() / 2 } else { body.len() };
    let _ = stream.write_all(&[header.as_bytes(), &body[..sent]].concat());
}

fn gzipped() -> Vec<Vec<u8>> {
    contents().iter().map(|content| gzip(content)).collect()
}

#[test]
fn files_at_hand_are_checked_and_put_in_place() {
    let (from, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_files(from.path());
    let source = FetchFrom::Path(from.path().to_owned());
    assert_complete(&fetch(&small(), &source, datasets.path()).unwrap(), datasets.path());

    // Content under a name that does not tell, and a digest that is not the published one, are no obstacle.
    fs::write(from.path().join(file(0)), gzip(&contents()[2])).unwrap();
    let fetched = fetch(&small(), &source, datasets.path()).unwrap();
    assert_eq!(fetched[0].as_published, Some(false));
    assert!(fetched[0].path.ends_with("train-images-idx3-ubyte.gz"));
    assert!(!datasets.path().join("mnist/train-images-idx3-ubyte").exists());
}

#[test]
fn files_that_make_no_data_set_change_nothing() {
    let (from, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_files(from.path());
    write_files(&datasets.path().join("mnist"));
    fs::write(from.path().join(file(3)), "<html>").unwrap();
    let source = FetchFrom::Path(from.path().to_owned());
    let unfit = fetch(&small(), &source, datasets.path()).unwrap_err().to_string();
    let given = from.path().join(file(3));
    assert!(
        unfit.starts_with(&format!("{}: starts with ", given.display())),
        "not the copy, which is gone: {unfit}"
    );
    assert_eq!(leftovers(datasets.path()), Vec::<String>::new());
    assert_eq!(load(&small(), datasets.path(), 1).unwrap().test.labels(), [5, 6]);

    fs::remove_file(from.path().join(file(3))).unwrap();
    let refused = fetch(&small(), &source, datasets.path());
    assert!(matches!(refused, Err(FetchError::NotThere { file, .. }) if file == "t10k-labels-idx1-ubyte"));
    let one = FetchFrom::Path(from.path().join(file(0)));
    assert!(matches!(fetch(&small(), &one, datasets.path()), Err(FetchError::OneFile { count: 4, .. })));
}

#[test]
fn files_are_taken_by_the_names_under_which_they_are_about() {
    let (from, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (index, (file, content)) in files().iter().zip(contents()).enumerate() {
        let name = file.replace("-idx", ".idx");
        let folder = if index % 2 == 0 { from.path().to_owned() } else { from.path().join(file) };
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content).unwrap();
    }
    let place = |folder: &Path| load(&small(), folder, 1).unwrap().test.labels().to_vec();
    let moved = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(from.path(), moved.path().join("mnist")).unwrap();
    assert_eq!(place(moved.path()), [5, 6]);
    assert!(list(moved.path()).lines().nth(1).unwrap().contains("  yes  "), "{}", list(moved.path()));
    let source = FetchFrom::Path(from.path().to_owned());
    assert_complete(&fetch(&small(), &source, datasets.path()).unwrap(), datasets.path());
}

#[test]
fn what_else_lies_in_the_folder_stays_and_other_spellings_of_the_files_go() {
    let (from, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_files(from.path());
    let folder = datasets.path().join("mnist");
    fs::create_dir_all(folder.join("mine")).unwrap();
    fs::write(folder.join("mine/notes"), "mine").unwrap();
    fs::write(folder.join("t10k-labels.idx1-ubyte.gz"), "old").unwrap();
    let source = FetchFrom::Path(from.path().to_owned());
    assert_complete(&fetch(&small(), &source, datasets.path()).unwrap(), datasets.path());
    assert_eq!(fs::read_to_string(folder.join("mine/notes")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1 + files().len());
}

#[test]
fn of_two_that_fetch_at_once_each_leaves_the_whole_set() {
    let (from, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_files(from.path());
    let source = FetchFrom::Path(from.path().to_owned());
    for _ in 0..20 {
        thread::scope(|scope| {
            let fetches: Vec<_> =
                (0..4).map(|_| scope.spawn(|| fetch(&small(), &source, datasets.path()))).collect();
            for fetched in fetches {
                assert_complete_files(&fetched.join().unwrap().unwrap());
            }
        });
        assert_eq!(load(&small(), datasets.path(), 1).unwrap().test.labels(), [5, 6]);
        assert_eq!(leftovers(datasets.path()), Vec::<String>::new());
    }
}

#[test]
fn the_tables_of_uci_are_listed_read_and_fetched_gzipped_too() {
    let dataset = known("breast-cancer");
    let table =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/breast-cancer-wisconsin/wdbc.csv"));
    let (datasets, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = datasets.path().join(dataset.spec().folder);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("wdbc.csv.gz"), gzip(&table.unwrap())).unwrap();
    let listed = list(datasets.path());
    let line = listed.lines().find(|line| line.starts_with(dataset.name())).unwrap();
    assert!(line.contains("  yes  "), "{line}");
    let read = load(&dataset, datasets.path(), 1).unwrap();
    for from in [folder.clone(), folder.join("wdbc.csv.gz")] {
        let fetched = fetch(&dataset, &FetchFrom::Path(from), other.path()).unwrap();
        assert_eq!(fetched[0].as_published, Some(true));
        assert!(load(&dataset, other.path(), 1).unwrap() == read);
    }
}

#[test]
fn a_data_set_in_folders_of_as_many_files_as_somebody_made_is_fetched_as_a_whole() {
    let dataset = known("femnist");
    let (leaf, datasets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let writer = |name: &str| {
        let picture = vec![1.0; 784];
        format!(
            "{{\"users\": [{name:?}], \"user_data\": {{{name:?}: {{\"x\": [{picture:?}], \"y\": [61]}}}}}}"
        )
    };
    for (part, name) in [("train", "a"), ("train", "b"), ("test", "c"), ("sampled_data", "d")] {
        fs::create_dir_all(leaf.path().join(part)).unwrap();
        fs::write(leaf.path().join(part).join(format!("all_data_{name}.json")), writer(name)).unwrap();
    }
    fs::write(leaf.path().join("train/all_data_b.json"), gzip(writer("b").as_bytes())).unwrap();
    let source = FetchFrom::Path(leaf.path().to_owned());
    let places = |fetched: Vec<Fetched>| -> Vec<String> {
        let place = |fetched: &Fetched| {
            fetched.path.strip_prefix(datasets.path().join("femnist")).unwrap().display().to_string()
        };
        fetched.iter().map(place).collect()
    };
    let fetched = fetch(&dataset, &source, datasets.path()).unwrap();
    assert_eq!(
        places(fetched),
        ["train/all_data_a.json", "train/all_data_b.json.gz", "test/all_data_c.json"]
    );
    let line = list(datasets.path()).lines().find(|line| line.starts_with("femnist")).unwrap().to_owned();
    assert!(line.contains("  yes  "), "{line}");
    fs::remove_file(leaf.path().join("train/all_data_a.json")).unwrap();
    fetch(&dataset, &source, datasets.path()).unwrap();
    let split = load(&dataset, datasets.path(), 1).unwrap();
    assert_eq!(split.train.groups().unwrap().names(), ["b"]);
    assert_eq!(split.test.len(), 1);
    let refused = fetch(&dataset, &FetchFrom::Mirror, datasets.path()).unwrap_err().to_string();
    assert!(refused.contains("preprocess.sh"), "{refused}");
}

#[test]
fn a_transfer_that_breaks_off_is_taken_up_where_it_ended() {
    let datasets = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(gzipped(), 2, true) else { return };
    let fetched = fetch(&small(), &FetchFrom::Url(server.url.clone()), datasets.path()).unwrap();
    assert_complete(&fetched, datasets.path());
    let first = "/mirror/train-images-idx3-ubyte.gz";
    let size = gzipped()[0].len();
    let half = size / 2;
    let expected = [
        format!("{first} None"),
        format!("{first} Some({half})"),
        format!("{first} Some({})", half + (size - half) / 2),
    ];
    assert_eq!(server.requests()[..3], expected);
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn what_cannot_be_taken_up_begins_anew() {
    let datasets = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(gzipped(), 1, false) else { return };
    let fetched = fetch(&small(), &FetchFrom::Url(server.url.clone()), datasets.path()).unwrap();
    assert_complete(&fetched, datasets.path());
}

#[test]
fn a_file_that_is_not_the_published_one_is_refused_and_the_good_ones_are_kept() {
    let datasets = tempfile::tempdir().unwrap();
    let mut files = gzipped();
    files[1] = gzip(&contents()[3]);
    let Some(server) = Server::start(files, 0, true) else { return };
    let refused = fetch(&small(), &FetchFrom::Url(server.url), datasets.path()).unwrap_err();
    assert!(matches!(refused, FetchError::Digest { .. }), "{refused}");
    assert!(!datasets.path().join("mnist").exists());

    let Some(server) = Server::start(gzipped(), 0, true) else { return };
    let fetched = fetch(&small(), &FetchFrom::Url(server.url.clone()), datasets.path()).unwrap();
    assert_complete(&fetched, datasets.path());
    assert!(server.requests()[0].contains("train-labels"), "{:?}", server.requests());
}

#[test]
fn a_missing_file_is_named() {
    let datasets = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(Vec::new(), 0, true) else { return };
    let refused = fetch(&small(), &FetchFrom::Url(server.url), datasets.path()).unwrap_err().to_string();
    assert!(refused.contains("/mirror/train-images-idx3-ubyte.gz: curl ended with"), "{refused}");
}

#[test]
fn what_cannot_be_downloaded_says_how_to_get_it() {
    let datasets = tempfile::tempdir().unwrap();
    let refused = fetch(&known("ch-mnist"), &FetchFrom::Mirror, datasets.path()).unwrap_err().to_string();
    assert!(refused.contains("kaggle.com") && refused.contains("--from"), "{refused}");
}

#[test]
fn the_list_tells_what_is_there_and_what_is_not() {
    let datasets = tempfile::tempdir().unwrap();
    let folder = datasets.path().join("ch-mnist");
    fs::create_dir(&folder).unwrap();
    let line = || {
        let list = list(datasets.path());
        list.lines().find(|line| line.starts_with("ch-mnist")).unwrap().to_owned()
    };
    assert!(line().contains("  no  "), "{}", line());
    fs::write(folder.join("hmnist_64_64_L.csv.gz"), [0; 2048]).unwrap();
    assert!(line().contains("  damaged  ") && line().contains("2.00 KiB"), "{}", line());
}
