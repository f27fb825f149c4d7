//! The wire alone, from the sources of `shared`: the tensor library that the rest of `shared` needs would
//! take minutes to build with a sanitizer, and the wire does not use it.

#[path = "../../shared/src/identity.rs"]
pub mod identity;
#[path = "../../shared/src/wire/mod.rs"]
pub mod wire;
