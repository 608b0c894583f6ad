//! Lines of a stream, as bytes: whatever is between two `\n`, be it text or not.
//!
//! An empty line is a line; so is what follows the last `\n`, if anything does. `\r` belongs to
//! its line. A line's bytes are a slice of the buffer that they were read into.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Takes lines off a stream.
pub(super) struct Lines<R> {
    input: R,
    buffer: BytesMut,
    /// No `\n` is in the first so many bytes of the buffer.
    searched: usize,
    /// Lines taken so far.
    taken: u64,
    ended: bool,
    line_bytes_max: u64,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The stream failed.
    #[error("line {line}: {source}")]
    Read {
        /// The line that was being read, from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A line over the limit.
    #[error("line {line} has more than {bytes_max} bytes, the most that the queue takes")]
    TooLong {
        /// The line, from 1.
        line: u64,
        /// The limit.
        bytes_max: u64,
    },
}

impl<R: Read> Lines<R> {
    /// The lines of `input`, none of them longer than `line_bytes_max`.
    pub(super) fn new(input: R, line_bytes_max: u64) -> Self {
        Self { input, buffer: BytesMut::new(), searched: 0, taken: 0, ended: false, line_bytes_max }
    }

    /// The next line, if it is read already. Does not block.
    pub(super) fn buffered(&mut self) -> Result<Option<Bytes>, LineError> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let (bytes, separator) = match found {
            Some(at) => (self.searched + at, 1),
            None if self.ended && !self.buffer.is_empty() => (self.buffer.len(), 0),
            None => {
                self.searched = self.buffer.len();
                return self.check(self.buffer.len()).map(|()| None);
            }
        };
        self.check(bytes)?;
        self.taken += 1;
        self.searched = 0;
        let mut line = self.buffer.split_to(bytes + separator).freeze();
        line.truncate(bytes);
        Ok(Some(line))
    }

    /// Reads on. Blocks; false at the end of the stream.
    pub(super) fn fill(&mut self) -> Result<bool, LineError> {
        if self.ended {
            return Ok(false);
        }
        let start = self.buffer.len();
        self.buffer.resize(start + READ_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(start + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(source) => return Err(LineError::Read { line: self.taken + 1, source }),
        }
        Ok(true)
    }

    fn check(&self, bytes: usize) -> Result<(), LineError> {
        if bytes as u64 <= self.line_bytes_max {
            return Ok(());
        }
        Err(LineError::TooLong { line: self.taken + 1, bytes_max: self.line_bytes_max })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of the sizes given.
    struct Pieces<'a>(&'a [u8], std::vec::IntoIter<usize>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1.next().unwrap_or(7).clamp(1, buffer.len()).min(self.0.len());
            buffer[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn all(mut lines: Lines<impl Read>) -> Result<Vec<Bytes>, LineError> {
        let mut all = Vec::new();
        loop {
            match lines.buffered()? {
                Some(line) => all.push(line),
                None if lines.fill()? => {}
                None => return Ok(all),
            }
        }
    }

    fn no_newline() -> impl Strategy<Value = u8> {
        any::<u8>().prop_map(|byte| if byte == b'\n' { b'\r' } else { byte })
    }

    proptest! {
        #[test]
        fn lines_are_what_lies_between_newlines_however_they_arrive(
            mut lines in proptest::collection::vec(proptest::collection::vec(no_newline(), 0..=9), 0..9),
            last_is_ended: bool,
            pieces in proptest::collection::vec(1_usize..20, 0..50),
        ) {
            let mut stream = lines.join(&b'\n');
            if last_is_ended && !lines.is_empty() {
                stream.push(b'\n');
            } else if lines.last().is_some_and(Vec::is_empty) {
                // Nothing follows the last newline, so nothing is the last line.
                lines.pop();
            }
            let found = all(Lines::new(Pieces(&stream, pieces.into_iter()), 9)).expect("short lines");
            prop_assert_eq!(found, lines);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_named() {
        for stream in [&b"1\n22\n333\n"[..], b"1\n22\n333"] {
            let error = all(Lines::new(stream, 2)).expect_err("the third line is too long");
            assert!(error.to_string().starts_with("line 3 has more than 2 bytes"), "{error}");
        }
    }
}
