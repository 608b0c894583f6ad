//! What is measured: one kind of file, way of writing and size of block.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::file::{ALIGNMENT, Access, Block, Kind, prepare};
use crate::BenchError;
use crate::machine::Machine;
use crate::measure::Measure;
use crate::report::{Latency, Spread, rates, together};

/// One figure that is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) what: What,
    pub(crate) kind: Kind,
    pub(crate) access: Access,
    pub(crate) block_bytes: usize,
}

/// What is done with blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Each is written and synced.
    Sync,
    /// They are written one after the other, and all synced in the end.
    Stream,
}

/// Blocks that are synced one by one; the least is a message of 1 KiB.
pub(crate) const SYNC_BLOCKS: [usize; 6] =
    [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Blocks that are written in sequence.
pub(crate) const STREAM_BLOCKS: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
/// Room for some of the largest blocks.
pub(super) const FILE_BYTES_MIN: u64 = 16 << 20;
/// A file that is synced block by block has room for so many.
const SYNCS_MAX: u64 = 16_384;

/// What was found: each run.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) cell: Cell,
    /// Blocks count as messages.
    pub(crate) runs: Vec<Measure>,
}

/// What was found, in figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) measure: &'static str,
    pub(crate) file: String,
    pub(crate) access: String,
    pub(crate) block_bytes: usize,
    /// Blocks, which for `sync` are syncs.
    pub(crate) blocks_per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// Of blocks a second.
    pub(crate) spread: Spread,
    /// Of one write and its sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
}

impl Cell {
    /// Everything that is measured, in the order of the table.
    pub(crate) fn all() -> Vec<Cell> {
        let mut all = Vec::new();
        for (what, blocks) in [(What::Sync, &SYNC_BLOCKS[..]), (What::Stream, &STREAM_BLOCKS[..])] {
            for access in Access::ALL {
                for kind in Kind::ALL {
                    for block_bytes in blocks.iter().copied() {
                        let is_aligned = block_bytes.is_multiple_of(ALIGNMENT);
                        if access == Access::Buffered || is_aligned {
                            all.push(Cell { what, kind, access, block_bytes });
                        }
                    }
                }
            }
        }
        all
    }

    /// One run; `None` where there is no direct access.
    pub(super) fn measure(
        &self,
        directory: &Path,
        file_bytes: u64,
        seconds: Duration,
    ) -> Result<Option<Measure>, BenchError> {
        let block = Block::new(self.block_bytes)?;
        let block_bytes = self.block_bytes as u64;
        let room = match self.what {
            What::Sync => file_bytes.min(block_bytes * SYNCS_MAX),
            What::Stream => file_bytes,
        };
        let path = directory.join("log");
        let Some(file) = prepare(&path, self.kind, self.access, room)? else { return Ok(None) };
        let mut found = Measure::new();
        let began = Instant::now();
        let mut last = began;
        for offset in (0..room - room % block_bytes).step_by(self.block_bytes) {
            file.write_all_at(block.bytes(), offset)?;
            match self.what {
                What::Sync => {
                    rustix::fs::fdatasync(&file)?;
                    let now = Instant::now();
                    found.note(1, now - last);
                    last = now;
                }
                What::Stream => {
                    found.messages += 1;
                    last = Instant::now();
                }
            }
            if last - began >= seconds {
                break;
            }
        }
        if self.what == What::Stream {
            rustix::fs::fdatasync(&file)?;
        }
        found.took = began.elapsed();
        std::fs::remove_file(&path)?;
        Ok(Some(found))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, kind, access, block_bytes } = self;
        write!(f, "{what}/file={kind} access={access} block={block_bytes}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Sync => "sync",
            What::Stream => "stream",
        })
    }
}

impl Found {
    pub(super) fn new(cell: Cell) -> Self {
        Self { cell, runs: Vec::new() }
    }

    /// Medians over the runs, latencies of all runs together.
    pub(crate) fn figures(&self) -> Figures {
        let Cell { what, kind, access, block_bytes } = self.cell;
        let (blocks_per_second, spread) = rates(&self.runs);
        let latency = Latency::of(&together(&self.runs));
        Figures {
            measure: if what == What::Sync { "sync" } else { "stream" },
            file: kind.to_string(),
            access: access.to_string(),
            block_bytes,
            blocks_per_second,
            bytes_per_second: blocks_per_second * block_bytes as f64,
            spread,
            latency_us: (what == What::Sync).then_some(latency),
        }
    }

    /// The heads of the columns.
    pub(super) fn heads() -> String {
        let (rate, latency) = ("blocks/s (min..max)", "p50/p99/p99.9 us");
        format!("{:<52} {rate:>30} {:>10} {latency:>22}", "figure", "MB/s")
    }

    /// The figures as a line of the table.
    pub(super) fn line(&self) -> String {
        let of = self.figures();
        let rate =
            format!("{:.0} ({:.0}..{:.0})", of.blocks_per_second, of.spread.min, of.spread.max);
        let latency = of.latency_us.map_or_else(String::new, |latency| latency.to_string());
        let megabytes = of.bytes_per_second / 1e6;
        format!("{:<52} {rate:>30} {megabytes:>10.1} {latency:>22}", self.cell.to_string())
    }

    /// The figures as an object.
    pub(super) fn json(&self, machine: &Machine) -> Result<String, BenchError> {
        let line = Line { figures: &self.figures(), machine };
        serde_json::to_string(&line).map_err(|error| BenchError::new(error.to_string()))
    }
}

/// The machine is told with each object of `--json`.
#[derive(serde::Serialize)]
struct Line<'f> {
    #[serde(flatten)]
    figures: &'f Figures,
    machine: &'f Machine,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Figures as if each took a second: so many blocks of each cell.
    pub(crate) fn found(blocks: impl Fn(&Cell) -> u64) -> Vec<Found> {
        let of = |cell: Cell| {
            let mut run = Measure::new();
            run.took = Duration::from_secs(1);
            run.note(blocks(&cell), Duration::from_micros(100));
            Found { cell, runs: vec![run] }
        };
        Cell::all().into_iter().map(of).collect()
    }

    #[test]
    fn direct_access_is_measured_only_with_blocks_that_it_can_write() {
        let all = Cell::all();
        assert_eq!(all.len(), 4 * (SYNC_BLOCKS.len() * 2 - 1) + 4 * 2 * STREAM_BLOCKS.len());
        let is_direct = |cell: &&Cell| cell.access == Access::Direct;
        assert!(all.iter().filter(is_direct).all(|cell| cell.block_bytes % ALIGNMENT == 0));
    }

    #[test]
    fn a_run_writes_whole_blocks_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for what in [What::Sync, What::Stream] {
            let cell = Cell {
                what,
                kind: Kind::Prewritten,
                access: Access::Buffered,
                block_bytes: 1 << 20,
            };
            let run = cell.measure(dir.path(), (3 << 20) + 5, Duration::from_secs(60)).unwrap();
            assert_eq!(run.unwrap().messages, 3, "{what}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_figure_has_its_rate_in_blocks_and_in_bytes() {
        let all = found(|_| 10);
        let json = all[0].json(&Machine::of(Path::new("."))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["measure"], "sync");
        assert_eq!((&json["file"], &json["access"]), (&"growing".into(), &"buffered".into()));
        assert_eq!(json["blocks_per_second"], 10.0);
        assert_eq!(json["bytes_per_second"], 10240.0);
        assert!(json["latency_us"]["p50"].as_f64().is_some());
        assert!(json["machine"]["file_system"]["kind"].as_str().is_some());
    }
}
