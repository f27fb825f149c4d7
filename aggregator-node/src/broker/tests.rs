//! The broker over TCP, with packets as they lie on the wire.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Connect, LastWill, PubAck, Publish, Subscribe};
use rumqttc::{ConnectReturnCode, Packet, QoS, SubscribeReasonCode};

use super::*;

/// A client that speaks packet by packet.
struct Peer {
    socket: TcpStream,
    buffer: BytesMut,
}

struct Lab {
    router: Arc<Router>,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

impl Lab {
    fn new(limit: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let settings =
            Settings { address, topics: Topics::default(), devices: 10, owner: "aggregator-1".to_owned() };
        let (listener, address) = listen(address).unwrap();
        let router = Arc::new(Router::new(settings));
        let serve = {
            let router = router.clone();
            async move { listener::serve(TcpListener::from_std(listener).unwrap(), router, limit).await }
        };
        runtime.spawn(serve);
        Lab { router, address, runtime }
    }

    fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    fn stranger(&self) -> Peer {
        Peer { socket: self.socket(), buffer: BytesMut::new() }
    }

    fn peer_with(&self, connect: Connect) -> Peer {
        let mut peer = self.stranger();
        peer.send(&Packet::Connect(connect));
        assert_eq!(peer.connected(), ConnectReturnCode::Success);
        peer
    }

    fn peer(&self, id: &str) -> Peer {
        self.peer_with(Connect::new(id))
    }

    /// Whether messages still come through.
    #[track_caller]
    fn assert_at_work(&self) {
        let (mut from, mut to) = (self.peer("from"), self.peer("to"));
        to.subscribe("work/#");
        from.publish("work/done", b"yes", false);
        assert_eq!(to.message(), ("work/done".to_owned(), b"yes".to_vec(), false));
    }
}

impl Peer {
    fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.socket.write_all(&bytes).unwrap();
    }

