//! A number of bytes as people write it: `256MiB`, `1GiB`, `4096`.
//!
//! Units are powers of 1024, in any case, with or without a space; a bare number is bytes.

use std::fmt;
use std::str::FromStr;

use forebay_engine::unit::{SIZES, Unit};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Unit::Bytes.shown(self.0))
    }
}

impl ByteSize {
    /// About so many bytes, as one reads them: `12.3MiB`. For sizes that are told, not set.
    pub(crate) fn rounded(self) -> String {
        match SIZES.iter().find(|(_, bits)| self.0 >> bits != 0) {
            Some((unit, bits)) => format!("{:.1}{unit}", self.0 as f64 / (1_u64 << bits) as f64),
            None => self.to_string(),
        }
    }
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size, expected a whole number and B, KiB, MiB, GiB or TiB: 256MiB")]
pub(crate) struct NotASize {
    text: String,
}

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let not_a_size = || NotASize { text: text.to_owned() };
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| not_a_size())?;
        let unit = unit.trim_start();
        let bits = match SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, bits)) => *bits,
            None if unit.is_empty() || unit.eq_ignore_ascii_case("B") => 0,
            None => return Err(not_a_size()),
        };
        number.checked_mul(1 << bits).map(Self).ok_or_else(not_a_size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let size = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("12 B"), Ok(12));
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size(" 1 gib "), Ok(1 << 30));
        for text in ["", "MiB", "1.5GiB", "-1", "1MB", "18446744073709551616", "99999999TiB"] {
            assert!(size(text).is_err(), "{text:?} was taken for {:?}", size(text));
        }
    }

    #[test]
    fn a_size_that_is_told_is_rounded() {
        let rounded = |bytes: u64| ByteSize(bytes).rounded();
        assert_eq!([0, 1023, 1024].map(rounded), ["0B", "1023B", "1.0KiB"]);
        assert_eq!([12_898_534, 256 << 20].map(rounded), ["12.3MiB", "256.0MiB"]);
        assert_eq!([3 << 30, u64::MAX].map(rounded), ["3.0GiB", "16777216.0TiB"]);
    }

    proptest! {
        #[test]
        fn a_size_reads_back_from_what_it_shows(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
