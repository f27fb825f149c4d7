//! Ports of this machine for processes that are yet to start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::Context;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port that nothing else of this machine is given while this lives: neither who asks for any port, nor a
/// connection's near end. Whoever is told its number can listen there, end, and listen again.
///
/// On Linux a bound socket that does not listen keeps a port from being chosen, and who asks for that port with
/// `SO_REUSEADDR`, as brokers do, gets it all the same.
#[derive(Debug)]
pub struct HeldPort {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl HeldPort {
    /// A port at which only this machine can be reached.
    ///
    /// # Errors
    /// If none is free.
    pub fn local() -> anyhow::Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into())
    }

    /// A port of this address of this machine.
    ///
    /// # Errors
    /// If none is free, or the address is not this machine's.
    pub fn at(ip: IpAddr) -> anyhow::Result<Self> {
        Self::hold((ip, 0).into()).with_context(|| format!("no free port at {ip}"))
    }

    fn hold(any: SocketAddr) -> anyhow::Result<Self> {
        let family = if any.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &any)?;
        let address = getsockname(&socket)?.try_into()?;
        Ok(HeldPort { address, _socket: socket })
    }

    /// The address with the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_is_told_a_port_can_listen_there_again_and_again() {
        let port = HeldPort::local().unwrap();
        assert_ne!(port.address().port(), 0);
        let refused = TcpStream::connect(port.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        for _ in 0..3 {
            let listener = TcpListener::bind(port.address()).unwrap();
            let near = TcpStream::connect(port.address()).unwrap();
            let (far, _) = listener.accept().unwrap();
            assert_eq!(near.local_addr().unwrap(), far.peer_addr().unwrap());
        }
    }

    #[test]
    fn who_would_not_share_a_port_is_refused_it() {
        let port = HeldPort::local().unwrap();
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        assert_eq!(bind(&socket, &port.address()), Err(rustix::io::Errno::ADDRINUSE));
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let error = HeldPort::at([192, 0, 2, 1].into()).unwrap_err();
        assert_eq!(error.to_string(), "no free port at 192.0.2.1");
    }
}
