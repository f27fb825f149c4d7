//! The report: one page of HTML that needs nothing but a browser.

mod attack;
mod devices;
mod html;
mod participation;
mod plot;
mod text;

pub use html::{Arm, render};
