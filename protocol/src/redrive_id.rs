//! A redrive's number as text: the queue's id and a count within the queue, `7-3`.

use std::fmt;
use std::str::FromStr;

/// A redrive's number. Prints and parses as two numbers with a dash between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedriveId(pub u64);

/// A text that is no redrive's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redrive {text:?}: expected two numbers with a dash between them, like 7-3")]
pub struct RedriveIdError {
    /// What was given.
    pub text: String,
}

impl fmt::Display for RedriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0 >> 32, self.0 as u32)
    }
}

impl FromStr for RedriveId {
    type Err = RedriveIdError;

    fn from_str(text: &str) -> Result<RedriveId, RedriveIdError> {
        let numbers = text.split_once('-').and_then(|(queue, count)| {
            Some((queue.parse::<u32>().ok()?, count.parse::<u32>().ok()?))
        });
        match numbers {
            Some((queue, count)) => Ok(RedriveId(u64::from(queue) << 32 | u64::from(count))),
            None => Err(RedriveIdError { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it a number that was shown could not be given back.
    #[test]
    fn a_number_reads_back_as_it_prints() {
        for number in [0, 1, u64::from(u32::MAX), 7 << 32 | 3, u64::MAX] {
            assert_eq!(RedriveId(number).to_string().parse(), Ok(RedriveId(number)));
        }
        assert_eq!(RedriveId(7 << 32 | 3).to_string(), "7-3");
        for text in ["", "7", "7-", "-3", "7-3-1", "4294967296-1", "a-b"] {
            assert!(text.parse::<RedriveId>().is_err(), "{text}");
        }
    }
}