    fn receive(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, MAX_PACKET) {
                Ok(packet) => return Some(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let mut bytes = [0; 8192];
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn connected(&mut self) -> ConnectReturnCode {
        match self.receive() {
            Some(Packet::ConnAck(answer)) => answer.code,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 7;
        self.send(&Packet::Subscribe(subscribe));
        match self.receive() {
            Some(Packet::SubAck(answer)) => answer.return_codes[0],
            other => panic!("{other:?}"),
        }
    }

    fn send_publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        (publish.pkid, publish.retain) = (1, retain);
        self.send(&Packet::Publish(publish));
    }

    /// Publishes and waits for the acknowledgement.
    #[track_caller]
    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        self.send_publish(topic, payload, retain);
        assert_eq!(self.receive(), Some(Packet::PubAck(PubAck::new(1))));
    }

    /// The next message, which is acknowledged: topic, payload, whether it was retained.
    #[track_caller]
    fn message(&mut self) -> (String, Vec<u8>, bool) {
        match self.receive() {
            Some(Packet::Publish(publish)) => {
                self.send(&Packet::PubAck(PubAck::new(publish.pkid)));
                (publish.topic, publish.payload.to_vec(), publish.retain)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes but the answer to a ping.
    #[track_caller]
    fn assert_quiet(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.receive(), Some(Packet::PingResp));
    }

    #[track_caller]
    fn assert_hung_up(&mut self) {
        while let Some(packet) = self.receive() {
            assert!(matches!(packet, Packet::Publish(_)), "{packet:?}");
        }
    }
}

fn connect_with_will(id: &str, payload: &[u8]) -> Connect {
    let will = LastWill::new("outpost/devices/device-001/status", payload, QoS::AtLeastOnce, true);
    Connect { last_will: Some(will), ..Connect::new(id) }
}

#[test]
fn a_topic_that_begins_with_a_character_of_several_bytes_harms_nobody() {
    let lab = Lab::new(100);
    let (mut from, mut to) = (lab.peer("from"), lab.peer("to"));
    to.subscribe("#");
    for topic in ["ü", "€/x", "🙂", "outpost/ü"] {
        from.publish(topic, b"x", true);
        assert_eq!(to.message().0, topic);
    }
    lab.assert_at_work();
}

#[test]
fn client_ids_of_any_characters_may_be_used_again_and_again() {
    let lab = Lab::new(100);
    for id in ["a/b", "a+b", "a#b", "a$b", "$SYS", "ü", "", "a b\u{1}"] {
        let mut elder = lab.peer(id);
        for _ in 0..3 {
            // Reset between CONNECT and its answer.
            let mut torn = lab.stranger();
            torn.send(&Packet::Connect(Connect::new(id)));
            drop(torn);
            let mut younger = lab.peer(id);
            younger.assert_quiet();
            if !id.is_empty() {
                elder.assert_hung_up();
            }
            elder = younger;
        }
    }
    lab.assert_at_work();
}

#[test]
fn what_is_not_mqtt_ends_its_own_connection_only() {
    let lab = Lab::new(100);
    let connect = |id: &str| {
        let mut bytes = BytesMut::new();
        Connect::new(id).write(&mut bytes).unwrap();
        bytes.to_vec()
    };
    let too_long = "x".repeat(topics::MAX_NAME + 1);
    let huge = [&[0x10, 0xff, 0xff, 0xff, 0x7f][..], &[0; 100]].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100],
        vec![0x10, 0],
        huge,
        [connect("a"), vec![0x30, 0]].concat(),
        [connect("a"), vec![0x30, 3, 0, 9, b'x']].concat(),
        [connect("a"), vec![0x82, 2, 0, 1]].concat(),
        [connect("a"), vec![0xa2, 1, 0]].concat(),
        [connect("a"), vec![0x32, 5, 0, 1, b'+', 0, 1]].concat(),
        [connect("a"), vec![0x40, 0]].concat(),
        [connect("a"), vec![0xf0, 0]].concat(),
        [connect("a"), vec![0x30, 0xff, 0xff, 0xff, 0x7f]].concat(),
        [connect("a"), connect("a")].concat(),
        connect(&too_long),
        vec![0xc0, 0],
    ] {
        let mut peer = lab.stranger();
        peer.socket.write_all(&bytes).unwrap();
        while let Some(packet) = peer.receive() {
            assert!(matches!(packet, Packet::ConnAck(_)), "{packet:?} after {bytes:?}");
        }
    }
    lab.assert_at_work();
}

#[test]
fn qos_2_is_refused_instead_of_held() {
    let lab = Lab::new(100);
    let mut peer = lab.peer("exact");
    let mut publish = Publish::new("outpost/round", QoS::ExactlyOnce, vec![0; 1000]);
    publish.pkid = 1;
    peer.send(&Packet::Publish(publish));
    peer.assert_hung_up();
    assert_eq!(lab.router.load().0, 0);
}

#[test]
fn only_what_the_fleet_retains_is_retained_and_an_empty_message_deletes_it() {
    let lab = Lab::new(100);
    let mut flood = lab.peer("flood");
    for number in 0..2000 {
        flood.publish(&format!("outpost/flood-{number}"), &[0; 100], true);
        flood.publish(&format!("outpost/devices/device-{:03}/status", 10 + number), &[0; 100], true);
    }
    flood.publish("outpost/devices/device-003/status", &[0; MAX_KEPT_STATUS + 1], true);
    flood.publish("outpost/devices/device-003/update", b"x", true);
    assert_eq!(lab.router.load().0, 0);
    flood.publish("outpost/devices/device-009/status", b"online", true);
    flood.publish("outpost/round", b"first", true);
    let mut late = lab.peer("late");
    late.subscribe("outpost/#");
    for (topic, text) in [("outpost/devices/device-009/status", "online"), ("outpost/round", "first")] {
        assert_eq!(late.message(), (topic.to_owned(), text.into(), true));
    }
    flood.publish("outpost/round", b"", true);
    assert_eq!(late.message(), ("outpost/round".to_owned(), Vec::new(), false));
    assert_eq!(lab.router.load().0, 1);
}

#[test]
fn topics_cost_nothing_once_their_messages_are_delivered() {
    let lab = Lab::new(100);
    let (mut from, mut to) = (lab.peer("from"), lab.peer("to"));
    to.subscribe("many/#");
    for number in 0..5000 {
        from.publish(&format!("many/{number}"), &[0; 1000], false);
        from.publish(&format!("nobody/{number}"), &[0; 1000], false);
        to.message();
    }
    to.assert_quiet();
    from.assert_quiet();
    // What the two connections may have begun to read.
    let (_, charged) = lab.router.load();
    assert!(charged < 10_000, "{charged}");
}

#[test]
fn connections_that_say_nothing_make_room_for_a_fleet() {
    let lab = Lab::new(20);
    let mut busy: Vec<Peer> = (0..10).map(|number| lab.peer(&format!("busy-{number}"))).collect();
    busy.iter_mut()
        .for_each(|peer| assert_eq!(peer.subscribe("a"), SubscribeReasonCode::Success(QoS::AtLeastOnce)));
    // Half of them without a word, half of them with CONNECT alone.
    let _idle: Vec<TcpStream> = (0..100).map(|_| lab.socket()).collect();
    let _greeted: Vec<Peer> = (0..100)
        .map(|number| {
            let mut peer = lab.stranger();
            peer.send(&Packet::Connect(Connect::new(format!("idle-{number}"))));
            peer
        })
        .collect();
    lab.assert_at_work();
    busy[0].publish("a", b"x", false);
    busy.iter_mut().for_each(|peer| assert_eq!(peer.message().0, "a"));
}

#[test]
fn where_all_connections_are_in_use_a_new_one_is_refused_and_the_others_stay() {
    let lab = Lab::new(5);
    let mut busy: Vec<Peer> = (0..5).map(|number| lab.peer(&format!("busy-{number}"))).collect();
    for peer in &mut busy {
        peer.subscribe("a");
    }
    lab.stranger().assert_hung_up();
    busy[0].publish("a", b"x", false);
    busy.iter_mut().for_each(|peer| assert_eq!(peer.message().0, "a"));
    busy.pop().unwrap().socket.shutdown(Shutdown::Both).unwrap();
    // Its place is free once the broker has noticed.
    let again = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let mut peer = lab.stranger();
        peer.send(&Packet::Connect(Connect::new("again")));
        matches!(peer.receive(), Some(Packet::ConnAck(_)))
    });
    assert!(again);
}

