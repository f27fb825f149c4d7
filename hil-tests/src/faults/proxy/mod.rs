//! A link that misbehaves at will: a TCP proxy between one device and the broker.

mod framing;
mod pump;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use link::BrokerAddress;
use serde::Deserialize;

use crate::system::reachable;

/// Which way messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the device to the broker.
    Up,
    /// From the broker to the device.
    Down,
    /// Either.
    #[default]
    Both,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    local: SocketAddr,
    state: Arc<State>,
}

/// What the threads of a proxy share.
#[derive(Debug)]
struct State {
    broker: BrokerAddress,
    lanes: [Lane; 2],
    connections: Mutex<Vec<Connection>>,
    refusing: AtomicBool,
    ended: AtomicBool,
}

/// One way through the proxy.
#[derive(Debug, Default)]
struct Lane {
    held: AtomicBool,
    /// 0: as fast as it goes.
    bytes_per_second: AtomicU32,
    /// Messages that are still to be damaged.
    damage: AtomicU32,
}

/// Both ends of one connection through the proxy.
#[derive(Debug)]
struct Connection {
    ends: [TcpStream; 2],
    /// By lane: nothing passes any more.
    stranded: Arc<[AtomicBool; 2]>,
}

impl Direction {
    /// Indices of its lanes.
    fn lanes(self) -> impl Iterator<Item = usize> {
        match self {
            Direction::Up => 0..1,
            Direction::Down => 1..2,
            Direction::Both => 0..2,
        }
    }
}

impl Proxy {
    /// Stands between a device and `broker`, on a free port of this machine. At first it changes nothing.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn before(broker: &BrokerAddress) -> anyhow::Result<Self> {
        Proxy::listening_at(Ipv4Addr::LOCALHOST.into(), broker)
    }

    /// The same, for devices that reach this machine at its address `ip`.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn listening_at(ip: IpAddr, broker: &BrokerAddress) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).with_context(|| format!("no free port at {ip}"))?;
        let local = listener.local_addr()?;
        let state = Arc::new(State {
            broker: broker.clone(),
            lanes: Default::default(),
            connections: Mutex::default(),
            refusing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &shared))?;
        Ok(Proxy { local, state })
    }

    /// Where a device of this machine reaches the broker through it.
    pub fn address(&self) -> BrokerAddress {
        SocketAddr::from((reachable(self.local.ip()), self.local.port())).into()
    }

    /// Lets each way carry no more than so many bytes a second.
    pub fn throttle(&self, bytes_per_second: Option<u32>) {
        for lane in &self.state.lanes {
            lane.bytes_per_second.store(bytes_per_second.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Keeps back what is sent, of every connection, until it is released.
    pub fn hold(&self, direction: Direction, held: bool) {
        for lane in direction.lanes() {
            self.state.lanes[lane].held.store(held, Ordering::SeqCst);
        }
    }

    /// Lets the present connections lie silent: nothing passes any more, and neither end is told. Later connections
    /// are not concerned.
    pub fn strand(&self, direction: Direction) {
        for connection in self.state.connections().iter() {
            for lane in direction.lanes() {
                connection.stranded[lane].store(true, Ordering::SeqCst);
            }
        }
    }

    /// Closes the present connections.
    pub fn cut(&self) {
        for connection in self.state.connections().drain(..) {
            connection.close();
        }
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Flips a bit in each of the next so many large messages.
    pub fn damage(&self, direction: Direction, messages: u32) {
        for lane in direction.lanes() {
            self.state.lanes[lane].damage.store(messages, Ordering::Relaxed);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that accepts. If it cannot be reached it is gone already.
        let _ = TcpStream::connect((reachable(self.local.ip()), self.local.port()));
    }
}

impl State {
    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Connection {
    fn close(&self) {
        for end in &self.ends {
            // It may be closed already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Takes connections in until the proxy ends.
fn accept(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((device, _)) = listener.accept() {
        if state.ended() {
            return;
        }
        // One that is refused, or whose broker is away, is closed: the device sees that and tries again.
        if !state.refusing.load(Ordering::SeqCst)
            && let Err(error) = join(device, state)
        {
            tracing::debug!("a proxy does not reach {}: {error}", state.broker);
        }
    }
}

/// Joins a device to the broker.
fn join(device: TcpStream, state: &Arc<State>) -> io::Result<()> {
    let broker = TcpStream::connect((state.broker.host.as_str(), state.broker.port))?;
    for end in [&device, &broker] {
        end.set_nodelay(true)?;
    }
    let stranded = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let ways = [(device.try_clone()?, broker.try_clone()?), (broker.try_clone()?, device.try_clone()?)];
    state.connections().push(Connection { ends: [device, broker], stranded: stranded.clone() });
    for (lane, (from, to)) in ways.into_iter().enumerate() {
        let pump = pump::Pump { from, to, lane, state: state.clone(), stranded: stranded.clone() };
        thread::Builder::new().name("pump".to_owned()).spawn(move || pump.run())?;
    }
    Ok(())
}
