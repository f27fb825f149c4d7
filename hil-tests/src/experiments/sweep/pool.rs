//! Running cells in parallel.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use record::{StoredRun, Summary};

use super::Cell;
use crate::benches::{Bench, Task, Watch};
use crate::data::{DataKey, FleetData};

/// Runs cells, each on one thread: cells are independent, so that wastes nothing.
#[derive(Clone)]
pub struct Pool {
    /// Where the cells' run directories are.
    pub out: PathBuf,
    /// Folder that holds the data sets.
    pub datasets: PathBuf,
    /// Cells at a time; as many as there are cores if `None`.
    pub jobs: Option<usize>,
    /// Where they run.
    pub bench: Arc<dyn Bench + Send + Sync>,
}

/// What came of a pool of cells.
#[derive(Debug)]
pub enum Finished {
    /// Every cell has a result, in the order given.
    All(Vec<(Cell, Summary)>),
    /// All were run, and some came to nothing: `None`, and what is wrong with the first of them.
    Some(Vec<(Cell, Option<Summary>)>, anyhow::Error),
    /// Asked to stop before the end; the next call goes on from there.
    Interrupted,
}

/// What came of each cell, if anything did, and what is wrong with the first of which nothing came.
pub type Results = (Vec<(Cell, Option<Summary>)>, Option<anyhow::Error>);

impl Finished {
    /// The results, unless it was asked to stop before the end.
    pub fn results(self) -> Option<Results> {
        match self {
            Finished::Interrupted => None,
            Finished::All(results) => {
                Some((results.into_iter().map(|(cell, it)| (cell, Some(it))).collect(), None))
            }
            Finished::Some(results, error) => Some((results, Some(error))),
        }
    }

    /// Of the results of all cells, and what is wrong with the first that has none, if anything is.
    pub(super) fn of(results: Vec<(Cell, Option<Summary>)>, error: Option<anyhow::Error>) -> Self {
        if let Some(error) = error {
            return Finished::Some(results, error);
        }
        let all: Option<Vec<_>> = results.into_iter().map(|(cell, summary)| Some((cell, summary?))).collect();
        all.map_or(Finished::Interrupted, Finished::All)
    }
}

/// The data of all cells, loaded once.
type DataCache = Mutex<HashMap<DataKey, FleetData>>;

