//! A sweep in parts, by the commands of `firmware-configs/cluster` and with the variables that a scheduler would set,
//! ends in the table of the whole sweep.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use link::skipped;
use serde_json::Value;

use crate::process::{Process, datasets, hil, program, recorded_rounds, run, undisturbed, wait_until};

const SCENARIO: &str = r#"
name = "cluster"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 3
[fleet]
devices = 5
compromised = 1
"#;

/// Six cells, of which two stand here twice.
const GRID: &str = r#"
scenario = "scenario.toml"
seeds = [1, 2]
[[axes]]
name = "case"
cases = [
    { label = "mean", set = ["aggregation.rule=mean"] },
    { label = "median", set = ["aggregation.rule=median"] },
    { label = "mean again", set = ["aggregation.rule=mean"] },
]
"#;
const DISTINCT_CELLS: usize = 4;

/// A folder with a grid, and results beside it.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("grid")).unwrap();
        fs::write(folder.path().join("grid/scenario.toml"), format!("{SCENARIO}{settings}")).unwrap();
        fs::write(folder.path().join("grid/grid.toml"), GRID).unwrap();
        Lab(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A folder of data sets in which one value is another.
    fn other_data(&self) -> PathBuf {
        let (file, other) = ("breast-cancer-wisconsin/wdbc.csv", self.path("datasets"));
        let text = fs::read_to_string(datasets().join(file)).unwrap();
        let copy = other.join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, text.replacen("0.1", "0.2", 1)).unwrap();
        other
    }

    fn sweep(&self, out: &str) -> Command {
        let mut command = hil!["sweep", self.path("grid/grid.toml"), "--out", self.path(out)];
        command.env("OUTPOST_DATASETS", datasets());
        command
    }

    fn merge(&self) -> Command {
        let (grid, out) = (self.path("grid/grid.toml"), self.path("results/joined"));
        let mut command = hil!["sweep", "merge", grid, "--out", out];
        command.args(self.parts());
        command
    }

    /// The results of the parts, as a shell finds them.
    fn parts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("results")).unwrap().map(|entry| entry.unwrap().path());
        let mut parts: Vec<_> = entries.filter(|path| !path.ends_with("joined")).collect();
        parts.sort();
        parts
    }

    #[track_caller]
    fn assert_parts_add_up_to_the_whole(&self) {
        let cells = |out: &Path| fs::read_dir(out.join("cells")).map_or(0, Iterator::count);
        let done: usize = self.parts().iter().map(|part| cells(part)).sum();
        assert_eq!(done, DISTINCT_CELLS, "a cell is done by one part");
        run(self.sweep("whole")).succeeded();
        let whole = fs::read_to_string(self.path("whole/results.csv")).unwrap();
        let joined = fs::read_to_string(self.path("results/joined/results.csv")).unwrap();
        assert_eq!(without_seconds(&joined), without_seconds(&whole));
    }
}

/// The table without its only column of wall time.
fn without_seconds(csv: &str) -> String {
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let column = header.iter().position(|name| *name == "seconds").unwrap();
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split(',').collect();
        fields.remove(column);
        fields.join(",") + "\n"
    };
    csv.lines().map(line).collect()
}

fn cluster(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-configs/cluster").join(file)
}

/// What `#SBATCH --NAME=` says.
fn directive(name: &str) -> String {
    let script = fs::read_to_string(cluster("sweep.sbatch")).unwrap();
    let prefix = format!("#SBATCH --{name}=");
    script.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
}

/// An array as `sbatch --array` takes it: FIRST-LAST:STEP.
struct Array {
    first: usize,
    last: usize,
    step: usize,
}

impl Array {
    fn parse(text: &str) -> Self {
        let (range, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, last) = range.split_once('-').unwrap();
        Array { first: first.parse().unwrap(), last: last.parse().unwrap(), step: step.parse().unwrap() }
    }

    fn tasks(&self) -> impl Iterator<Item = usize> {
        (self.first..=self.last).step_by(self.step)
    }

