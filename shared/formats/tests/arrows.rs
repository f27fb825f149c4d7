//! As in `learning`.

#[path = "../../learning/tests/arrows.rs"]
mod arrows;
