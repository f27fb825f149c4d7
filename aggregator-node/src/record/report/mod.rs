//! The report: one page of HTML that needs nothing but a browser; and what other pages and plots share with it.

mod attack;
mod devices;
mod html;
pub mod page;
mod participation;
pub mod plot;
mod text;

pub use html::{Arm, render};
