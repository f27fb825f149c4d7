//! From a connection's first packet to its last.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, PubAck, Publish, SubAck, UnsubAck};
use rumqttc::{Connect, Packet, Protocol, QoS};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::debug;

use super::client::{Client, Guest};
use super::packets::{Incoming, Over, encode, write};
use super::router::Router;
use super::topics::{MAX_NAME, is_topic};
use super::{MAX_KEPT_STATUS, MAX_PACKET};

/// How long a connection may take to say what it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest keep-alive that is granted; also that of clients which ask for none.
const LONGEST_KEEP_ALIVE: u16 = 120;

/// Serves a connection until it is over.
pub(super) async fn serve(socket: TcpStream, router: &Router, guest: Arc<Guest>) {
    let peer = socket.peer_addr().map_or_else(|_| "somebody".to_owned(), |address| address.to_string());
    if let Err(over) = attend(socket, router, guest).await {
        debug!("the broker's connection with {peer} is over: it {over}");
    }
}

async fn attend(socket: TcpStream, router: &Router, guest: Arc<Guest>) -> Result<(), Over> {
    socket.set_nodelay(true)?;
    let (reader, mut writer) = socket.into_split();
    let mut incoming = Incoming::new(reader);
    let (mut connect, charge) = tokio::select! {
        greeting = greeting(&mut incoming, &mut writer, router) => greeting?,
        () = guest.leave.notified() => return Err(Over::Refused("had to go before it said what it is")),
    };
    let last_will = connect.last_will.take().map(|will| {
        let mut publish = Publish::from_bytes(will.topic, QoS::AtLeastOnce, will.message);
        publish.retain = will.retain;
        (publish, charge)
    });
    let Some(client) = router.enter(&connect.client_id, guest).await else {
        return Err(Over::Refused("came back before it was noticed"));
    };
    incoming.owner = client.owner;
    let over = tokio::select! {
        over = listen(&mut incoming, router, &client, connect.keep_alive) => over,
        Err(error) = speak(&mut writer, &client) => Err(error.into()),
        () = client.guest.leave.notified() => Err(Over::Refused("had to go")),
    };
    // Who says goodbye takes the last will back.
    router.leave(&client, last_will.filter(|_| over.is_err())).await;
    over
}

/// The first packet, and what it is charged for.
async fn greeting(
    incoming: &mut Incoming,
    writer: &mut OwnedWriteHalf,
    router: &Router,
) -> Result<(Connect, OwnedSemaphorePermit), Over> {
    let first = timeout(HANDSHAKE, incoming.next(router, 2 * MAX_KEPT_STATUS, HANDSHAKE)).await;
    let (Packet::Connect(connect), charge) = first.map_err(|_| Over::Silent(HANDSHAKE))?? else {
        return Err(Over::Refused("did not begin with CONNECT"));
    };
    let will_is_fine = connect
        .last_will
        .as_ref()
        .is_none_or(|will| is_topic(&will.topic) && will.message.len() <= MAX_KEPT_STATUS);
    let code = match connect {
        Connect { protocol: Protocol::V5, .. } => ConnectReturnCode::RefusedProtocolVersion,
        Connect { ref client_id, .. } if client_id.len() > MAX_NAME => ConnectReturnCode::BadClientId,
        _ if !will_is_fine => ConnectReturnCode::NotAuthorized,
        _ => ConnectReturnCode::Success,
    };
    // A session is always new.
    writer.write_all(&encode(&Packet::ConnAck(ConnAck::new(code, false)))).await?;
    match code {
        ConnectReturnCode::Success => Ok((connect, charge)),
        _ => Err(Over::Refused("speaks another protocol, or its client id or last will is too long")),
    }
}

/// Does what a client asks for, until it takes its leave.
async fn listen(
    incoming: &mut Incoming,
    router: &Router,
    client: &Arc<Client>,
    keep_alive: u16,
) -> Result<(), Over> {
    let keep_alive = if keep_alive == 0 { LONGEST_KEEP_ALIVE } else { keep_alive.min(LONGEST_KEEP_ALIVE) };
    // One and a half times, as section 3.1.2.10 has it.
    let idle = Duration::from_secs(keep_alive.into()) * 3 / 2;
    loop {
        let (packet, charge) = incoming.next(router, MAX_PACKET, idle).await?;
        match packet {
            Packet::Publish(publish) => {
                if publish.qos == QoS::ExactlyOnce || !is_topic(&publish.topic) {
                    return Err(Over::Refused(
                        "published with QoS 2, which is not served here, or on no topic",
                    ));
                }
                client.guest.spoke.store(true, Ordering::Relaxed);
                let acknowledged = (publish.qos == QoS::AtLeastOnce).then_some(publish.pkid);
                router.publish(publish, charge).await;
                if let Some(packet_id) = acknowledged {
                    client.answer(&Packet::PubAck(PubAck::new(packet_id))).await;
                }
            }
            Packet::PubAck(PubAck { pkid }) => client.acknowledged(pkid),
            Packet::Subscribe(subscribe) => {
                client.guest.spoke.store(true, Ordering::Relaxed);
                let codes = router.subscribe(client, subscribe.filters);
                client.answer(&Packet::SubAck(SubAck::new(subscribe.pkid, codes))).await;
                client.settle().await;
            }
            Packet::Unsubscribe(unsubscribe) => {
                router.unsubscribe(client, unsubscribe.topics);
                client.answer(&Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid))).await;
            }
            Packet::PingReq => client.answer(&Packet::PingResp).await,
            Packet::Disconnect => return Ok(()),
            _ => return Err(Over::Refused("sent a packet that is not a client's to send")),
        }
    }
}

/// Writes what waits for a client, for ever.
async fn speak(writer: &mut OwnedWriteHalf, client: &Client) -> io::Result<()> {
    loop {
        let outgoing = client.next().await;
        write(writer, &outgoing).await?;
        client.took(&outgoing);
    }
}
