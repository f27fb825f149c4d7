//! Requests to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use link::{INTERRUPTED, StopSignals, complain};
use tokio::time::timeout;

/// How long stopping may take: schedulers of clusters kill after 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this program is asked to stop, by Ctrl-C, SIGTERM or SIGHUP.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    /// Whether somebody looks at that.
    looked_at: AtomicBool,
}

impl Stop {
    /// A flag that is set when the program is asked to stop. From now on its owner sees to it; before, the program ends at
    /// once, for what it has begun may be lost.
    pub fn gently(&self) -> &AtomicBool {
        self.looked_at.store(true, Ordering::Relaxed);
        &self.asked
    }

    /// Whether it is asked to.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Listens for signals: the first is passed on where somebody looks at it. At the second, or if the program has not
    /// stopped in time, it ends at once; its watcher ends what it has started.
    ///
    /// # Errors
    /// If the process cannot listen.
    pub fn listen() -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _inside = runtime.enter();
            StopSignals::listen()?
        };
        let stop = Arc::new(Stop::default());
        let passed_on = stop.clone();
        let wait = async move {
            signals.next().await;
            passed_on.asked.store(true, Ordering::Relaxed);
            if passed_on.looked_at.load(Ordering::Relaxed) {
                complain("hil: stopping as soon as nothing is lost by it; once more to stop at once");
                if timeout(PATIENCE, signals.next()).await.is_err() {
                    complain(format_args!("hil: not stopped after {} s, so at once", PATIENCE.as_secs()));
                }
            }
            complain(WORDS);
            std::process::exit(i32::from(INTERRUPTED));
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
        Ok(stop)
    }
}

/// What an interrupted program says in the end.
pub const WORDS: &str = "hil: interrupted; the same command goes on from here";