#[test]
fn the_last_will_of_who_vanishes_is_published_before_its_successor_is_let_in() {
    let lab = Lab::new(100);
    let mut watcher = lab.peer("watcher");
    watcher.subscribe("outpost/devices/+/status");
    let mut elder = lab.peer_with(connect_with_will("device", b"gone"));
    elder.publish("outpost/devices/device-001/status", b"here", true);
    let mut younger = lab.peer_with(connect_with_will("device", b"gone again"));
    younger.publish("outpost/devices/device-001/status", b"back", true);
    elder.assert_hung_up();
    let said: Vec<_> = (0..3).map(|_| watcher.message().1).collect();
    assert_eq!(said, [&b"here"[..], b"gone", b"back"]);
    // Without a farewell, and with one.
    drop(younger);
    assert_eq!(watcher.message().1, b"gone again");
    let mut polite = lab.peer_with(connect_with_will("polite", b"never said"));
    polite.send(&Packet::Disconnect);
    polite.assert_hung_up();
    watcher.assert_quiet();
}

#[test]
fn who_takes_nothing_is_disconnected_and_holds_others_up_for_a_bounded_time() {
    let lab = Lab::new(100);
    let (mut from, mut to, mut stalled) = (lab.peer("from"), lab.peer("to"), lab.peer("stalled"));
    to.subscribe("a/#");
    stalled.subscribe("a/#");
    let payload = vec![0; MAX_MESSAGE_BYTES];
    // More than may wait for one client and lie in the buffers of a connection.
    for number in 0..2 * (QUEUE >> 20) {
        from.publish(&format!("a/{}", number % 3), &payload, false);
        assert_eq!(to.message().1.len(), payload.len());
    }
    stalled.assert_hung_up();
    to.assert_quiet();
    let (_, charged) = lab.router.load();
    assert!(charged < 10_000, "{charged}");
    lab.assert_at_work();
}

#[test]
fn a_publisher_waits_for_a_slow_receiver_and_nothing_is_lost() {
    let lab = Lab::new(100);
    let mut aggregator = lab.peer("aggregator-1");
    aggregator.subscribe("outpost/devices/+/update");
    let count = ((MEMORY / 2) >> 20) + 40;
    let mut device = lab.peer("device");
    let sending = std::thread::spawn(move || {
        for number in 0..count {
            device.publish(
                "outpost/devices/device-001/update",
                &vec![number as u8; MAX_MESSAGE_BYTES],
                false,
            );
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    for number in 0..count {
        let (_, payload, _) = aggregator.message();
        assert_eq!((payload.len(), payload[0]), (MAX_MESSAGE_BYTES, number as u8));
    }
    sending.join().unwrap();
}

#[test]
fn one_device_s_flood_does_not_delay_another_s_update() {
    let lab = Lab::new(100);
    let mut aggregator = lab.peer("aggregator-1");
    aggregator.subscribe("outpost/devices/+/update");
    let (mut rogue, mut honest) = (lab.peer("rogue"), lab.peer("honest"));
    for _ in 0..10_000 {
        rogue.publish("outpost/devices/device-001/update", b"flood", false);
    }
    honest.publish("outpost/devices/device-002/update", b"update", false);
    // Before it come no more than lie in the connection already.
    let ahead = (0..10_000).take_while(|_| aggregator.message().1 == b"flood").count();
    assert!(ahead < 200, "{ahead}");
}

#[test]
fn a_client_has_no_more_filters_than_a_fleet_needs() {
    let lab = Lab::new(100);
    let mut greedy = lab.peer("greedy");
    let granted = (0..200)
        .filter(|number| greedy.subscribe(&format!("outpost/{number}")) != SubscribeReasonCode::Failure);
    assert_eq!(granted.count(), 74);
    let mut other = lab.peer("other");
    for filter in ["", "a/#/b", &"x".repeat(topics::MAX_NAME + 1)] {
        assert_eq!(other.subscribe(filter), SubscribeReasonCode::Failure);
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_and_port_0_becomes_a_free_one() {
    let settings =
        |address| Settings { address, topics: Topics::default(), devices: 1, owner: String::new() };
    let broker = start(settings("127.0.0.1:0".parse().unwrap())).unwrap();
    assert_ne!(broker.address.port, 0);
    let taken = SocketAddr::from(([127, 0, 0, 1], broker.address.port));
    let error = start(settings(taken)).unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("--listen"), "{error}");
}

#[test]
fn a_broker_that_has_ended_says_so() {
    let (alive, ended) = oneshot::channel();
    let mut broker = Broker { address: SocketAddr::from(([127, 0, 0, 1], 1)).into(), ended };
    let lab = Lab::new(1);
    drop(alive);
    let error = lab.runtime.block_on(broker.ended()).to_string();
    assert!(error.contains("broker has ended"), "{error}");
}
