//! Computations beside the loop that waits for messages.

use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

/// A computation that panicked. Nothing that is computed may panic; if it does all the same, nobody is to wait for it.
#[derive(Debug, thiserror::Error)]
#[error(
    "a computation has ended without a result, which is a defect of this program (what it printed before says more); \
     start it again to go on with the run"
)]
pub struct Died(#[from] JoinError);

/// Computations on threads of their own, whose outcomes come back one by one.
#[derive(Debug)]
pub struct Computations<T> {
    report: mpsc::Sender<Result<T, JoinError>>,
    reports: mpsc::Receiver<Result<T, JoinError>>,
}

impl<T: Send + 'static> Default for Computations<T> {
    fn default() -> Self {
        let (report, reports) = mpsc::channel(4);
        Computations { report, reports }
    }
}

impl<T: Send + 'static> Computations<T> {
    /// Has a thread do `work`. Must be called inside a tokio runtime.
    pub fn begin(&self, work: impl FnOnce() -> T + Send + 'static) {
        let (report, work) = (self.report.clone(), spawn_blocking(work));
        // Who began it may be gone meanwhile; then nobody waits for the outcome.
        tokio::spawn(async move { report.send(work.await).await });
    }

    /// The next outcome; waits for ever where nothing is computed. What it waited for is not lost if it is dropped.
    ///
    /// # Errors
    /// [`Died`] if a computation panicked.
    pub async fn next(&mut self) -> Result<T, Died> {
        match self.reports.recv().await {
            Some(outcome) => Ok(outcome?),
            None => unreachable!("this end holds a sender"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outcomes_come_back_and_a_panic_is_an_error() {
        let mut computations = Computations::default();
        computations.begin(|| 7);
        assert_eq!(computations.next().await.unwrap(), 7);
        computations.begin(|| panic!("as meant by this test"));
        assert!(computations.next().await.unwrap_err().to_string().contains("a defect"));
    }
}
