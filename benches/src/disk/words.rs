//! What the figures of a disk mean for a queue.

use super::cell::{Cell, Found, What};
use super::file::{Access, Kind};
use crate::html::{grouped, time};

/// A message, in these words.
const MESSAGE_BYTES: usize = 1 << 10;

/// Sentences. One whose figures are missing is left out.
pub(crate) fn words(found: &[Found]) -> Vec<String> {
    let of = |what, kind, access, block_bytes| {
        let cell = Cell { what, kind, access, block_bytes };
        found.iter().find(|found| found.cell == cell).map(Found::figures)
    };
    let sync = |kind, block_bytes| of(What::Sync, kind, Access::Buffered, block_bytes);
    let mut words = Vec::new();
    if let (Some(prepared), Some(growing)) =
        (sync(Kind::Prewritten, MESSAGE_BYTES), sync(Kind::Growing, MESSAGE_BYTES))
    {
        let latency = prepared.latency_us.map_or(f64::NAN, |latency| latency.p50);
        words.push(format!(
            "A lone sender, who waits for each answer, costs a sync for each message. So it can send at \
             most {} messages of 1 KiB a second to a file that was prepared ({} each, p50), and {} to one \
             that grows.",
            grouped(prepared.blocks_per_second),
            time(latency),
            grouped(growing.blocks_per_second),
        ));
    }
    for block_bytes in [64 << 10, 1 << 20] {
        if let Some(sync) = sync(Kind::Prewritten, block_bytes) {
            let together = block_bytes / MESSAGE_BYTES;
            words.push(format!(
                "{} messages of 1 KiB that share a sync: at most {} a second.",
                grouped(together as f64),
                grouped(sync.blocks_per_second * together as f64),
            ));
        }
    }
    let streams = found.iter().filter(|found| found.cell.what == What::Stream);
    let fastest = streams
        .max_by(|a, b| a.figures().bytes_per_second.total_cmp(&b.figures().bytes_per_second));
    if let Some(fastest) = fastest {
        let bytes = fastest.figures().bytes_per_second;
        words.push(format!(
            "However many share a sync, this disk takes {} MB a second at the most ({}): {} messages of \
             1 KiB.",
            grouped(bytes / 1e6),
            fastest.cell,
            grouped(bytes / MESSAGE_BYTES as f64),
        ));
    }
    let block_bytes = 4 << 10;
    if let (Some(growing), Some(preallocated), Some(prewritten), Some(recycled)) = (
        sync(Kind::Growing, block_bytes),
        sync(Kind::Preallocated, block_bytes),
        sync(Kind::Prewritten, block_bytes),
        sync(Kind::Recycled, block_bytes),
    ) {
        let ratio = |of: &super::cell::Figures| of.blocks_per_second / growing.blocks_per_second;
        words.push(format!(
            "Preparing files is worth this much: of 4 KiB blocks, {:.1} times as many are synced a second \
             where zeros were written before as in a file that grows, {:.1} times in a recycled file, and \
             {:.1} times where blocks are only preallocated. Where a block was never written, a sync has \
             to write the file's metadata too.",
            ratio(&prewritten),
            ratio(&recycled),
            ratio(&preallocated),
        ));
    }
    if let (Some(buffered), Some(direct)) = (
        sync(Kind::Prewritten, block_bytes),
        of(What::Sync, Kind::Prewritten, Access::Direct, block_bytes),
    ) {
        words.push(format!(
            "Past the page cache (O_DIRECT) 4 KiB blocks are synced {:.2} times as often as through it.",
            direct.blocks_per_second / buffered.blocks_per_second,
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::cell::tests::found;
    use super::*;

    #[test]
    fn figures_are_told_as_messages_of_a_queue() {
        let blocks = |cell: &Cell| match (cell.what, cell.kind) {
            (What::Stream, _) => 1_000,
            (What::Sync, Kind::Growing) => 2_500,
            (What::Sync, _) if cell.access == Access::Direct => 6_000,
            (What::Sync, _) => 5_000,
        };
        let words = words(&found(blocks)).join("\n");
        for told in [
            "at most 5,000 messages of 1 KiB a second to a file that was prepared (100 µs each, p50)",
            "and 2,500 to one that grows",
            "64 messages of 1 KiB that share a sync: at most 320,000 a second",
            "1,024 messages of 1 KiB that share a sync: at most 5,120,000 a second",
            "takes 1,049 MB a second at the most",
            ": 1,024,000 messages of 1 KiB",
            "2.0 times as many are synced",
            "1.20 times as often",
        ] {
            assert!(words.contains(told), "{told:?} is not in: {words}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let mut found = found(|_| 1);
        found.retain(|found| found.cell.access == Access::Buffered);
        assert!(!words(&found).join(" ").contains("O_DIRECT"));
        assert!(words(&[]).is_empty());
    }
}
