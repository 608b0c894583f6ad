//! The report of a disk.

use super::cell::{Cell, Found, What};
use super::file::{Access, Kind};
use super::words::words;
use crate::html::plot::{Colour, Lines, Point, Scale, Series, Unit, lines};
use crate::html::{self, Run, escaped, grouped, put, size, table, time};

/// The page.
pub(crate) fn page(run: &Run, found: &[Found]) -> String {
    let mut body = String::from(
        "<p class=\"lead\">A durable queue answers a send when the message is on the disk: when it was \
         appended to a file, the log, and <em>fdatasync</em> has said that it is there. So what a queue can \
         do depends on how often the disk syncs, and on how many bytes it takes. This page shows both for \
         the disk below, by how much is written at once, and by what the file was before.</p>\n\
         <h2>What that means for a queue</h2>\n<ul>\n",
    );
    for words in words(found) {
        put(&mut body, format_args!("<li>{}</li>\n", escaped(&words)));
    }
    body += "</ul>\n<h2>Syncs</h2>\n<p>One block is written behind the other, and each is synced before \
             the next.</p>\n";
    for access in Access::ALL {
        let title = format!("Syncs a second, {}", in_words(access));
        body += &plot(found, What::Sync, access, &title);
    }
    body += "<h2>Bytes</h2>\n<p>Blocks are written one behind the other, and all are synced in the end; the \
             time of that sync counts.</p>\n";
    for access in Access::ALL {
        let title = format!("Bytes a second, {}", in_words(access));
        body += &plot(found, What::Stream, access, &title);
    }
    body += "<h2>What the files were</h2>\n<ul>\n\
             <li><em>growing</em>: empty; each write makes it longer.</li>\n\
             <li><em>preallocated</em>: its blocks were allocated with fallocate, and never written.</li>\n\
             <li><em>prewritten</em>: zeros were written to it and synced; they are in memory, too.</li>\n\
             <li><em>recycled</em>: other data was written to it and synced; nothing of it is in memory.\
             </li>\n</ul>\n";
    body += &run.section(&[]);
    body += "<h2>All figures</h2>\n";
    body += &figures(found);
    html::page("Forebay: what this disk gives a log", &body)
}

fn in_words(access: Access) -> &'static str {
    match access {
        Access::Buffered => "through the page cache",
        Access::Direct => "past the page cache (O_DIRECT)",
    }
}

fn colour(kind: Kind) -> Colour {
    match kind {
        Kind::Growing => Colour::B,
        Kind::Preallocated => Colour::C,
        Kind::Prewritten => Colour::A,
        Kind::Recycled => Colour::D,
    }
}

fn plot(found: &[Found], what: What, access: Access, title: &str) -> String {
    let is_shown = |cell: &Cell| cell.what == what && cell.access == access;
    let shown = || found.iter().filter(|found| is_shown(&found.cell));
    let mut blocks: Vec<usize> = shown().map(|found| found.cell.block_bytes).collect();
    blocks.sort_unstable();
    blocks.dedup();
    // Each size is as far from the next.
    let places: Vec<(f64, usize)> = (0_u32..).map(f64::from).zip(blocks).collect();
    let point = |kind: Kind, (x, block_bytes): (f64, usize)| {
        let of = shown().find(|f| f.cell.kind == kind && f.cell.block_bytes == block_bytes)?;
        let figures = of.figures();
        let each = if what == What::Sync { 1.0 } else { block_bytes as f64 };
        let spread = Some((figures.spread.min * each, figures.spread.max * each));
        Some(Point { x, y: figures.blocks_per_second * each, spread })
    };
    let series = Kind::ALL.map(|kind| Series {
        name: kind.to_string(),
        colour: colour(kind),
        is_dashed: false,
        points: places.iter().filter_map(|place| point(kind, *place)).collect(),
    });
    lines(&Lines {
        title,
        note: "medians; the upright lines go from the slowest to the fastest run",
        across: "block",
        up: if what == What::Sync { "syncs/s" } else { "bytes/s" },
        unit: Unit::Number,
        scale: if what == What::Sync { Scale::Logarithmic } else { Scale::Linear },
        marks: places.iter().map(|(x, bytes)| (*x, size(*bytes as u64))).collect(),
        series: series.into(),
    })
}

fn figures(found: &[Found]) -> String {
    let heads = ["figure", "blocks/s", "slowest to fastest", "MB/s", "p50", "p99", "p99.9"];
    let row = |found: &Found| {
        let of = found.figures();
        let quantile = |of_latency: fn(crate::report::Latency) -> f64| {
            of.latency_us.map_or_else(String::new, |latency| time(of_latency(latency)))
        };
        vec![
            format!("<code>{}</code>", found.cell),
            grouped(of.blocks_per_second),
            format!("{} to {}", grouped(of.spread.min), grouped(of.spread.max)),
            format!("{:.1}", of.bytes_per_second / 1e6),
            quantile(|latency| latency.p50),
            quantile(|latency| latency.p99),
            quantile(|latency| latency.p999),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    table(&heads, &rows)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::cell::tests::found;
    use super::*;
    use crate::html::tests::assert_well_formed;
    use crate::machine::Machine;

    #[test]
    fn a_report_of_a_disk_has_every_kind_of_file_and_says_what_it_means() {
        let page = page(&Run::now(&Machine::of(Path::new(".")), 3), &found(|_| 5_000));
        assert_well_formed(&page);
        for told in [
            "A lone sender, who waits for each answer",
            "Syncs a second, through the page cache",
            "Bytes a second, past the page cache (O_DIRECT)",
            ">recycled<",
            "<code>sync/file=growing access=buffered block=1024</code>",
            "4 KiB",
        ] {
            assert!(page.contains(told), "{told:?} is not in the page");
        }
    }
}
