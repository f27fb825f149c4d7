//! Another program that computes in place of this one: started once, asked in lines of JSON, with its numbers in memory that
//! both share.
//!
//! A question is one line on the program's standard input, an answer one line on its standard output. Numbers are in files of
//! 32-bit floats, little-endian, one row after the other: files that exist in memory alone, whose paths the question names.
//! What the program prints on standard error goes to the log, and the last line of it into the error of what failed.
//!
//! Nothing that the program does harms its asker: it may crash, answer nonsense, write without end or never answer. Each of
//! these is a [`ProgramError`], and the next question starts it anew.
//!
//! # Layout
//! The lowest first:
//!
//! - [`CommandLine`]: a program with its arguments, as people write it (`command_line`).
//! - [`Fault`]: what goes wrong (`error`).
//! - [`Numbers`]: numbers in memory that both programs share (`shared_file`).
//! - `words`: what a program says on standard error.
//! - `watch`: what ends a program when this one is killed.
//! - `child`: the process.
//! - [`Host`]: what starts it, asks it and ends it (`host`).
//!
//! # Example
//! ```
//! use program::{Host, Inputs, Numbers, Terms};
//!
//! #[derive(serde::Serialize)]
//! struct Question {
//!     rows: usize,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Answer {}
//!
//! // It answers with what it is given.
//! let script = r#"while read -r line; do
//!     path() { printf %s "$line" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
//!     cat "$(path updates)" > "$(path answer)"
//!     echo '{}'
//! done"#;
//! let terms = Terms { command: &["sh", "-c", script].map(String::from), seconds: 60 };
//! let host = Host::default();
//! host.allow();
//! let values = [1.0, 2.0];
//! let updates = Numbers { rows: 1, columns: 2, copy: &|_, from, to| to.copy_from_slice(&values[from..][..to.len()]) };
//! let inputs = Inputs { updates: &updates, global: &[0.0, 0.0], state: &[] };
//! let answer = host.ask(terms, &Question { rows: 1 }, inputs, |_: Answer, written| written.rows(1, 2))?;
//! assert_eq!(answer, values);
//! # Ok::<(), program::ProgramError>(())
//! ```

mod child;
mod command_line;
mod error;
mod host;
mod shared_file;
mod watch;
mod words;

pub use command_line::{CommandLine, NoCommand};
pub use error::{Fault, ProgramError};
pub use host::{Host, Inputs, Terms, Written};
pub use shared_file::Numbers;
