//! How this machine and the devices reach the broker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use anyhow::Context;
use link::BrokerAddress;

use crate::benches::processes::Links;
use crate::faults::{Mosquitto, Proxy, Step};
use crate::fleet::inventory::{Broker, Device, Kind, as_seen_within};
use crate::system::held_port::HeldPort;
use crate::system::reachable;

/// The way to the broker.
#[derive(Debug)]
pub(super) struct Route {
    /// As this machine reaches it.
    pub(super) here: BrokerAddress,
    /// As devices that are machines of their own reach it.
    devices: BrokerAddress,
    /// Where the aggregator's own broker listens, if it brings one.
    pub(super) listen: Option<SocketAddr>,
    /// Its port, if that was free to choose.
    _port: Option<HeldPort>,
}

impl Route {
    /// The way to `broker`. Port 0 of `listen` becomes a free one, for the devices, too.
    pub(super) fn of(broker: &Broker) -> anyhow::Result<Self> {
        let Some(mut listen) = broker.listen else {
            let here = broker.url.clone();
            return Ok(Route { devices: here.clone(), here, listen: None, _port: None });
        };
        let mut devices = broker.url.clone();
        let mut port = None;
        if listen.port() == 0 {
            let held = HeldPort::at(listen.ip()).with_context(|| format!("broker.listen {listen}"))?;
            listen = held.address();
            devices.port = listen.port();
            port = Some(held);
        }
        let here = SocketAddr::from((reachable(listen.ip()), listen.port()));
        Ok(Route { here: here.into(), devices, listen: Some(listen), _port: port })
    }

    /// Makes sure that a broker that should be there is: before anything is sent to a device.
    pub(super) fn check_answers(&self) -> anyhow::Result<()> {
        if self.listen.is_none() {
            let BrokerAddress { host, port, .. } = &self.here;
            TcpStream::connect((host.as_str(), *port)).with_context(|| {
                format!(
                    "the broker {} does not answer; start it, correct broker.url, or give broker.listen and the \
                     bench brings one",
                    self.here
                )
            })?;
        }
        Ok(())
    }

    /// A broker that can be made to fail, where the aggregator would bring its own.
    pub(super) fn mosquitto(&self) -> anyhow::Result<Mosquitto> {
        let listen = self.listen.context("a broker that is already running cannot be made to fail")?;
        Mosquitto::start_at(listen)
    }

    /// A proxy for each device whose link is to fail. Those of other machines are reached as the broker is.
    pub(super) fn links(&self, steps: &[Step], devices: &[Device]) -> anyhow::Result<Links> {
        let fails = |device: &&Device| steps.iter().any(|step| step.failing_link() == Some(device.id));
        let link = |device: &Device| {
            let local = IpAddr::from(Ipv4Addr::LOCALHOST);
            let ip = self.listen.filter(|_| !device.kind.is_local()).map_or(local, |listen| listen.ip());
            Ok((device.id, Proxy::listening_at(ip, &self.here)?))
        };
        devices.iter().filter(fails).map(link).collect()
    }

    /// The broker as `device` is to reach it.
    pub(super) fn broker_of(&self, device: &Device, links: &Links) -> BrokerAddress {
        let direct = if device.kind.is_local() { &self.here } else { &self.devices };
        let address = match links.get(&device.id).map(Proxy::address) {
            None => direct.clone(),
            Some(proxy) if device.kind.is_local() => proxy,
            Some(proxy) => BrokerAddress { port: proxy.port, ..direct.clone() },
        };
        if device.kind == Kind::QemuSystem { as_seen_within(address) } else { address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::inventory::Inventory;

    fn inventory(listen: &str) -> Inventory {
        let text = format!(
            "name = \"fleet\"\n[broker]\nurl = \"mqtt://192.168.1.10\"\n{listen}\n\
             [[device]]\nid = \"device-000\"\nkind = \"native\"\n\
             [[device]]\nid = \"device-001\"\nkind = \"ssh\"\naddress = \"192.168.1.21\"\n"
        );
        Inventory::parse("fleet.toml", &text).unwrap()
    }

    #[test]
    fn a_broker_of_the_bench_is_reached_from_here_and_from_the_devices() {
        let inventory = inventory("listen = \"0.0.0.0:1883\"");
        let route = Route::of(&inventory.broker).unwrap();
        let brokers: Vec<String> = inventory
            .devices
            .iter()
            .map(|device| route.broker_of(device, &Links::new()).to_string())
            .collect();
        assert_eq!(brokers, ["mqtt://127.0.0.1:1883", "mqtt://192.168.1.10:1883"]);
        route.check_answers().unwrap();
    }

    #[test]
    fn a_free_port_is_told_to_the_devices() {
        let inventory = inventory("listen = \"127.0.0.1:0\"");
        let route = Route::of(&inventory.broker).unwrap();
        let port = route.listen.unwrap().port();
        assert_ne!(port, 0);
        let broker = route.broker_of(&inventory.devices[1], &Links::new());
        assert_eq!(broker.to_string(), format!("mqtt://192.168.1.10:{port}"));
    }

    #[test]
    fn a_link_that_fails_leads_through_this_machine() {
        let inventory = inventory("listen = \"0.0.0.0:0\"");
        let route = Route::of(&inventory.broker).unwrap();
        let step = |device: u32| -> Step {
            toml::from_str(&format!("at-round = 1\nfault = \"cut\"\ndevice = \"device-00{device}\"")).unwrap()
        };
        let links = route.links(&[step(0), step(1), step(1)], &inventory.devices).unwrap();
        let [here, there] = [0, 1].map(|at| route.broker_of(&inventory.devices[at], &links));
        assert_eq!((here.host.as_str(), there.host.as_str()), ("127.0.0.1", "192.168.1.10"));
        assert!(![here.port, route.here.port].contains(&there.port));
        let port = there.port;
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(links);
        // Its thread has ended, too, sooner or later.
        let gone = || TcpStream::connect(("127.0.0.1", port)).is_err();
        assert!((0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            gone()
        }));
    }
}
