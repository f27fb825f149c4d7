//! Who gets a connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::client::Guest;
use super::connection;
use super::router::Router;

/// How often it is logged that connections are refused.
const LOGGED: Duration = Duration::from_secs(10);

/// Connections, the oldest first.
#[derive(Default)]
struct Guests(Mutex<BTreeMap<u64, Arc<Guest>>>);

/// Accepts connections for ever, at most `limit` at a time. Where all are taken, the oldest that has neither subscribed
/// nor published must go; if there is none, the new one.
pub(super) async fn serve(listener: TcpListener, router: Arc<Router>, limit: usize) -> Infallible {
    let guests = Arc::new(Guests::default());
    let mut refusals = Refusals::default();
    for number in 0_u64.. {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                refusals.count(&format!("the last one since the operating system gives none: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if guests.lock().len() >= limit {
            refusals.count(&format!(
                "at most {limit} are open at a time, see `ulimit -n`; the last one came from {from}"
            ));
            if !guests.make_room() {
                continue;
            }
        }
        let guest = Arc::new(Guest { number, ..Guest::default() });
        guests.lock().insert(number, guest.clone());
        let (guests, router) = (guests.clone(), router.clone());
        tokio::spawn(async move {
            let _place = Place { guests, number };
            connection::serve(socket, &router, guest).await;
        });
    }
    unreachable!("numbers do not end")
}

/// A connection's place among the guests.
struct Place {
    guests: Arc<Guests>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.lock().remove(&self.number);
    }
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Guest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one to go; false if all have a reason to stay.
    fn make_room(&self) -> bool {
        let mut guests = self.lock();
        let idle =
            guests.iter().find(|(_, guest)| !guest.spoke.load(Ordering::Relaxed)).map(|(number, _)| *number);
        let gone = idle.and_then(|number| guests.remove(&number));
        gone.inspect(|guest| guest.leave.notify_one()).is_some()
    }
}

/// Refusals that are yet to be logged.
#[derive(Default)]
struct Refusals {
    number: u64,
    logged: Option<Instant>,
}

impl Refusals {
    fn count(&mut self, why: &str) {
        self.number += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOGGED) {
            warn!("the broker has closed {} connections for want of room; {why}", self.number);
            *self = Refusals { number: 0, logged: Some(Instant::now()) };
        }
    }
}
