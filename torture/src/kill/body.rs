//! Bodies that say which message they are, and of which every byte is known.

use super::history::{Content, Number};

/// The longest filling of a body.
const FILLING_BYTES_MAX: u64 = 2_000;

/// The body of a message of a round.
pub(crate) fn body(round: u32, number: Number) -> Vec<u8> {
    let mut body = format!("{round}.{number};").into_bytes();
    let mut word = mix((u64::from(round) << 40) ^ number);
    // Most messages are short; lengths of all kinds meet every border of sectors and blocks.
    let bytes = match word % 8 {
        0 => mix(word) % FILLING_BYTES_MAX,
        _ => mix(word) % 200,
    };
    for _ in 0..bytes {
        word = mix(word);
        body.push(word as u8);
    }
    body
}

/// What a body is that came in a round.
pub(crate) fn content(round: u32, found: &[u8]) -> Content {
    let garbage = || {
        let first = &found[..found.len().min(40)];
        Content::Garbage(format!("{} bytes: {}", found.len(), first.escape_ascii()))
    };
    let Some((of_round, number)) = named(found) else { return garbage() };
    if body(of_round, number) != found {
        return garbage();
    }
    if of_round == round {
        Content::Message(number)
    } else {
        Content::Before { round: of_round, number }
    }
}

/// The round and the number that a body begins with.
fn named(found: &[u8]) -> Option<(u32, Number)> {
    let end = found.iter().position(|byte| *byte == b';')?;
    let (round, number) = str::from_utf8(&found[..end]).ok()?.split_once('.')?;
    Some((round.parse().ok()?, number.parse().ok()?))
}

/// The finalizer of SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it a body that lost a byte would be taken for the message.
    #[test]
    fn a_body_is_known_to_the_byte() {
        for number in 0..200 {
            let mut bytes = body(3, number);
            assert_eq!(content(3, &bytes), Content::Message(number));
            assert_eq!(content(4, &bytes), Content::Before { round: 3, number });
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert!(matches!(content(3, &bytes), Content::Garbage(_)), "{number}");
            bytes.pop();
            assert!(matches!(content(3, &bytes), Content::Garbage(_)), "{number}");
        }
        assert!(matches!(content(3, b""), Content::Garbage(_)));
        assert!(matches!(content(3, b"3.x;"), Content::Garbage(_)));
    }
}
