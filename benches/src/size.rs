//! A number of bytes as people write it: `5GB`, `256MiB`, `4096`.
//!
//! GB are powers of 1000, GiB of 1024; in any case, with or without a space.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size, expected a whole number and a unit: 5GB");
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = if unit.trim().is_empty() { "B" } else { unit.trim() };
        let found = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, bytes) = found.ok_or_else(wrong)?;
        number.checked_mul(*bytes).map(Self).ok_or_else(wrong)
    }
}

/// In the largest unit of which it is a whole number, and less than 10,000; else with one digit
/// behind the point, in MiB or KiB.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            |bytes: u64| self.0.is_multiple_of(bytes) && (1..10_000).contains(&(self.0 / bytes));
        match UNITS.iter().find(|(_, bytes)| whole(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            _ if self.0 >= 1 << 20 => write!(f, "{:.1}MiB", self.0 as f64 / f64::from(1 << 20)),
            _ if self.0 >= 1 << 10 => write!(f, "{:.1}KiB", self.0 as f64 / f64::from(1 << 10)),
            _ => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them_and_shown_so() {
        for (text, bytes) in [("4096", 4096), ("5GB", 5_000_000_000), (" 256 mib", 256 << 20)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "GB", "1.5GB", "-1", "1XB", "99999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size(5_000_000_000).to_string(), "5GB");
        assert_eq!(Size(256 << 20).to_string(), "256MiB");
        assert_eq!(Size(141_752 << 10).to_string(), "138.4MiB");
        assert_eq!(Size((1 << 20) + 1).to_string(), "1.0MiB");
    }
}
