//! The link beside brokers of a few lines, which do what real ones do only now and then.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, PubAck, Publish};
use wire::Payload;

use super::*;

/// One connection at a broker.
struct Peer {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    /// Accepts a connection, and greets.
    fn accept(listener: &TcpListener) -> Peer {
        let (socket, _) = listener.accept().unwrap();
        // A test that waits for ever says nothing.
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer { socket, buffer: BytesMut::new() };
        assert!(matches!(peer.receive(), Some(Packet::Connect(_))));
        peer.send(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false)));
        peer
    }

    fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    fn publish(&mut self, id: u16, bytes: usize, retain: bool) {
        let mut publish = Publish::new("t", QoS::AtLeastOnce, vec![1; bytes]);
        (publish.pkid, publish.retain) = (id, retain);
        self.send(&Packet::Publish(publish));
    }

    /// The next packet but pings, which are answered; `None` if the client has hung up.
    fn receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, MAX_INCOMING_BYTES) {
                Ok(Packet::PingReq) => self.send(&Packet::PingResp),
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {
                    let mut bytes = [0; 4096];
                    let read = self.socket.read(&mut bytes).unwrap();
                    self.buffer.extend_from_slice(&bytes[..read]);
                    if read == 0 {
                        return None;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Runs a broker in a thread, and a program with a link to it.
fn with_broker<P: Future>(
    patience: Duration,
    broker: impl FnOnce(TcpListener) + Send + 'static,
    program: impl FnOnce(Link) -> P,
) -> P::Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let serving = thread::spawn(move || broker(listener));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let link = runtime.block_on(async { Link::open(LinkOptions::new(address, "test".to_owned(), patience)) });
    let output = runtime.block_on(program(link));
    serving.join().unwrap();
    output
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_leaves_waits_until_the_broker_hangs_up() {
    let slow_broker = |listener: TcpListener| {
        let mut peer = Peer::accept(&listener);
        assert_eq!(peer.receive(), Some(Packet::Disconnect));
        peer.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let more = peer.socket.read(&mut [0]);
        let waits = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(more.as_ref().is_err_and(|error| waits(error.kind())), "it did not wait: {more:?}");
    };
    with_broker(PATIENCE, slow_broker, async |mut link| {
        assert!(matches!(link.next().await, Some(LinkEvent::Connected)));
        link.close(PATIENCE).await;
    });
}

#[test]
fn a_message_that_is_too_long_is_handed_on_as_its_beginning_and_tears_nothing() {
    let broker = |listener: TcpListener| {
        let mut peer = Peer::accept(&listener);
        for (id, bytes) in [(1, MAX_MESSAGE_BYTES), (2, MAX_MESSAGE_BYTES + 1), (3, 5 << 20), (4, 3)] {
            peer.publish(id, bytes, id == 3);
            assert_eq!(peer.receive(), Some(Packet::PubAck(PubAck::new(id))));
        }
        assert_eq!(peer.receive(), Some(Packet::Disconnect));
    };
    with_broker(PATIENCE, broker, async |mut link| {
        assert!(matches!(link.next().await, Some(LinkEvent::Connected)));
        let beyond = MAX_MESSAGE_BYTES + 1;
        for (expected, lay_there) in [(beyond - 1, false), (beyond, false), (beyond, true), (3, false)] {
            match link.next().await {
                Some(LinkEvent::Message { payload, retained, .. }) => {
                    assert_eq!((payload.len(), retained), (expected, lay_there));
                }
                other => panic!("{other:?}"),
            }
        }
        link.close(PATIENCE).await;
    });
}

#[test]
fn a_broker_that_accepts_and_hangs_up_again_and_again_is_given_up() {
    let broker = |listener: TcpListener| {
        listener.set_nonblocking(false).unwrap();
        // As often as it is tried: the last one comes from this test.
        while let Ok((socket, _)) = listener.accept() {
            let mut peer = Peer { socket, buffer: BytesMut::new() };
            let Some(Packet::Connect(_)) = peer.receive() else { return };
            peer.send(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false)));
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || broker(listener));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (connections, last) = runtime.block_on(async {
        let patience = Duration::from_secs(3);
        let mut link = Link::open(LinkOptions::new(address.into(), "test".to_owned(), patience));
        let mut connections = 0;
        loop {
            match link.next().await {
                Some(LinkEvent::Connected) => connections += 1,
                Some(LinkEvent::Disconnected) => {}
                Some(LinkEvent::Closed(result)) => return (connections, result.unwrap_err().to_string()),
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(last.contains("was away for 3 s"), "{last}");
    // With pauses of 0.2 s that double: without them there would be hundreds.
    assert!((2..10).contains(&connections), "{connections}");
    // It may have seen a connection without a word already.
    drop(TcpStream::connect(address));
    serving.join().unwrap();
}

#[test]
fn while_nobody_takes_events_commands_get_through_and_the_broker_holds_back_what_it_has() {
    const COUNT: usize = 3 * COMMANDS;
    const WINDOW: u16 = 200;
    let (seen, all_seen) = tokio::sync::oneshot::channel();
    let broker = |listener: TcpListener| {
        let mut peer = Peer::accept(&listener);
        (1..=WINDOW).for_each(|id| peer.publish(id, 10_000, false));
        let (mut published, mut acknowledged) = (0, 0);
        while published < COUNT {
            match peer.receive() {
                Some(Packet::Publish(publish)) => {
                    published += 1;
                    peer.send(&Packet::PubAck(PubAck::new(publish.pkid)));
                }
                Some(Packet::PubAck(_)) => acknowledged += 1,
                other => panic!("{other:?}"),
            }
        }
        // Those that were handed on; the first event is that of the connection.
        assert!(acknowledged < EVENTS + 1, "{acknowledged}");
        seen.send(()).unwrap();
        while acknowledged < WINDOW.into() {
            assert!(matches!(peer.receive(), Some(Packet::PubAck(_))));
            acknowledged += 1;
        }
        assert_eq!(peer.receive(), Some(Packet::Disconnect));
    };
    with_broker(PATIENCE, broker, async |mut link| {
        for _ in 0..COUNT {
            let payload = Payload::from(Bytes::from_static(b"x"));
            link.send(Command::Publish(Publication { topic: "t".to_owned(), payload, retain: false })).await;
        }
        all_seen.await.unwrap();
        for number in 0..=WINDOW {
            let event = link.next().await;
            assert_eq!(matches!(event, Some(LinkEvent::Message { .. })), number > 0, "{event:?}");
        }
        link.close(PATIENCE).await;
    });
}
