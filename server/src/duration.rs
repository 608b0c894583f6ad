//! A duration as people write it: `500ms`, `30s`, `1h30m`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration, expected a number and its unit: 500ms, 30s, 5m, 12h or 4d")]
pub(crate) struct NotADuration {
    text: String,
}

/// Reads one.
pub(crate) fn duration(text: &str) -> Result<Duration, NotADuration> {
    humantime::parse_duration(text).map_err(|_| NotADuration { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_duration_is_refused_with_what_was_expected() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for text in ["", "5", "abc", "-1s", "5 parsecs"] {
            let refused = duration(text).expect_err("it is no duration").to_string();
            let expected =
                format!("{text:?} is no duration, expected a number and its unit: 500ms");
            assert!(refused.starts_with(&expected), "{refused}");
        }
    }
}
