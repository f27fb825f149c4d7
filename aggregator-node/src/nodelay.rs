//! Nagle's algorithm, which rumqttd leaves on and has no setting for.
//!
//! A small packet then waits until the one before it is acknowledged. The broker's acknowledgement of a publication is
//! such a packet, and a client that has nothing to say to it acknowledges it only after 40 ms: a receipt, or an
//! accomplice's model, comes that much later.

use std::io;
use std::net::SocketAddr;

/// Switches it off for the connections of this process's socket that listens on `address`; they inherit it.
#[cfg(target_os = "linux")]
pub(crate) fn send_at_once(address: SocketAddr) -> io::Result<()> {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // Another descriptor of the same socket; some files have been closed meanwhile.
        let copy = |number| pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty()).ok();
        let Some(socket) = number.and_then(copy).map(TcpListener::from) else { continue };
        if socket.local_addr().is_ok_and(|listens_on| listens_on == address) {
            TcpStream::from(OwnedFd::from(socket)).set_nodelay(true)?;
        }
    }
    Ok(())
}

/// Nothing: elsewhere it may not be inherited.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send_at_once(_: SocketAddr) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_accepted_afterwards_send_small_packets_at_once() {
        let [other, listener] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        send_at_once(listener.local_addr().unwrap()).unwrap();
        for (listener, expected) in [(other, false), (listener, true)] {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.nodelay().unwrap(), expected);
        }
    }
}
