//! What a latency is compared with: a sync of the same bytes, and a round trip to the same server.

use std::path::Path;
use std::time::Instant;

use bytes::BytesMut;
use forebay_protocol::Ping;

use crate::BenchError;
use crate::frames::random_bytes;
use crate::measure::Measure;
use crate::plain_file::PlainFile;
use crate::wire::Wire;

/// In each round.
const REPEATS: u32 = 1000;
/// Not counted: before them the file's blocks and the connection are cold.
const WARM_UP: u32 = 100;

/// A sync and round trips, over and over, between the rounds of a workload.
#[derive(Debug)]
pub(crate) struct Probe {
    file: PlainFile,
    payload: BytesMut,
    /// One write of so many bytes and one fdatasync.
    pub(crate) sync: Measure,
    /// A ping to the bare server: what the machine's loopback takes.
    pub(crate) round_trip: Measure,
    /// A ping to Forebay.
    pub(crate) ping: Measure,
}

impl Probe {
    /// A probe whose file is in `dir`, and is written `bytes` bytes at a time.
    pub(crate) fn new(dir: &Path, bytes: usize) -> Result<Self, BenchError> {
        let payload = BytesMut::from(&random_bytes(bytes)?[..]);
        let file_bytes = bytes as u64 * u64::from(WARM_UP + REPEATS);
        let file = PlainFile::create(&dir.join("probe"), file_bytes)?;
        let (sync, round_trip, ping) = (Measure::new(), Measure::new(), Measure::new());
        Ok(Self { file, payload, sync, round_trip, ping })
    }

    /// Bytes of one write.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Does each of them over and over.
    pub(crate) async fn round(&mut self, forebay: &str, bare: &str) -> Result<(), BenchError> {
        for repeat in 0..WARM_UP + REPEATS {
            let began = Instant::now();
            self.file.append(&mut self.payload, 0)?;
            self.file.sync()?;
            if repeat >= WARM_UP {
                self.sync.note(1, began.elapsed());
            }
        }
        ping(bare, &mut self.round_trip).await?;
        ping(forebay, &mut self.ping).await
    }
}

async fn ping(address: &str, found: &mut Measure) -> Result<(), BenchError> {
    let mut wire = Wire::connect(address).await?;
    for repeat in 0..WARM_UP + REPEATS {
        let began = Instant::now();
        wire.ask(Ping {}).await?;
        if repeat >= WARM_UP {
            found.note(1, began.elapsed());
        }
    }
    Ok(())
}
