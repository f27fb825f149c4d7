//! The other end of the wire: what the devices send becomes the next global model, and a record of it.
//!
//! # Layout
//! - [`record`]: a run's directory and its report.

pub mod record;
