//! The MD5s of several bodies at once.
//!
//! Each step of MD5 waits for the one before, so a text by itself leaves most of the processor idle. Sixteen texts
//! side by side, a lane of a vector each, take hardly longer than one. What a lane has more than the others is
//! done in the next turn, with those that have as much, and what few have left one by one.

use std::array;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u32x16};
use md5::block_api::compress;

/// The MD5 of a text.
pub(super) type Md5 = [u8; 16];

type Block = [u8; 64];

/// The most texts side by side.
const LANES: usize = 16;

/// So many are worth it.
const LANES_MIN: usize = 4;

/// RFC 1321, 3.3.
const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// RFC 1321, 3.4: by how much the steps of each round rotate.
const ROTATIONS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// RFC 1321, 3.4: 2^32 times the sine of 1 to 64.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// A text on its way.
struct Lane<'a> {
    rest: &'a [Block],
    state: [u32; 4],
}

/// The MD5s of texts, in their order.
pub(super) fn md5s(texts: &[&[u8]]) -> Vec<Md5> {
    texts.chunks(LANES).flat_map(side_by_side).collect()
}

fn side_by_side(texts: &[&[u8]]) -> Vec<Md5> {
    let text = |lane: usize| texts.get(lane).copied().unwrap_or_default();
    let ends: [End; LANES] = array::from_fn(|lane| End::of(text(lane)));
    let mut lanes: [Lane<'_>; LANES] =
        array::from_fn(|lane| Lane { rest: text(lane).as_chunks().0, state: INITIAL });
    let lanes = &mut lanes[..texts.len()];
    take_all(lanes);
    for (lane, end) in lanes.iter_mut().zip(&ends) {
        lane.rest = end.blocks();
    }
    take_all(lanes);
    lanes.iter().map(Lane::md5).collect()
}

impl Lane<'_> {
    fn md5(&self) -> Md5 {
        let mut md5 = Md5::default();
        for (bytes, word) in md5.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        md5
    }
}

/// What is behind the last whole block of a text: its rest, a one, and its length in bits.
struct End {
    blocks: [Block; 2],
    count: usize,
}

impl End {
    fn of(text: &[u8]) -> Self {
        let rest = text.as_chunks::<{ size_of::<Block>() }>().1;
        let mut blocks = [[0; size_of::<Block>()]; 2];
        let bytes = blocks.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let bits = (text.len() as u64).wrapping_mul(8).to_le_bytes();
        let end = (rest.len() + 1 + bits.len()).next_multiple_of(size_of::<Block>());
        bytes[end - bits.len()..end].copy_from_slice(&bits);
        Self { blocks, count: end / size_of::<Block>() }
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }
}

/// Takes all that the lanes have.
fn take_all(lanes: &mut [Lane<'_>]) {
    loop {
        let mut busy: Vec<_> = lanes.iter_mut().filter(|lane| !lane.rest.is_empty()).collect();
        if busy.len() < LANES_MIN {
            for lane in busy {
                compress(&mut lane.state, lane.rest);
                lane.rest = &[];
            }
            return;
        }
        dispatch!(Level::new(), simd => take_shared(simd, &mut busy));
    }
}

/// Takes as many blocks as each of the lanes has, of which there are at most [`LANES`].
#[inline(always)]
fn take_shared<S: Simd>(simd: S, lanes: &mut [&mut Lane<'_>]) {
    let count = lanes.iter().map(|lane| lane.rest.len()).min().unwrap_or(0);
    let mut rows = [[0; LANES]; 16];
    let mut words = [u32x16::splat(simd, 0); 16];
    let mut state = [u32x16::splat(simd, 0); 4];
    for (index, lane) in lanes.iter().enumerate() {
        for (vector, word) in state.iter_mut().zip(lane.state) {
            vector[index] = word;
        }
    }
    for block in 0..count {
        for (index, lane) in lanes.iter().enumerate() {
            let bytes = lane.rest[block].as_chunks().0;
            for (row, word) in rows.iter_mut().zip(bytes) {
                row[index] = u32::from_le_bytes(*word);
            }
        }
        for (vector, row) in words.iter_mut().zip(rows) {
            *vector = u32x16::simd_from(simd, row);
        }
        let [mut a, mut b, mut c, mut d] = state;
        macro_rules! round {
            ($mixed:expr, $times:literal, $plus:literal: $($step:literal)*) => { $({
                const ROTATION: u32 = ROTATIONS[$step / 16][$step % 4];
                let sum = a + $mixed + words[($times * $step + $plus) % 16] + SINES[$step];
                let rotated = (sum << ROTATION) | (sum >> (32 - ROTATION));
                (a, b, c, d) = (d, b + rotated, b, c);
            })* };
        }
        round!(d ^ (b & (c ^ d)), 1, 0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        round!(c ^ (d & (b ^ c)), 5, 1: 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        round!(b ^ c ^ d, 3, 5: 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47);
        round!(c ^ (b | !d), 7, 0: 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        for (sum, more) in state.iter_mut().zip([a, b, c, d]) {
            *sum += more;
        }
    }
    for (index, lane) in lanes.iter_mut().enumerate() {
        for (word, vector) in lane.state.iter_mut().zip(&state) {
            *word = vector[index];
        }
        lane.rest = &lane.rest[count..];
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use forebay_protocol::md5_of_body;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn shown(texts: &[&[u8]]) -> Vec<String> {
        md5s(texts).iter().map(|md5| HEXLOWER.encode(md5)).collect()
    }

    #[test]
    fn the_texts_of_rfc_1321_have_its_digests() {
        let texts: [&[u8]; 5] =
            [b"", b"a", b"abc", b"message digest", b"abcdefghijklmnopqrstuvwxyz"];
        let expected = [
            "d41d8cd98f00b204e9800998ecf8427e",
            "0cc175b9c0f1b6a831c399e269772661",
            "900150983cd24fb0d6963f7d28e17f72",
            "f96b697d7cb7938d525a2f31aaf161d0",
            "c3fcd3d76192e4007dfb496cca67e13b",
        ];
        assert_eq!(shown(&texts), expected);
        assert!(md5s(&[]).is_empty());
    }

    #[test]
    fn every_length_of_a_last_block_is_the_one_of_a_text_by_itself() {
        let text: Vec<u8> = (0..=255).collect();
        let texts: Vec<&[u8]> = (0..text.len()).map(|length| &text[..length]).collect();
        let expected: Vec<_> = texts.iter().map(|text| md5_of_body(text)).collect();
        assert_eq!(shown(&texts), expected);
    }

    proptest! {
        #[test]
        fn texts_of_any_lengths_side_by_side_have_the_digests_that_each_has_by_itself(
            texts in vec(vec(any::<u8>(), 0..1000), 0..40)
        ) {
            let texts: Vec<&[u8]> = texts.iter().map(|text| &text[..]).collect();
            let expected: Vec<_> = texts.iter().map(|text| md5_of_body(text)).collect();
            prop_assert_eq!(shown(&texts), expected);
        }
    }
}
