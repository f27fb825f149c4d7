//! One connection to a broker, kept up.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
    SubAck, SubscribeReasonCode, TlsConfiguration, Transport,
};
use shared::wire::{MAX_MESSAGE_BYTES, Publication};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::tls::{Failure, explain};
use crate::{BrokerAddress, Tls, nonce};

/// Room for a topic and the packet's own header beside the largest message.
const MAX_PACKET_BYTES: usize = MAX_MESSAGE_BYTES + 4096;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const QUEUE: usize = 1024;
/// How long a broker may take to hang up after a farewell.
const HANGING_UP: Duration = Duration::from_secs(2);

/// What a link needs to know.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The broker.
    pub broker: BrokerAddress,
    /// TLS, as [`TlsFiles::load`](crate::TlsFiles::load) has it for that broker.
    pub tls: Option<Tls>,
    /// Client id; two clients of one id would throw each other out for ever, so it must be unique.
    pub client_id: String,
    /// What the broker publishes if this client vanishes.
    pub last_will: Option<LastWill>,
    /// How long the broker may be away before the link gives up.
    pub patience: Duration,
}

/// What the broker publishes, retained, if a client vanishes.
#[derive(Clone, Debug)]
pub struct LastWill {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
}

/// What happens on a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected, with an empty session: subscribe now.
    Connected,
    /// The connection is gone; the link is trying to get it back.
    Disconnected,
    /// A message.
    Message {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Bytes,
        /// Whether it was lying at the broker rather than published just now.
        retained: bool,
    },
    /// The link is closed for good; no event follows.
    Closed(Result<(), LinkError>),
}

/// What a link is asked to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
pub enum Command {
    /// Subscribe to a topic filter at QoS 1.
    Subscribe(String),
    /// Publish at QoS 1.
    Publish(Publication),
}

/// Why a link gave up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody answered.
    #[error(
        "the broker {broker} was away for {seconds} s ({cause}); start it, or name another one with --broker"
    )]
    Away {
        /// The broker.
        broker: BrokerAddress,
        /// For how long, in seconds.
        seconds: u64,
        /// What happened last.
        cause: String,
    },
    /// The broker answered, but it or this program did not go on.
    #[error("no connection to the broker {broker} for {seconds} s: {cause}")]
    Refused {
        /// The broker.
        broker: BrokerAddress,
        /// For how long, in seconds.
        seconds: u64,
        /// What happened last.
        cause: String,
    },
}

/// A connection to a broker that is kept up until it is dropped or gives up.
#[derive(Debug)]
pub struct Link {
    commands: Sender<Command>,
    events: Receiver<LinkEvent>,
    /// Events that arrived while a command waited for its turn.
    held: VecDeque<LinkEvent>,
}

impl Link {
    /// Starts connecting. Must be called inside a tokio runtime.
    pub fn open(options: LinkOptions) -> Link {
        let mut mqtt = MqttOptions::new(&options.client_id, &options.broker.host, options.broker.port);
        mqtt.set_keep_alive(KEEP_ALIVE);
        mqtt.set_clean_session(true);
        mqtt.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
        if let Some(Tls(config)) = &options.tls {
            mqtt.set_transport(Transport::Tls(TlsConfiguration::Rustls(config.clone())));
        }
        if let Some(will) = &options.last_will {
            mqtt.set_last_will(rumqttc::LastWill::new(
                &will.topic,
                will.payload.clone(),
                QoS::AtLeastOnce,
                true,
            ));
        }
        let (client, mut event_loop) = AsyncClient::new(mqtt, QUEUE);
        // Messages are small and each waits for an answer: held back to be sent together they cost 40 ms a hop.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let (command_sender, commands) = mpsc::channel(QUEUE);
        let (events, event_receiver) = mpsc::channel(QUEUE);
        tokio::spawn(feed(client, commands));
        tokio::spawn(async move {
            let result = poll(event_loop, &options, &events).await;
            // Nobody listens any more if the link was dropped: then there is nobody to tell.
            let _ = events.send(LinkEvent::Closed(result)).await;
        });
        Link { commands: command_sender, events: event_receiver, held: VecDeque::new() }
    }

    /// The next event; `None` after [`LinkEvent::Closed`].
    pub async fn next(&mut self) -> Option<LinkEvent> {
        match self.held.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// Queues a command. While the queue is full, events are taken in and kept for [`Link::next`]: a connection
    /// whose events nobody takes would not send either, and both sides would wait for ever.
    pub async fn send(&mut self, command: Command) {
        loop {
            tokio::select! {
                biased;
                room = self.commands.reserve() => {
                    // No room ever again means that the link has given up, which its last event says.
                    if let Ok(room) = room {
                        room.send(command);
                    }
                    return;
                }
                Some(event) = self.events.recv() => self.held.push_back(event),
            }
        }
    }

    /// Sends what is queued, disconnects (so that the last will is not published) and waits until that is done,
    /// at most `patience`.
    pub async fn close(self, patience: Duration) {
        let Link { commands, mut events, .. } = self;
        drop(commands);
        let drained = async { while events.recv().await.is_some() {} };
        if timeout(patience, drained).await.is_err() {
            debug!("the broker did not take the last messages within {patience:?}");
        }
    }
}

/// Hands commands to rumqttc; when there are no more, disconnects.
async fn feed(client: AsyncClient, mut commands: Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        let handed_over = match command {
            Command::Subscribe(filter) => client.subscribe(filter, QoS::AtLeastOnce).await,
            Command::Publish(Publication { topic, payload, retain }) => {
                client.publish_bytes(topic, QoS::AtLeastOnce, retain, payload.into_bytes()).await
            }
        };
        if handed_over.is_err() {
            return; // the event loop is gone
        }
    }
    let _ = client.disconnect().await;
}

