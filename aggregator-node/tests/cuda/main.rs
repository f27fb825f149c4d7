//! Rules on a GPU against the same rules on the processors, bit by bit.
//!
//! `rules` and `blocks` run on the first GPU of the machine, and say that they are skipped where there is none. `emulated`
//! needs no GPU, only a C++ compiler: it runs the same tests once more on a driver and a compiler for kernels that it
//! builds from `emulator/`, whose GPU is the processors. So the kernels' text and all that hands work to them are tested
//! everywhere; that a GPU computes the same is not. `sources` compiles the kernels with NVRTC, where that is installed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says what it found")]

mod blocks;
mod emulated;
mod matrices;
mod rules;
mod sources;

use std::sync::OnceLock;

use aggregator_node::cuda::Cuda;

/// The first GPU; `None`, and a word about it, if there is none.
fn gpu() -> Option<&'static Cuda> {
    static GPU: OnceLock<Option<Cuda>> = OnceLock::new();
    let opened = GPU.get_or_init(|| match Cuda::open(0) {
        Ok(cuda) => Some(cuda),
        Err(error) => {
            link::skipped("gpu", &error.reason);
            None
        }
    });
    opened.as_ref()
}
