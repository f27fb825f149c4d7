//! What the tests of programs share: scripts of the shell.

use super::{External, Given};
use robust::OtherProgram as _;

/// What each script begins with: `path NAME` prints a path of the question in `line`.
const PATH: &str = r#"path() { printf %s "$line" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }"#;

/// Answers with the first row of two values.
pub(super) const FIRST_ROW: &str = r#"while read -r line; do
    head -c 8 "$(path updates)" > "$(path answer)"
    echo '{"ok":true}'
done"#;

pub(super) fn script(body: &str) -> Vec<String> {
    ["sh", "-c", &format!("{PATH}\n{body}")].map(ToOwned::to_owned).to_vec()
}

/// A program that may be started.
pub(super) fn allowed(command: Vec<String>, given: Given) -> External {
    let program = External { command, given, ..External::default() };
    program.allow();
    program
}
