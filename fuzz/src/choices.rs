//! Choices: the fuzzer's input read as decisions.

use libfuzzer_sys::arbitrary::Unstructured;

/// The fuzzer's input, taken from the front. When it is used up every choice is the smallest.
#[derive(Debug)]
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// Choices out of an input.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.choose_index(end).unwrap_or(0)
    }

    /// A number of any size, small ones more often: they are what real positions look like.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => self.0.arbitrary().unwrap_or(0),
            0xfe => u64::MAX - u64::from(self.byte()),
            small => u64::from(small),
        }
    }

    /// As [`Choices::number`], in 32 bits.
    pub fn number_u32(&mut self) -> u32 {
        let number = self.number();
        // The upper half of a large number is as good as the whole.
        u32::try_from(number).unwrap_or((number >> 32) as u32)
    }

    /// At most `max` bytes of the input.
    pub fn bytes(&mut self, max: usize) -> &'a [u8] {
        let count = self.below(max + 1).min(self.0.len());
        self.0.bytes(count).unwrap_or(&[])
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}
