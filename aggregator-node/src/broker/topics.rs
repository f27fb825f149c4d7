//! Topic names and filters, as section 4.7 of MQTT 3.1.1 has them.

/// Longest filter that is taken, and longest client id.
pub(super) const MAX_NAME: usize = 256;

/// Whether something can be published on `topic`.
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` can be subscribed to.
pub(super) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut well_formed = !filter.is_empty() && !filter.contains('\0');
    while let Some(level) = levels.next() {
        well_formed &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !is_wild(level),
        };
    }
    well_formed
}

/// Whether a filter matches more than the topic of its own name.
pub(super) fn is_wild(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether `filter` matches `topic`; both are well-formed.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(expected), Some(level)) if expected == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a/+", "a/", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "ü/€", true),
            ("ü", "ü", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
        ] {
            assert!(is_filter(filter) && is_topic(topic));
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn malformed_names_are_told_from_others() {
        for filter in ["", "a/#/b", "a#", "a+/b", "++", "a/b#", "a\0"] {
            assert!(!is_filter(filter), "{filter}");
        }
        for topic in ["", "a/+", "#", "a\0b"] {
            assert!(!is_topic(topic), "{topic}");
        }
    }
}
