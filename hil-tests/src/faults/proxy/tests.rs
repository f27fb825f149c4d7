//! The proxy between a socket that asks and one that answers.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::*;

/// Long for this machine, short for a test.
const MOMENT: Duration = Duration::from_millis(200);

/// A proxy, the device's end of a connection through it, and the broker's.
fn joined() -> (Proxy, TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::before(&listener.local_addr().unwrap().into()).unwrap();
    let mut device = connect(&proxy);
    let (mut broker, _) = listener.accept().unwrap();
    // Only what has passed shows that the proxy knows of the connection.
    device.write_all(b"!").unwrap();
    broker.read_exact(&mut [0]).unwrap();
    (proxy, listener, device, broker)
}

fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.local.port())).unwrap()
}

/// What arrives within a moment; `None` if the connection is closed.
fn arrives(stream: &mut TcpStream) -> Option<usize> {
    stream.set_read_timeout(Some(MOMENT)).unwrap();
    let mut buffer = [0; 4_096];
    match stream.read(&mut buffer) {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(0),
        Err(_) => None,
    }
}

#[test]
fn what_goes_in_comes_out_both_ways() {
    let (_proxy, _listener, mut device, mut broker) = joined();
    device.write_all(b"hello").unwrap();
    assert_eq!(arrives(&mut broker), Some(5));
    broker.write_all(b"hi").unwrap();
    assert_eq!(arrives(&mut device), Some(2));
    drop(device);
    assert_eq!(arrives(&mut broker), None, "an end that closes closes the other");
}

#[test]
fn a_held_lane_delivers_when_it_is_released() {
    let (proxy, _listener, mut device, mut broker) = joined();
    proxy.hold(Direction::Up, true);
    device.write_all(b"hello").unwrap();
    assert_eq!(arrives(&mut broker), Some(0));
    broker.write_all(b"hi").unwrap();
    assert_eq!(arrives(&mut device), Some(2), "the other lane is free");
    proxy.hold(Direction::Up, false);
    assert_eq!(arrives(&mut broker), Some(5));
}

#[test]
fn a_stranded_connection_lies_silent_and_a_new_one_does_not() {
    let (proxy, listener, mut device, mut broker) = joined();
    proxy.strand(Direction::Both);
    device.write_all(b"hello").unwrap();
    assert_eq!(arrives(&mut broker), Some(0));
    drop(device);
    assert_eq!(arrives(&mut broker), Some(0), "nor is the end of it told");
    let mut device = connect(&proxy);
    let (mut broker, _) = listener.accept().unwrap();
    device.write_all(b"hello").unwrap();
    assert_eq!(arrives(&mut broker), Some(5));
}

#[test]
fn a_cut_closes_both_ends_and_new_connections_are_refused_as_long_as_asked() {
    let (proxy, listener, mut device, mut broker) = joined();
    proxy.refuse(true);
    proxy.cut();
    assert_eq!((arrives(&mut device), arrives(&mut broker)), (None, None));
    assert_eq!(arrives(&mut connect(&proxy)), None);
    proxy.refuse(false);
    let mut device = connect(&proxy);
    listener.accept().unwrap().0.write_all(b"hi").unwrap();
    assert_eq!(arrives(&mut device), Some(2));
}

#[test]
fn a_throttled_link_takes_its_time() {
    let (proxy, _listener, mut device, mut broker) = joined();
    proxy.throttle(Some(10_000));
    let start = Instant::now();
    device.write_all(&[0; 5_000]).unwrap();
    let mut received = 0;
    while received < 5_000 {
        received += arrives(&mut broker).unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}
