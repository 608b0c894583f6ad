//! What a number counts, and how it is said in errors: durations and sizes in the words that the
//! command line takes.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: a plain number.
    Count,
    /// Bytes, in units of 1024: `16MiB`.
    Bytes,
    /// Milliseconds: `12h`, `1m30s`.
    Milliseconds,
}

/// The units of bytes, largest first, and by how many bits each is shifted.
pub const SIZES: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Unit {
    /// So many of it, exactly.
    pub fn shown(self, value: u64) -> String {
        match self {
            Unit::Count => value.to_string(),
            Unit::Bytes => {
                let whole = |(_, bits): &&(&str, u32)| value > 0 && value.is_multiple_of(1 << bits);
                match SIZES.iter().find(whole) {
                    Some((name, bits)) => format!("{}{name}", value >> bits),
                    None => format!("{value}B"),
                }
            }
            Unit::Milliseconds if value == 0 => "0s".to_owned(),
            Unit::Milliseconds => {
                let (mut text, mut left) = (String::new(), value);
                for (name, ms) in TIMES {
                    if left >= ms {
                        text.push_str(&format!("{}{name}", left / ms));
                        left %= ms;
                    }
                }
                text
            }
        }
    }
}

/// So many of what the noun names: `1 message`, `2 entries`.
pub fn count_of(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ if noun.ends_with(['h', 'x']) => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it an error would name ranges that nobody can compare with what they typed.
    #[test]
    fn durations_and_sizes_are_said_as_they_are_typed() {
        let shown = |ms| Unit::Milliseconds.shown(ms);
        assert_eq!([0, 20_000, 43_200_000].map(shown), ["0s", "20s", "12h"]);
        assert_eq!([3_153_600_000_000, 43_200_001].map(shown), ["36500d", "12h1ms"]);
        assert_eq!(shown(93_784_005), "1d2h3m4s5ms");
        let shown = |bytes| Unit::Bytes.shown(bytes);
        assert_eq!([0, 1000, 1 << 10, 16 << 20].map(shown), ["0B", "1000B", "1KiB", "16MiB"]);
        assert_eq!([5 << 30, 1 << 40].map(shown), ["5GiB", "1TiB"]);
        assert_eq!(Unit::Count.shown(120_000), "120000");
    }

    #[test]
    fn one_is_no_plural() {
        let counts = [(1, "message"), (0, "message"), (2, "entry"), (1, "entry"), (3, "crash")];
        assert_eq!(
            counts.map(|(number, noun)| count_of(number, noun)),
            ["1 message", "0 messages", "2 entries", "1 entry", "3 crashes"]
        );
    }
}
