//! What a process needs where it meets the world: the MQTT link and its TLS, the event loop, signals, limits, the supervisor,
//! output and log, and random ids, which never influence a result. The state machines of `edge-client` and `aggregator-node`
//! know none of it.
//!
//! [`drive()`] is the loop of both programs: it waits for whatever happens, passes it to the state machine and carries out the
//! actions that come back.
//!
//! [`Link::open`] starts two tasks: one polls rumqttc's event loop, the other feeds it what the state machine publishes. They
//! are separate because a publication awaited inside the poll loop would wait for itself. The state machine receives
//! [`LinkEvent`]s and answers with [`Command`]s. It subscribes anew at every [`LinkEvent::Connected`], because sessions are
//! clean: the application's own acknowledgements recover what was lost with a connection, never the broker's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod address;
mod arguments;
mod backoff;
mod computations;
mod drive;
mod held;
mod limits;
mod link;
mod log;
mod login;
mod output;
mod signal;
mod skip;
mod supervisor;
mod tls;

pub use address::{BrokerAddress, InvalidBrokerAddress};
pub use arguments::{arguments, arguments_of};
pub use computations::Died;
pub use drive::{Act, Driven, PARTING, drive};
pub use limits::{NoThreads, TooFewFiles, check_threads, meet_limits, raise_file_limit};
pub use link::{Command, KEEP_ALIVE, LastWill, Link, LinkError, LinkEvent, LinkOptions};
pub use log::log_to_stderr;
pub use login::{BrokerAccess, BrokerOptions, BrokerOptionsError, Login, LoginError, LoginOptions, PASSWORD};
pub use output::{PrintError, advised, complain, print};
pub use signal::{INTERRUPTED, StopSignals, is_ignored, stop_signal};
pub use skip::{has, skipped};
pub use supervisor::tell_supervisor;
pub use tls::{Tls, TlsError, TlsFiles, not_after};

/// What this machine's clock shows, since 1970; nothing before that.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A random number from the operating system, for what must differ from process to process: a boot id, a run id.
///
/// # Panics
/// If the operating system has no randomness to give.
pub fn random_id() -> u64 {
    use rand::TryRngCore;
    rand::rngs::OsRng.try_next_u64().expect("the operating system gives randomness")
}