    /// `sweep.sbatch` as Slurm runs one of its tasks.
    fn task(&self, lab: &Lab, id: usize) -> Command {
        let mut command = undisturbed("bash");
        command.arg(cluster("sweep.sbatch")).arg(lab.path("grid/grid.toml")).arg(lab.path("results"));
        command.env("HIL", program("hil").get_program()).env("OUTPOST_DATASETS", datasets());
        command.env("SLURM_CPUS_PER_TASK", directive("cpus-per-task"));
        let last = self.tasks().last().unwrap();
        let array = [("ID", id), ("COUNT", self.tasks().count()), ("MIN", self.first), ("MAX", last)];
        for (name, value) in array.into_iter().chain([("STEP", self.step)]) {
            command.env(format!("SLURM_ARRAY_TASK_{name}"), value.to_string());
        }
        command
    }
}

#[track_caller]
fn assert_a_slurm_array_adds_up(array: &str) {
    let (lab, array) = (Lab::new(""), Array::parse(array));
    for id in array.tasks() {
        run(array.task(&lab, id)).succeeded();
    }
    run(lab.merge()).succeeded();
    lab.assert_parts_add_up_to_the_whole();
}

#[test]
fn the_slurm_array_of_the_example_adds_up_to_the_whole_sweep() {
    assert_a_slurm_array_adds_up(&directive("array"));
}

#[test]
fn a_slurm_array_with_a_step_adds_up_to_the_whole_sweep() {
    assert_a_slurm_array_adds_up("0-9:4");
}

#[test]
fn a_slurm_task_that_is_killed_goes_on() {
    let (lab, array) = (Lab::new("[evaluation]\nevery = 100\n"), Array::parse("1-1"));
    let scenario = fs::read_to_string(lab.path("grid/scenario.toml")).unwrap();
    let long = scenario.replace("rounds = 3", "rounds = 400").replace("logistic-regression", "dnn");
    fs::write(lab.path("grid/scenario.toml"), long).unwrap();
    let task = Process::start(array.task(&lab, 1));
    let cells = lab.path("results/part-1/cells");
    let folders = || fs::read_dir(&cells).into_iter().flatten().map(|entry| entry.unwrap().path());
    wait_until("a cell has begun", || folders().any(|cell| recorded_rounds(&cell) > 5));
    task.kill();
    assert!(!lab.path("results/part-1/results.csv").exists(), "killed too late to prove anything");
    run(lab.merge()).complains(1, &["cells are finished in none of the parts"]);
    run(array.task(&lab, 1)).succeeded();
    run(lab.merge()).succeeded();
    lab.assert_parts_add_up_to_the_whole();
}

#[test]
fn parts_that_were_made_with_other_data_are_not_joined_and_cells_of_other_data_are_not_used_again() {
    let lab = Lab::new("");
    let other = lab.other_data();
    for (part, data) in [("1/3", datasets()), ("2/3", other.clone()), ("3/3", other)] {
        let mut sweep = lab.sweep(&format!("results/{}", &part[..1]));
        sweep.args(["--shard", part]).env("OUTPOST_DATASETS", data);
        run(sweep).succeeded();
    }
    let words = |part| [part, "SHA-256", "choose another directory"];
    run(lab.merge()).complains(1, &words("breast-cancer whole"));
    let mut again = lab.sweep("results/2");
    again.args(["--shard", "2/3"]);
    run(again).ended_with(1).ends_by_saying(&words("breast-cancer t"));
}

#[test]
fn parts_of_other_seeds_are_held_against_each_other_too() {
    let lab = Lab::new("");
    let grid = "scenario = \"scenario.toml\"\nseeds = [1, 2]\n";
    fs::write(lab.path("grid/grid.toml"), grid).unwrap();
    let other = lab.other_data();
    for (part, data) in [("1/2", datasets()), ("2/2", other)] {
        let mut sweep = lab.sweep(&format!("results/{}", &part[..1]));
        sweep.args(["--shard", part]).env("OUTPOST_DATASETS", data);
        run(sweep).succeeded();
    }
    run(lab.merge()).complains(1, &["breast-cancer whole", "SHA-256"]);
}

