//! Faults of real processes over real MQTT: what goes wrong, when, and how the bench makes it happen.
//!
//! # Layout
//! - `step.rs`: [`Step`], one fault at one round, as a case file or a test writes it.
//! - `fault.rs`: [`Fault`], the kinds, and what each does to a running fleet.
//! - `target.rs`: [`FaultTarget`], what a bench lets faults reach: devices, their links, the broker, the aggregator.
//! - `host.rs`: [`Host`], where the client of one device runs.
//! - `player.rs`: [`Player`], which plays the steps of a run in time.
//! - `proxy/`: [`Proxy`], a link that is slow, cut, silent or damaged at will.
//! - `surroundings.rs`: [`Surroundings`], the wrong clock or the full disk that a program is started with.
//! - `mosquitto.rs`: [`Mosquitto`], a broker of one's own that can be killed and started again.
//!
//! Faults of single messages (loss, duplication, reordering, delay) in virtual time are those of
//! [`software`](crate::benches::software).
//!
//! # In the middle of a round
//! A device that is away when a round opens is not asked for an update, so a run in which a device dies between two rounds
//! rightly ends in another model. Where the model is to be compared with that of the undisturbed run, the fault must strike
//! the device at work: the player first holds it (frozen, or its link held) until the round waits for it and for no other,
//! and strikes then.

mod fault;
mod host;
mod mosquitto;
mod player;
mod proxy;
mod step;
mod surroundings;
mod target;

pub use fault::{Fault, Target};
pub use host::Host;
pub use mosquitto::Mosquitto;
pub use player::Player;
pub use proxy::{Direction, Proxy};
pub use step::Step;
pub use surroundings::Surroundings;
pub use target::FaultTarget;
