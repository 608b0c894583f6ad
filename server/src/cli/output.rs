//! Stdout, buffered, with the async threads left free while it blocks.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;
use tokio::task::block_in_place;

use super::failure::Failure;

/// Where results go.
pub(super) struct Output {
    stdout: BufWriter<Stdout>,
}

const BUFFER_BYTES: usize = 256 << 10;

impl Output {
    pub(super) fn new() -> Self {
        Self { stdout: BufWriter::with_capacity(BUFFER_BYTES, io::stdout()) }
    }

    /// Whether a person is looking.
    pub(super) fn is_terminal(&self) -> bool {
        self.stdout.get_ref().is_terminal()
    }

    /// Writes lines and flushes them: when this returns, they have left the process.
    pub(super) fn write_lines<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Failure> {
        block_in_place(|| {
            for line in lines {
                self.stdout.write_all(line)?;
                self.stdout.write_all(b"\n")?;
            }
            Ok(self.stdout.flush()?)
        })
    }

    /// Writes one line and flushes it.
    pub(super) fn write_line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.write_lines(std::iter::once(line.as_ref()))
    }
}

/// A value as JSON on one line.
pub(super) fn json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts always have a JSON form")
}
