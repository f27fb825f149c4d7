//! A program with its arguments, as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A program and its arguments, word by word.
///
/// As text it is the words with blanks between them, or a list in JSON, where a word is empty or has blanks itself:
/// `["python3", "my rule.py"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandLine(Vec<String>);

/// Text that is no program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no program with its arguments: give its words with blanks between them, or as a list in JSON, as in \
     [\"python3\", \"my rule.py\"]"
)]
pub struct NoCommand(String);

impl CommandLine {
    /// That of these words.
    pub fn of(words: &[String]) -> Self {
        CommandLine(words.to_vec())
    }

    /// Its words.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for CommandLine {
    type Err = NoCommand;

    fn from_str(text: &str) -> Result<Self, NoCommand> {
        let text = text.trim();
        let words: Option<Vec<String>> = if text.starts_with('[') {
            serde_json::from_str(text).ok()
        } else {
            Some(text.split_whitespace().map(ToOwned::to_owned).collect())
        };
        let words = words.filter(|words| words.first().is_some_and(|word| !word.is_empty()));
        words.map(CommandLine).ok_or_else(|| NoCommand(text.to_owned()))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain =
            |word: &String| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
        if self.0.iter().all(is_plain) && !self.0.first().is_some_and(|word| word.starts_with('[')) {
            return f.write_str(&self.0.join(" "));
        }
        f.write_str(&serde_json::Value::from(self.0.clone()).to_string())
    }
}

impl TryFrom<String> for CommandLine {
    type Error = NoCommand;

    fn try_from(text: String) -> Result<Self, NoCommand> {
        text.parse()
    }
}

impl From<CommandLine> for String {
    fn from(command: CommandLine) -> String {
        command.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_as_it_is_shown_whatever_its_words_are() {
        for (words, shown) in [
            (&["python3", "mine.py", "--trim=2"][..], "python3 mine.py --trim=2"),
            (&["sh", "-c", "read a; echo \"b\""], r#"["sh","-c","read a; echo \"b\""]"#),
            (&["a", ""], r#"["a",""]"#),
            (&["[", "a", "]"], r#"["[","a","]"]"#),
            (&["a\nb"], r#"["a\nb"]"#),
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let command = CommandLine::of(&words);
            assert_eq!(command.to_string(), shown);
            assert_eq!(shown.parse(), Ok(command.clone()));
            assert_eq!(command.words(), words);
        }
    }

    #[test]
    fn text_that_names_no_program_is_refused_with_what_would_be_one() {
        for text in ["", "  ", "[", "[1]", "[]", r#"["", "a"]"#] {
            let refused = text.parse::<CommandLine>().unwrap_err().to_string();
            assert!(refused.contains("words with blanks between them"), "{refused}");
        }
    }
}
