//! Listening to the devices' statuses.
//!
//! It subscribes to the topic of each device, since a broker may deliver only some of the retained messages that match a
//! wildcard. A device whose status does not arrive within a bounded time counts as never seen; nothing more can be known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use link::{Command, Link, LinkEvent, LinkOptions, random_id};
use tokio::runtime::Runtime;
use wire::identity::DeviceId;
use wire::{Message, Status, Topic, Topics};

use super::Access;

/// How long the broker may take to answer at first.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long it may be away later.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Processes of one device that are remembered; a hostile one may be another every time.
const PROCESSES: usize = 64;

/// What a device said last.
#[derive(Clone, Debug)]
pub struct LastStatus {
    /// That.
    pub status: Status,
    /// When it came; `None` for what was lying at the broker.
    pub at: Option<SystemTime>,
}

/// The statuses of a fleet's devices, kept up to date until this is dropped.
pub struct Statuses {
    heard: Arc<Heard>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connected: bool,
    failure: Option<String>,
    latest: BTreeMap<DeviceId, LastStatus>,
    /// All processes of a device that have spoken, and whether they came online since this program listens.
    boots: BTreeMap<DeviceId, BTreeMap<u64, bool>>,
}

impl Statuses {
    /// Starts to listen to `devices`.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub fn watch(access: &Access, devices: &[DeviceId]) -> anyhow::Result<Self> {
        let options = link_options(access)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let heard = Arc::new(Heard::default());
        let link = runtime.block_on(async { Link::open(options) });
        let trouble = link.trouble();
        runtime.spawn(listen(link, devices.to_vec(), heard.clone()));
        let statuses = Statuses { heard, runtime: Some(runtime) };
        if statuses.wait(CONNECTING, |state| state.connected || state.failure.is_some())
            && statuses.failure().is_none()
        {
            return Ok(statuses);
        }
        let why = statuses.failure().or_else(|| trouble.borrow().clone());
        let why = why.unwrap_or_else(|| "it does not answer; start it, or correct broker.url".to_owned());
        bail!("no connection to the broker {}: {why}", access.broker)
    }

    /// Waits until every one of `devices` has said something, at most for `patience`.
    pub fn settle(&self, devices: &[DeviceId], patience: Duration) {
        self.wait(patience, |state| devices.iter().all(|device| state.latest.contains_key(device)));
    }

    /// What each device said last.
    pub fn latest(&self) -> BTreeMap<DeviceId, LastStatus> {
        self.state().latest.clone()
    }

    /// The boot ids of all processes that have spoken as `device`.
    pub fn boots(&self, device: DeviceId) -> BTreeSet<u64> {
        self.state().boots.get(&device).map(|boots| boots.keys().copied().collect()).unwrap_or_default()
    }

    /// Waits, at most for `patience`, until a process that is none of `before` has come online as `device`. It may have
    /// left again since: a run can be short.
    pub fn wait_for_new(&self, device: DeviceId, before: &BTreeSet<u64>, patience: Duration) -> bool {
        self.wait(patience, |state| {
            let boots = state.boots.get(&device);
            boots.is_some_and(|boots| boots.iter().any(|(boot, online)| *online && !before.contains(boot)))
        })
    }

    /// What `device` says of data that do not fit, if it does.
    pub fn unfit(&self, device: DeviceId) -> Option<String> {
        let state = self.state();
        let status = &state.latest.get(&device)?.status;
        status.error.as_deref().filter(|_| status.examples == 0).map(ToOwned::to_owned)
    }

    fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.heard.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `holds` came true within `patience`.
    fn wait(&self, patience: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        while !holds(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            let woken = self.heard.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Statuses {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn link_options(access: &Access) -> anyhow::Result<LinkOptions> {
    let tls = access.tls.load(&access.broker)?;
    let client_id = format!("operator-{:016x}", random_id());
    Ok(LinkOptions { tls, ..LinkOptions::new(access.broker.clone(), client_id, PATIENCE) })
}

async fn listen(mut link: Link, devices: Vec<DeviceId>, heard: Arc<Heard>) {
    let topics = Topics::default();
    let mut connections = 0_u64;
    while let Some(event) = link.next().await {
        match event {
            LinkEvent::Connected => {
                connections += 1;
                for &device in &devices {
                    link.send(Command::Subscribe(topics.name(Topic::Status(device)))).await;
                }
                heard.change(|state| state.connected = true);
            }
            LinkEvent::Message { topic, payload, retained } => {
                let Some(Topic::Status(device)) = topics.parse(&topic) else { continue };
                match Message::decode(&payload) {
                    Ok(Message::Status(status)) if status.device == device => heard.change(|state| {
                        // What lay at the broker when this program came is of old, however late it is delivered.
                        let came = status.online && !(retained && connections == 1);
                        let boots = state.boots.entry(device).or_default();
                        if boots.len() < PROCESSES || boots.contains_key(&status.boot) {
                            *boots.entry(status.boot).or_default() |= came;
                        }
                        let at = (!retained).then(SystemTime::now);
                        state.latest.insert(device, LastStatus { status, at });
                    }),
                    _ => tracing::debug!("{topic}: no status of {device}"),
                }
            }
            LinkEvent::Disconnected => {}
            LinkEvent::Closed(Ok(())) => return,
            LinkEvent::Closed(Err(error)) => heard.change(|state| state.failure = Some(error.to_string())),
        }
    }
}

impl Heard {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}
