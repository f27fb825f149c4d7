//! One connection to a broker, kept up.
//!
//! # Why nobody waits for ever, and nothing piles up
//! The state machine takes an event and queues the commands that follow from it; while the queue of commands is full, it
//! waits. So the connection must go on sending while its events are not taken. It must go on *reading* as well: brokers
//! acknowledge publications in the same stream, and only a limited number of publications may be unacknowledged. Hence the
//! task that polls rumqttc never waits for the state machine: what arrives in the meantime is [`held`](crate::held). That
//! stays small because a message is acknowledged to the broker only when it is passed on: a broker has at most some tens of
//! messages in flight to a client that does not acknowledge (Mosquitto 20, the embedded one 64), and keeps the others.
//! Commands therefore always get through, the state machine always comes back for its next event, and then the broker goes
//! on.
//!
//! # Messages that are too long
//! Of a message beyond [`MAX_MESSAGE_BYTES`], only the first bytes are passed on, one more than the limit: enough for it to be
//! refused and counted. Closing the connection instead would not help, since the message may be retained. The most that a
//! broker can send is MQTT's own limit of 256 MiB, one message at a time; a limit at the broker (`message_size_limit` or
//! `max_packet_size` of Mosquitto; the embedded one has it) prevents that.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
    SubAck, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};
use wire::{MAX_MESSAGE_BYTES, Publication};

use crate::backoff::Backoff;
use crate::held::Held;
use crate::tls::{Failure, explain};
use crate::{BrokerAddress, Login, Tls, random_id};

/// Room for a topic and the packet's own header beside the largest message.
const MAX_PACKET_BYTES: usize = MAX_MESSAGE_BYTES + 4096;
/// The largest packet that MQTT knows.
const MAX_INCOMING_BYTES: usize = 268_435_455;
/// How often a client says that it is there, unless another pause is asked for.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Commands that wait at most.
const COMMANDS: usize = 1024;
/// Events that wait at most, once they are passed on.
const EVENTS: usize = 64;
/// How long a broker may take to answer at first.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a broker may take to accept a message.
const SENDING: Duration = Duration::from_secs(60);
/// A connection that has lasted so long counts as a success: patience and pauses begin anew.
const LASTING: Duration = Duration::from_secs(10);
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
    /// User name and password, as [`LoginOptions`](crate::LoginOptions) has them.
    pub login: Option<Login>,
    /// How often the broker is told that this client is there.
    pub keep_alive: Duration,
}

impl LinkOptions {
    /// A link to `broker` without TLS and login.
    pub fn new(broker: BrokerAddress, client_id: String, patience: Duration) -> Self {
        let (tls, last_will, login) = (None, None, None);
        LinkOptions { broker, tls, client_id, last_will, patience, login, keep_alive: KEEP_ALIVE }
    }
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
    /// Take the subscription to a topic filter back.
    Unsubscribe(String),
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
    trouble: watch::Receiver<Option<String>>,
}

impl Link {
    /// Starts connecting. Must be called inside a tokio runtime.
    pub fn open(options: LinkOptions) -> Link {
        let mut mqtt = MqttOptions::new(&options.client_id, &options.broker.host, options.broker.port);
        mqtt.set_keep_alive(options.keep_alive);
        mqtt.set_clean_session(true);
        mqtt.set_max_packet_size(MAX_INCOMING_BYTES, MAX_PACKET_BYTES);
        mqtt.set_manual_acks(true);
        if let Some(Login { user, password }) = &options.login {
            mqtt.set_credentials(user, password);
        }
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
        let (client, mut event_loop) = AsyncClient::new(mqtt, COMMANDS);
        // Messages are small and each waits for an answer: held back to be sent together they cost 40 ms a hop.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        // rumqttc takes it for sending as well, and a broker may be slow to take what it is sent.
        network.set_connection_timeout(SENDING.as_secs());
        event_loop.set_network_options(network);
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let (troubled, trouble) = watch::channel(None);
        tokio::spawn(feed(client.clone(), commands));
        tokio::spawn(async move {
            let mut held = Held::new(client, &events);
            let result = poll(event_loop, &options, &mut held, &troubled).await;
            held.hand_over_all().await;
            // Nobody listens any more if the link was dropped: then there is nobody to tell.
            let _ = events.send(LinkEvent::Closed(result)).await;
        });
        Link { commands: command_sender, events: event_receiver, trouble }
    }

    /// The next event; `None` after [`LinkEvent::Closed`].
    pub async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Why there is no connection, as of the last attempt; `None` while there is one.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    /// Queues a command, as soon as there is room.
    pub async fn send(&mut self, command: Command) {
        // No room ever again means that the link has given up, which its last event says.
        let _ = self.commands.send(command).await;
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
            Command::Unsubscribe(filter) => client.unsubscribe(filter).await,
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
    held: &mut Held<'_>,
    trouble: &watch::Sender<Option<String>>,
) -> Result<(), LinkError> {
    let broker = &options.broker;
    let mut backoff = Backoff::default();
    let mut connected: Option<Instant> = None;
    // Also through connections none of which lasted.
    let mut away_since = Instant::now();
    let mut failure = Failure::Away("no answer".to_owned());
    loop {
        let limit = away_since + options.patience;
        let polled = if connected.is_some() {
            held.during(event_loop.poll()).await
        } else {
            let soon = limit.min(Instant::now() + CONNECTING);
            match held.during(timeout_at(soon, event_loop.poll())).await {
                Ok(polled) => polled,
                // Cut short by the end of patience: what failed before tells more.
                Err(_) if soon == limit => return Err(given_up(options, failure)),
                Err(_) => Err(ConnectionError::NetworkTimeout),
            }
        };
        match polled {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                info!("connected to {broker}");
                connected = Some(Instant::now());
                trouble.send_replace(None);
                held.push(LinkEvent::Connected);
            }
            Ok(Event::Incoming(Packet::Publish(message))) => held.take(message),
            Ok(Event::Incoming(Packet::SubAck(answer))) => warn_if_denied(&answer, broker),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => {
                held.during(wait_until_hung_up(event_loop)).await;
                return Ok(());
            }
            Err(ConnectionError::RequestsDone) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                failure = explain(&error, broker, connected.is_some());
                if let Some(since) = connected.take() {
                    if since.elapsed() >= LASTING {
                        away_since = Instant::now();
                        backoff.reset();
                    } else {
                        // It does not end the time of trying, and is no part of it.
                        away_since += since.elapsed();
                    }
                    held.cut();
                    held.push(LinkEvent::Disconnected);
                }
                let (Failure::Away(cause) | Failure::Refused(cause)) = &failure;
                trouble.send_replace(Some(cause.clone()));
                let left = options.patience.saturating_sub(away_since.elapsed());
                if left.is_zero() {
                    return Err(given_up(options, failure));
                }
                let pause = backoff.pause(random_id()).min(left);
                let (pausing, left) = (pause.as_secs_f64(), left.as_secs_f64());
                let next = format!("trying again in {pausing:.1} s, giving up in {left:.0} s");
                match &failure {
                    Failure::Away(cause) => warn!("the broker {broker} is away ({cause}); {next}"),
                    Failure::Refused(cause) => warn!("no connection to the broker {broker}: {cause}; {next}"),
                }
                held.during(sleep(pause)).await;
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
mod tests;
