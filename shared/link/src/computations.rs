//! Computations beside the loop that waits for messages.

use std::future::pending;

use tokio::task::{JoinError, JoinSet};

/// A computation that panicked. Nothing that is computed may panic; if it does all the same, nobody is to wait for it.
#[derive(Debug, thiserror::Error)]
#[error(
    "a computation has ended without a result, which is a defect of this program (what it printed before says more); \
     start it again to go on with the run"
)]
pub struct Died(#[from] JoinError);

/// Computations on threads of their own, whose outcomes come back one by one.
pub(crate) struct Computations<T>(JoinSet<T>);

impl<T: Send + 'static> Computations<T> {
    pub(crate) fn none() -> Self {
        Computations(JoinSet::new())
    }

    /// Has a thread do `work`. Must be called inside a tokio runtime.
    pub(crate) fn begin(&mut self, work: impl FnOnce() -> T + Send + 'static) {
        self.0.spawn_blocking(work);
    }

    /// The next outcome; waits for ever where nothing is computed. What it waited for is not lost if it is dropped.
    ///
    /// # Errors
    /// [`Died`] if a computation panicked.
    pub(crate) async fn next(&mut self) -> Result<T, Died> {
        match self.0.join_next().await {
            Some(outcome) => Ok(outcome?),
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outcomes_come_back_and_a_panic_is_an_error() {
        let mut computations = Computations::none();
        computations.begin(|| 7);
        assert_eq!(computations.next().await.unwrap(), 7);
        computations.begin(|| panic!("as meant by this test"));
        assert!(computations.next().await.unwrap_err().to_string().contains("a defect"));
    }
}