#[test]
fn a_cell_that_comes_to_nothing_is_an_error_and_the_others_are_in_the_table() {
    let lab = Lab::new("");
    let grid =
        "scenario = \"scenario.toml\"\n[[axes]]\nkey = \"training.learning-rate\"\nvalues = [0.1, 1e38]\n";
    fs::write(lab.path("grid/grid.toml"), grid).unwrap();
    let table = |out: &str| {
        let table = fs::read_to_string(lab.path(out).join("results.csv")).unwrap();
        let lines: Vec<_> = table.lines().map(ToOwned::to_owned).collect();
        let [_, good, bad] = &lines[..] else { panic!("{table}") };
        assert!(good.starts_with("0.1,1,0.") && bad.ends_with(",1,,,,,,,"), "{table}");
    };
    let words = ["1 of 2 cells failed", "none of the 3 rounds"];
    let mut sweep = lab.sweep("results/1");
    sweep.args(["--log", "error"]);
    run(sweep).ended_with(1).ends_by_saying(&words);
    table("results/1");
    run(lab.merge()).complains(1, &words);
    table("results/joined");
}

/// The manifest as a cluster reads it; `None`, having said so, where Python cannot read YAML.
fn manifest(file: &str) -> Option<Value> {
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = Command::new("python3").arg("-c").arg(read).arg(cluster(file)).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        skipped("yaml", "python3 with its module of that name is not installed");
        return None;
    };
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The container's command, as Kubernetes runs it with `index`, in `lab` in place of the volumes.
fn container(lab: &Lab, job: &Value, index: Option<u64>) -> Command {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let mut variables: HashMap<String, String> = HashMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let text = |key: &str| variable[key].as_str().unwrap().to_owned();
        variables.insert(text("name"), text("value"));
    }
    variables.extend(index.map(|index| ("JOB_COMPLETION_INDEX".to_owned(), index.to_string())));
    let words = |key: &str| container[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let words = words("command").chain(words("args")).map(|word| {
        let expand =
            |word: String, (name, value): (&String, &String)| word.replace(&format!("$({name})"), value);
        let mounted =
            container["volumeMounts"].as_array().unwrap().iter().fold(word.to_owned(), |word, mount| {
                let path = mount["mountPath"].as_str().unwrap();
                word.replace(&format!("{path}/"), &format!("{}{path}/", lab.0.path().display()))
            });
        variables.iter().fold(mounted, expand)
    });
    let words: Vec<String> = words.collect();
    // `hil` is found where the image has it: on the path.
    let hil = Path::new(program("hil").get_program()).parent().unwrap().display().to_string();
    let mut command = undisturbed("env");
    command.args(&words).envs(&variables).env("OUTPOST_DATASETS", datasets());
    command.env("PATH", format!("{hil}:{}", std::env::var("PATH").unwrap_or_default()));
    command
}

#[test]
fn the_kubernetes_job_of_the_example_adds_up_to_the_whole_sweep() {
    let (Some(job), Some(merge)) = (manifest("sweep-job.yaml"), manifest("sweep-merge-job.yaml")) else {
        return;
    };
    let lab = Lab::new("");
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    for index in 0..job["spec"]["completions"].as_u64().unwrap() {
        run(container(&lab, &job, Some(index))).succeeded();
    }
    let printed = run(container(&lab, &merge, None)).succeeded().stdout;
    assert_eq!(printed, fs::read_to_string(lab.path("results/joined/results.csv")).unwrap());
    lab.assert_parts_add_up_to_the_whole();
}

#[test]
fn a_job_that_does_not_say_how_many_parts_there_are_is_refused() {
    let lab = Lab::new("");
    let pod = |out| {
        let mut pod = lab.sweep(out);
        pod.env("JOB_COMPLETION_INDEX", "1");
        pod
    };
    run(pod("pod")).complains(2, &["hil: JOB_COMPLETION_INDEX is set and JOB_COMPLETIONS is not", "--shard"]);
    assert!(!lab.path("pod").exists());
    let mut explicit = pod("explicit");
    explicit.args(["--shard", "1/1"]);
    run(explicit).succeeded().says(&["part 1/1: 6 of 6 cells"]);
}

#[test]
fn a_wrong_grid_is_wrong_usage() {
    let lab = Lab::new("");
    fs::write(lab.path("grid/grid.toml"), format!("seed = 3\n{GRID}")).unwrap();
    run(lab.sweep("out")).complains(2, &["grid.toml:1: ", "seed"]);
}
