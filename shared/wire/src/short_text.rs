//! Text of a peer, which may be hostile: short, and without anything that a terminal would obey.

use serde::{Deserialize, Deserializer};

/// Longest text that is kept, in characters.
pub(super) const MAX_CHARACTERS: usize = 160;

/// `text` up to its 160th character, an ellipsis for the rest; characters that control a terminal, or the direction
/// of what stands beside them, are replaced.
pub fn short_text(text: &str) -> String {
    let mut printable = text.chars().map(|c| if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c });
    let mut short: String = printable.by_ref().take(MAX_CHARACTERS).collect();
    if printable.next().is_some() {
        short.push('…');
    }
    short
}

fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// For `deserialize_with`.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| short_text(&text))
}

/// For `deserialize_with`.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(|text| short_text(&text).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_its_length_and_no_further() {
        let longest = "ü".repeat(MAX_CHARACTERS);
        assert_eq!(short_text(&longest), longest);
        assert_eq!(short_text(&format!("{longest}u")), format!("{longest}…"));
        // What is short stays as it is, however often it is passed on.
        let cut = short_text(&"x".repeat(1000));
        assert_eq!(short_text(&cut), cut);
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(short_text("a\u{1b}[2J\n\u{202e}b\u{9b}"), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(short_text("naïve, 中文, −5 °C"), "naïve, 中文, −5 °C");
    }
}
