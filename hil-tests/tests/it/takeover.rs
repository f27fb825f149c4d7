//! Whether a colluder can throw another device off the broker: a connection ends when another client connects with its MQTT
//! client id.

use std::thread::sleep;
use std::time::Duration;

use link::{Command, LinkEvent};
use tokio::time::timeout;
use wire::identity::DeviceId;
use wire::{Message, Payload, Status};

use crate::certificates::Validity;
use crate::lab::Lab;
use crate::process::{PATIENCE, Process, block_on};
use crate::secured::{Grants, Secured, equip};

const COLLUDER: &str = "device-003";
const VICTIM: &str = "device-000";

/// The status of the victim, as its accomplice's rights let the colluder read it.
async fn status(broker: &Secured) -> Status {
    let mut link = broker.link(COLLUDER);
    loop {
        match link.next().await.expect("a connection") {
            LinkEvent::Connected => {
                link.send(Command::Subscribe(format!("outpost/devices/{VICTIM}/status"))).await;
            }
            LinkEvent::Message { payload, .. } => {
                if let Ok(Message::Status(status)) = Payload::from(payload).message() {
                    return status.clone();
                }
            }
            _ => {}
        }
    }
}

/// Connects with the colluder's certificate and another's client id.
async fn connect_as(broker: &Secured, client_id: &str) {
    let mut link = broker.link_as(COLLUDER, client_id);
    while !matches!(link.next().await.expect("a connection"), LinkEvent::Connected) {}
    link.close(Duration::from_secs(5)).await;
}

#[test]
fn a_colluder_cannot_take_over_a_connection_by_what_it_can_read() {
    let colluders = vec![DeviceId(1), DeviceId(3)];
    let Some(broker) = Secured::start(&Grants { colluders, full_knowledge: true }, Validity::Always) else {
        return;
    };
    let lab = Lab::new(&[]);
    let files = broker.authority.issue(VICTIM);
    let mut victim = Process::start(equip(lab.client_without_broker(0), &broker.address(), &files));
    victim.wait_for_words("connected to");
    block_on(async {
        let guesses = async {
            let Status { boot, device, .. } = status(&broker).await;
            for guess in [VICTIM.to_owned(), format!("{device}-{boot:016x}"), format!("{boot:016x}")] {
                connect_as(&broker, &guess).await;
            }
        };
        timeout(PATIENCE, guesses).await.expect("the broker answers");
    });
    // It would notice at once.
    sleep(Duration::from_secs(1));
    assert!(victim.is_running() && !victim.stderr().contains("is away"), "{}", victim.stderr());
}
