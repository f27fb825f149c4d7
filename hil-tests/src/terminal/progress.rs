//! What a waiting user sees.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use record::RoundRecord;

/// Without a terminal there is a line whenever so many percent more are done.
const STEP_PERCENT: u32 = 20;

/// The progress of one run: a bar on a terminal, a few lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    label: String,
    rounds: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    test_error: Option<f64>,
    told: u32,
}

impl Progress {
    /// The progress of a run of `rounds` rounds, on standard error.
    pub fn new(label: &str, rounds: u32) -> Self {
        let bar = ProgressBar::new(u64::from(rounds));
        let style = ProgressStyle::with_template(
            "{prefix:28} [{bar:30}] round {pos}/{len}  {msg}  {elapsed} (eta {eta})",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        Progress { bar, label: label.to_owned(), rounds, state: Mutex::default() }
    }

    /// A round is finished.
    pub fn round(&self, record: &RoundRecord) {
        let Ok(mut state) = self.state.lock() else { return };
        if let Some(error) = record.test_error {
            state.test_error = Some(error);
            self.bar.set_message(format!("test error {error:.3}"));
        }
        self.bar.set_position(u64::from(record.round));
        let percent = record.round * 100 / self.rounds.max(1);
        if self.bar.is_hidden() && percent >= state.told + STEP_PERCENT {
            state.told = percent - percent % STEP_PERCENT;
            let error = state.test_error.map_or_else(String::new, |error| format!(", test error {error:.3}"));
            link::complain(format_args!("{}: round {} of {}{error}", self.label, record.round, self.rounds));
        }
    }

    /// The run is over.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
