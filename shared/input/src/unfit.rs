//! Settings that cannot be.

/// The dotted key of a value that cannot be, and what is wrong with it.
pub type Unfit = (&'static str, String);

/// That `holds`, or else what is wrong with the value of `key`.
///
/// # Errors
/// That.
pub fn require(holds: bool, key: &'static str, message: impl FnOnce() -> String) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err((key, message())) }
}

/// That a number is not 0.
///
/// # Errors
/// As [`require`].
pub fn at_least_one(key: &'static str, value: u32) -> Result<(), Unfit> {
    require(value >= 1, key, || "must be at least 1".to_owned())
}

/// That a number is positive, as a 32-bit float too.
///
/// # Errors
/// As [`require`].
pub fn positive(key: &'static str, value: f64) -> Result<(), Unfit> {
    // What is computed with is the value as a 32-bit float, where a tiny one is 0.
    require(fits_f32(value) && value as f32 > 0.0, key, || {
        format!("{value} must be a positive number that a 32-bit float holds")
    })
}

/// Whether a 32-bit float holds it.
pub fn fits_f32(value: f64) -> bool {
    (value as f32).is_finite()
}
