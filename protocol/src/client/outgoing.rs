//! Frames that wait to be written: each wake-up of the socket takes as many as it can in one call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// How many frames one write takes at most.
const SLICES_MAX: usize = 64;

/// The frames, oldest first. The first may be partly written.
#[derive(Default)]
pub(super) struct Outgoing {
    frames: VecDeque<(u32, Bytes)>,
}

impl Outgoing {
    pub(super) fn push(&mut self, correlation: u32, frame: Bytes) {
        self.frames.push_back((correlation, frame));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes once. Dropping the future before it is ready writes nothing.
    pub(super) async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let frames = self
            .frames
            .iter()
            .zip(&mut slices)
            .map(|((_, frame), slice)| *slice = IoSlice::new(frame));
        let count = frames.count();
        match writer.write_vectored(&slices[..count]).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            bytes => Ok(bytes),
        }
    }

    /// Takes off `bytes` that were written; tells the correlation of every frame completed.
    pub(super) fn advance(&mut self, mut bytes: usize, mut completed: impl FnMut(u32)) {
        while let Some((correlation, frame)) = self.frames.front_mut() {
            if bytes < frame.len() {
                frame.advance(bytes);
                return;
            }
            bytes -= frame.len();
            completed(*correlation);
            self.frames.pop_front();
        }
    }
}
