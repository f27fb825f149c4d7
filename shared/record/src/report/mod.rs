//! The report: one page of HTML that needs nothing but a browser; and what other pages and plots share with it.

mod attack;
mod classes;
mod devices;
pub mod heat_map;
mod html;
pub mod page;
mod participation;
pub mod plot;
pub(super) mod text;

pub use html::{Arm, render};