/// Runs rumqttc's event loop until a disconnect was asked for or the broker was away too long.
async fn poll(
    mut event_loop: EventLoop,
    options: &LinkOptions,
    events: &Sender<LinkEvent>,
) -> Result<(), LinkError> {
    let broker = &options.broker;
    let mut backoff = Backoff::default();
    let mut connected = false;
    let mut away_since = Instant::now();
    let mut failure = Failure::Away("no answer".to_owned());
    loop {
        let limit = away_since + options.patience;
        let polled = if connected {
            event_loop.poll().await
        } else if let Ok(polled) = timeout_at(limit, event_loop.poll()).await {
            polled
        } else {
            // Cut short by the end of patience: what failed before tells more.
            return Err(given_up(options, failure));
        };
        match polled {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                info!("connected to {broker}");
                (connected, away_since) = (true, Instant::now());
                backoff.reset();
                let _ = events.send(LinkEvent::Connected).await;
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let event = LinkEvent::Message {
                    topic: message.topic,
                    payload: message.payload,
                    retained: message.retain,
                };
                let _ = events.send(event).await;
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => warn_if_denied(&answer, broker),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => {
                wait_until_hung_up(event_loop).await;
                return Ok(());
            }
            Err(ConnectionError::RequestsDone) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                failure = explain(&error, broker, connected);
                if connected {
                    (connected, away_since) = (false, Instant::now());
                    let _ = events.send(LinkEvent::Disconnected).await;
                }
                let left = options.patience.saturating_sub(away_since.elapsed());
                if left.is_zero() {
                    return Err(given_up(options, failure));
                }
                let pause = backoff.pause(nonce()).min(left);
                let (pausing, left) = (pause.as_secs_f64(), left.as_secs_f64());
                let next = format!("trying again in {pausing:.1} s, giving up in {left:.0} s");
                match &failure {
                    Failure::Away(cause) => warn!("the broker {broker} is away ({cause}); {next}"),
                    Failure::Refused(cause) => warn!("no connection to the broker {broker}: {cause}; {next}"),
                }
                sleep(pause).await;
            }
        }
    }
}

/// The farewell is sent; the broker hangs up when it has read it. A connection that is closed before, with messages
/// unread or the end of TLS unannounced, is torn to the broker: it may drop what came last, and publish the last will.
async fn wait_until_hung_up(mut event_loop: EventLoop) {
    let hung_up = async { while event_loop.poll().await.is_ok() {} };
    if timeout(HANGING_UP, hung_up).await.is_err() {
        debug!("the broker does not hang up");
    }
}

fn given_up(options: &LinkOptions, failure: Failure) -> LinkError {
    let (broker, seconds) = (options.broker.clone(), options.patience.as_secs());
    match failure {
        Failure::Away(cause) => LinkError::Away { broker, seconds, cause },
        Failure::Refused(cause) => LinkError::Refused { broker, seconds, cause },
    }
}

/// Some brokers say so; others acknowledge and then deliver nothing.
fn warn_if_denied(answer: &SubAck, broker: &BrokerAddress) {
    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
        warn!(
            "the broker {broker} denies a subscription: its access control does not know this program's \
             certificate as what it says it is"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
    const DISCONNECT: [u8; 2] = [0xe0, 0];

    /// A broker that reads a farewell and takes its time to hang up.
    fn slow_broker(listener: &TcpListener) {
        let (mut socket, _) = listener.accept().unwrap();
        let mut buffer = [0; 256];
        assert!(socket.read(&mut buffer).unwrap() > 0, "no CONNECT");
        socket.write_all(&CONNACK).unwrap();
        let mut read = 0;
        while !buffer[..read].ends_with(&DISCONNECT) {
            read = socket.read(&mut buffer).unwrap();
            assert!(read > 0, "hung up without a farewell");
        }
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let more = socket.read(&mut buffer);
        let waits = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(more.as_ref().is_err_and(|error| waits(error.kind())), "it did not wait: {more:?}");
    }

    #[test]
    fn who_leaves_waits_until_the_broker_hangs_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = format!("mqtt://{}", listener.local_addr().unwrap()).parse().unwrap();
        let serving = thread::spawn(move || slow_broker(&listener));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client_id, patience) = ("test".to_owned(), Duration::from_secs(60));
            let options = LinkOptions { broker, tls: None, client_id, last_will: None, patience };
            let mut link = Link::open(options);
            assert!(matches!(link.next().await, Some(LinkEvent::Connected)));
            link.close(patience).await;
        });
        serving.join().unwrap();
    }
}
