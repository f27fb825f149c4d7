//! The loop of a program: joins a state machine, its computations, the link, the clock and the supervisor.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep_until};
use wire::{Event, Millis};

use crate::computations::Computations;
use crate::supervisor::{Supervisor, tell_stopping, tell_supervisor};
use crate::{Command, Link, LinkEvent};

/// How long leaving may take.
pub const PARTING: Duration = Duration::from_secs(5);

/// A state machine, and what it has around it that only its program has.
pub trait Driven {
    /// What it asks the loop to do.
    type Action;
    /// What comes of a computation.
    type Outcome: Send + 'static;
    /// How it ends by itself.
    type Farewell;

    /// When [`Event::Tick`] is due.
    fn wake_at(&self) -> Option<Millis>;

    /// Takes an event at `now` and says what to do, in order.
    fn handle(&mut self, now: Millis, event: Event<'_, Self::Outcome>) -> Vec<Self::Action>;

    /// Does of an action what only this program does, and gives what is left of it to do.
    ///
    /// # Errors
    /// If it cannot be done; that ends the program.
    fn act(&mut self, action: Self::Action) -> anyhow::Result<Act<Self::Outcome, Self::Farewell>>;

    /// Waits for what happens to this program only, takes note of it and resolves. Must lose nothing when it is dropped.
    fn meanwhile(&mut self, clock: impl Fn() -> Millis) -> impl Future<Output = anyhow::Result<()>>;
}

/// What is left to do of an action.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub enum Act<T, F> {
    /// Nothing.
    Nothing,
    /// Send this.
    Send(Command),
    /// Compute this on a thread of its own, and report back with [`Event::Done`].
    Compute(Box<dyn FnOnce() -> T + Send>),
    /// Nothing more will come: leave.
    Leave(F),
}

/// Drives `driven` over `link` until it ends by itself, or until `stop` resolves: then there is no farewell. Time begins
/// with the call. The link is left open for last words.
///
/// # Errors
/// [`LinkError`](crate::LinkError) if the broker is away for too long; [`Died`](crate::Died) if a computation panicked; and
/// whatever `driven` fails with.
pub async fn drive<D: Driven>(
    driven: &mut D,
    link: &mut Link,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Option<D::Farewell>> {
    let origin = Instant::now();
    let clock = move || Millis(origin.elapsed().as_millis() as u64);
    let mut supervisor = Supervisor::from_environment();
    let mut computations = Computations::none();
    tokio::pin!(stop);
    let farewell = 'driven: loop {
        let alarm = driven.wake_at().map(|at| origin + Duration::from_millis(at.0));
        let actions = tokio::select! {
            event = link.next() => match event {
                Some(LinkEvent::Connected) => {
                    supervisor.ready();
                    driven.handle(clock(), Event::Connected)
                }
                Some(LinkEvent::Message { topic, payload, retained }) => {
                    driven.handle(clock(), Event::Message { topic: &topic, payload: &payload.into(), retained })
                }
                Some(LinkEvent::Disconnected) => {
                    tell_supervisor("the broker is away");
                    driven.handle(clock(), Event::Disconnected)
                }
                Some(LinkEvent::Closed(Err(error))) => return Err(error.into()),
                Some(LinkEvent::Closed(Ok(()))) | None => bail!("the connection was closed"),
            },
            outcome = computations.next() => driven.handle(clock(), Event::Done(outcome?)),
            () = sleep_until(alarm.unwrap_or(origin)), if alarm.is_some() => driven.handle(clock(), Event::Tick),
            noted = driven.meanwhile(clock) => {
                noted?;
                Vec::new()
            }
            never = supervisor.beat() => match never {},
            () = &mut stop => break None,
        };
        for action in actions {
            match driven.act(action)? {
                Act::Nothing => {}
                Act::Send(command) => supervisor.alive_during(link.send(command)).await,
                Act::Compute(work) => computations.begin(work),
                Act::Leave(farewell) => break 'driven Some(farewell),
            }
        }
    };
    tell_stopping();
    Ok(farewell)
}