impl Pool {
    /// Runs those of `cells` that are not finished, until all are or `stop` is set.
    ///
    /// # Errors
    /// If cells fail and it is asked to stop.
    pub fn run(&self, cells: Vec<Cell>, stop: &AtomicBool) -> anyhow::Result<Finished> {
        let data = DataCache::default();
        let (failures, summaries) = (Mutex::new(Vec::new()), Mutex::new(HashMap::new()));
        // Cells that stand in the grid twice, such as "no attack" of several attacks, are run once.
        let mut waiting = Vec::new();
        let mut folders = HashSet::new();
        for (index, cell) in cells.iter().enumerate() {
            let folder = cell.folder(&self.out);
            if !folders.insert(folder.clone()) {
                continue;
            }
            match self.finished(cell, &data) {
                Ok(Some(summary)) => keep(&summaries, folder, summary),
                Ok(None) => waiting.push(index),
                Err(error) => push(&failures, (cell.name(), error)),
            }
        }
        let progress = SweepProgress::new(&cells, &waiting, cells.len());
        let next = AtomicUsize::new(0);
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let jobs = self.jobs.unwrap_or(cores).clamp(1, waiting.len().max(1));
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(&index) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        match self.run_cell(&cells[index], &data, &progress, stop) {
                            Ok(Some(summary)) => {
                                progress.finished(&cells[index], &summary);
                                keep(&summaries, cells[index].folder(&self.out), summary);
                            }
                            Ok(None) => return,
                            Err(error) => push(&failures, (cells[index].name(), error)),
                        }
                    }
                });
            }
        });
        progress.end();
        let summaries = summaries.into_inner().unwrap_or_default();
        let of = |cell: Cell| (summaries.get(&cell.folder(&self.out)).cloned(), cell);
        let error = first_of(failures.into_inner().unwrap_or_default(), cells.len());
        let results: Vec<_> = cells.into_iter().map(of).map(|(summary, cell)| (cell, summary)).collect();
        match error {
            Some(error) if stop.load(Ordering::Relaxed) => Err(error),
            error => Ok(Finished::of(results, error)),
        }
    }

    /// What came of a cell, if it is finished: of the scenario, the bench and the data that it would run with now.
    fn finished(&self, cell: &Cell, data: &DataCache) -> anyhow::Result<Option<Summary>> {
        // Data is loaded only to be held against.
        if !StoredRun::exists(&cell.folder(&self.out)) {
            return Ok(None);
        }
        self.task(cell, data)?.finished(self.bench.name())
    }

    fn run_cell(
        &self,
        cell: &Cell,
        data: &DataCache,
        progress: &SweepProgress,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Summary>> {
        let task = self.task(cell, data)?;
        let on_round = |_: &_| progress.round();
        let watch = Watch { on_round: &on_round, stop };
        let thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("no thread")?;
        thread.install(|| self.bench.run(&task, &watch))
    }

    fn task(&self, cell: &Cell, data: &DataCache) -> anyhow::Result<Task> {
        Ok(Task {
            data: self.load(data, cell)?,
            scenario: cell.scenario.clone(),
            datasets: self.datasets.clone(),
            out: cell.folder(&self.out),
        })
    }

    fn load(&self, cache: &DataCache, cell: &Cell) -> anyhow::Result<FleetData> {
        let scenario = &cell.scenario;
        let key = DataKey::of(scenario);
        let Ok(mut cache) = cache.lock() else { bail!("another cell failed while it loaded data") };
        if let Some(data) = cache.get(&key) {
            data.check(scenario)?;
            return Ok(data.clone());
        }
        let data = FleetData::load(scenario, &self.datasets)?;
        cache.insert(key, data.clone());
        Ok(data)
    }
}

/// The first of several failures of cells, and how many of `all` failed.
pub(super) fn first_of(mut failures: Vec<(String, anyhow::Error)>, all: usize) -> Option<anyhow::Error> {
    let count = failures.len();
    let (cell, error) = if count > 0 { failures.swap_remove(0) } else { return None };
    Some(error.context(format!("{count} of {all} cells failed; the first, `{cell}`")))
}

fn keep(summaries: &Mutex<HashMap<PathBuf, Summary>>, folder: PathBuf, summary: Summary) {
    if let Ok(mut summaries) = summaries.lock() {
        summaries.insert(folder, summary);
    }
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    if let Ok(mut list) = list.lock() {
        list.push(item);
    }
}

/// What a user sees of a sweep: a bar over all rounds on a terminal, a line for each cell elsewhere.
struct SweepProgress {
    bar: ProgressBar,
    cells: usize,
    done: AtomicUsize,
}

impl SweepProgress {
    fn new(cells: &[Cell], waiting: &[usize], total: usize) -> Self {
        let rounds = waiting.iter().map(|&index| u64::from(cells[index].scenario.rounds)).sum();
        let bar = ProgressBar::new(rounds);
        let style =
            ProgressStyle::with_template("{msg} [{bar:30}] {percent}% of the rounds  {elapsed} (eta {eta})");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let progress = SweepProgress { bar, cells: total, done: AtomicUsize::new(total - waiting.len()) };
        progress.show();
        progress
    }

    fn show(&self) {
        self.bar.set_message(format!("{} of {} cells", self.done.load(Ordering::Relaxed), self.cells));
    }

    fn round(&self) {
        self.bar.inc(1);
    }

    fn finished(&self, cell: &Cell, summary: &Summary) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.show();
        if self.bar.is_hidden() {
            let error =
                summary.final_test_error.map_or_else(|| "-".to_owned(), |error| format!("{error:.3}"));
            let (cells, name) = (self.cells, cell.name());
            link::complain(format_args!("[{done}/{cells}] {name}: {error} ({:.0} s)", summary.seconds));
        }
    }

    fn end(&self) {
        self.bar.finish();
    }
}
