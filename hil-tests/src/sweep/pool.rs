//! Running cells in parallel.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use aggregator_node::record::Summary;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::Cell;
use crate::bench::{Bench, Task, Watch};
use crate::fleet_data::{DataKey, FleetData};

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
    /// Asked to stop before the end; the next call goes on from there.
    Interrupted,
}

/// The data of all cells, loaded once.
type DataCache = Mutex<HashMap<DataKey, FleetData>>;

impl Pool {
    /// Runs those of `cells` that are not finished, until all are or `stop` is set.
    ///
    /// # Errors
    /// If cells fail: all others are run first, and the error names the first that failed and how many did.
    pub fn run(&self, cells: Vec<Cell>, stop: &AtomicBool) -> anyhow::Result<Finished> {
        let mut summaries: Vec<Option<Summary>> =
            cells.iter().map(|cell| cell.summary(&self.out)).collect::<Result<_, _>>()?;
        // Cells that stand in the grid twice, such as "no attack" of several attacks, are run once.
        let mut waiting = Vec::new();
        let mut folders = std::collections::HashSet::new();
        for (index, cell) in cells.iter().enumerate() {
            if summaries[index].is_none() && folders.insert(cell.folder(&self.out)) {
                waiting.push(index);
            }
        }
        let progress = SweepProgress::new(&cells, &waiting, cells.len());
        let failures = Mutex::new(Vec::new());
        let (next, data) = (AtomicUsize::new(0), DataCache::default());
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
                            Ok(Some(summary)) => progress.finished(&cells[index], &summary),
                            Ok(None) => return,
                            Err(error) => push(&failures, (cells[index].name(), error)),
                        }
                    }
                });
            }
        });
        progress.end();
        let mut failures = failures.into_inner().unwrap_or_default();
        if !failures.is_empty() {
            let count = failures.len();
            let (cell, error) = failures.swap_remove(0);
            return Err(
                error.context(format!("{count} of {} cells failed; the first, `{cell}`", cells.len()))
            );
        }
        for (index, cell) in cells.iter().enumerate() {
            if summaries[index].is_none() {
                summaries[index] = cell.summary(&self.out)?;
            }
        }
        if summaries.iter().any(Option::is_none) {
            return Ok(Finished::Interrupted);
        }
        Ok(Finished::All(cells.into_iter().zip(summaries.into_iter().flatten()).collect()))
    }

    fn run_cell(
        &self,
        cell: &Cell,
        data: &DataCache,
        progress: &SweepProgress,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Summary>> {
        let scenario = cell.scenario.clone();
        let task = Task {
            data: self.load(data, cell)?,
            scenario,
            datasets: self.datasets.clone(),
            out: cell.folder(&self.out),
        };
        let on_round = |_: &_| progress.round();
        let watch = Watch { on_round: &on_round, stop };
        let thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("no thread")?;
        thread.install(|| self.bench.run(&task, &watch))
    }

    fn load(&self, cache: &DataCache, cell: &Cell) -> anyhow::Result<FleetData> {
        let scenario = &cell.scenario;
        let key = DataKey::of(scenario);
        let Ok(mut cache) = cache.lock() else { bail!("another cell failed while it loaded data") };
        if let Some(data) = cache.get(&key) {
            return Ok(data.clone());
        }
        let data = FleetData::load(scenario, &self.datasets)?;
        cache.insert(key, data.clone());
        Ok(data)
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
            eprintln!("[{done}/{}] {}: {error} ({:.0} s)", self.cells, cell.name(), summary.seconds);
        }
    }

    fn end(&self) {
        self.bar.finish();
    }
}
