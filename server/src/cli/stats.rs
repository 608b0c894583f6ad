//! `forebay stats`: what a server holds and has done, in numbers.

use forebay_protocol::{DiskStats, MemoryStats, StatsTold};
use serde::{Serialize, Serializer};

use self::Figure::{Bytes, Count, Flag, Ratio};
use super::connect::Connect;
use super::failure::Failure;
use super::output::{Output, json_line};
use crate::byte_size::ByteSize;

/// Show what a server holds and has done
///
/// Messages, memory by what it is for, and the files. What was written is counted since the server
/// started. Sizes are rounded; --json has the exact numbers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay stats --json")]
pub(super) struct Stats {
    /// A JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// All figures, in groups. Text and JSON are both made of this.
#[derive(Serialize)]
struct Figures {
    messages: Group,
    memory: Group,
    disk: Group,
}

/// Figures by their names in the protocol.
struct Group(Vec<(&'static str, Figure)>);

#[derive(Clone, Copy)]
enum Figure {
    Count(u64),
    Bytes(u64),
    Flag(bool),
    Ratio(f64),
}

impl Stats {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let figures = Figures::new(&self.connect.open().await?.stats().await?);
        Output::new().write_line(if self.json { figures.to_json() } else { figures.to_text() })
    }
}

impl Figures {
    fn new(stats: &StatsTold) -> Self {
        let StatsTold { queues, messages, held_messages, memory, disk, expired_messages } = stats;
        let mut disk = Group::of_disk(disk);
        if let Some(ratio) = stats.write_amplification() {
            disk.0.push(("write_amplification", Ratio(ratio)));
        }
        Self {
            messages: Group(vec![
                ("queues", Count(*queues)),
                ("messages", Count(*messages)),
                ("held_messages", Count(*held_messages)),
                ("expired_messages", Count(*expired_messages)),
            ]),
            memory: Group::of_memory(memory),
            disk,
        }
    }

    fn to_json(&self) -> String {
        json_line(self)
    }

    fn to_text(&self) -> String {
        [("messages", &self.messages), ("memory", &self.memory), ("disk", &self.disk)]
            .map(|(name, group)| format!("{name}{}", group.to_text()))
            .join("\n\n")
    }
}

impl Group {
    fn of_memory(memory: &MemoryStats) -> Self {
        let MemoryStats {
            held_bytes,
            timers_bytes,
            apart_bytes,
            queues_bytes,
            index_heap_bytes,
            index_runs_bytes,
            index_mapped_bytes,
            tail_cache_bytes,
        } = *memory;
        Self(vec![
            ("held_bytes", Bytes(held_bytes)),
            ("timers_bytes", Bytes(timers_bytes)),
            ("apart_bytes", Bytes(apart_bytes)),
            ("queues_bytes", Bytes(queues_bytes)),
            ("index_heap_bytes", Bytes(index_heap_bytes)),
            ("index_runs_bytes", Bytes(index_runs_bytes)),
            ("index_mapped_bytes", Bytes(index_mapped_bytes)),
            ("tail_cache_bytes", Bytes(tail_cache_bytes)),
        ])
    }

    fn of_disk(disk: &DiskStats) -> Self {
        let DiskStats {
            last_position,
            segments_sealed,
            sealed_bytes,
            live_bytes,
            sent_bytes,
            log_bytes_written,
            index_bytes_written,
            snapshots,
            snapshot_bytes_written,
            snapshot_position,
            compactions,
            is_compacting,
            compacted_bytes_read,
            compacted_bytes_written,
            compacted_bytes_freed,
            log_rested_ms,
            compacted_bytes_skipped,
        } = *disk;
        Self(vec![
            ("last_position", Count(last_position)),
            ("segments_sealed", Count(segments_sealed)),
            ("sealed_bytes", Bytes(sealed_bytes)),
            ("live_bytes", Bytes(live_bytes)),
            ("sent_bytes", Bytes(sent_bytes)),
            ("log_bytes_written", Bytes(log_bytes_written)),
            ("index_bytes_written", Bytes(index_bytes_written)),
            ("snapshots", Count(snapshots)),
            ("snapshot_bytes_written", Bytes(snapshot_bytes_written)),
            ("snapshot_position", Count(snapshot_position)),
            ("compactions", Count(compactions)),
            ("is_compacting", Flag(is_compacting)),
            ("compacted_bytes_read", Bytes(compacted_bytes_read)),
            ("compacted_bytes_skipped", Bytes(compacted_bytes_skipped)),
            ("compacted_bytes_written", Bytes(compacted_bytes_written)),
            ("compacted_bytes_freed", Bytes(compacted_bytes_freed)),
            ("log_rested_ms", Count(log_rested_ms)),
        ])
    }

    fn to_text(&self) -> String {
        let line = |(name, figure): &(&str, Figure)| {
            format!("\n  {:<26}{}", name.replace('_', " "), figure.to_text())
        };
        self.0.iter().map(line).collect()
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl Figure {
    fn to_text(self) -> String {
        match self {
            Count(count) => count.to_string(),
            Bytes(bytes) => ByteSize(bytes).rounded(),
            Flag(flag) => if flag { "yes" } else { "no" }.to_owned(),
            Ratio(ratio) => format!("{ratio:.2}"),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Count(number) | Bytes(number) => number.serialize(serializer),
            Flag(flag) => flag.serialize(serializer),
            Ratio(ratio) => ratio.serialize(serializer),
        }
    }
}
