//! `forebay bench log`: the engine without a network, in this process, beside a plain file.
//!
//! | module | what |
//! | --- | --- |
//! | `load` | what both are asked to do |
//! | `queue` | the engine, asked by one thread |
//! | `plain` | as many bytes, written and synced to a prepared file |

mod load;
mod plain;
mod queue;

use std::path::PathBuf;
use std::time::Duration;

use crate::BenchError;
use crate::blocking::{Stop, blocking};
use crate::html::tcp::Words;
use crate::html::{self, Run};
use crate::measured::{report_file, seconds, write_page};
use crate::place::Place;
use crate::progress::Progress;
use crate::report::{Reported, Row};
use crate::server::scratch_directory;
use crate::size::Size;
use load::{Kind, Load};
use plain::Plain;
use queue::Queue;

/// Between two runs, as in [`crate::rounds`].
const SETTLE: Duration = Duration::from_millis(300);

const WORDS: Words = Words {
    title: "Forebay: the engine without a network",
    lead: "Forebay is a durable message queue. This page is about its storage engine alone, without a \
           network: how many messages a second it appended to its log and made durable, how many it \
           delivered and deleted, and how that compares with the same bytes written and synced to a plain \
           file on the same disk.",
    subject: "The engine",
    limit: "plain file",
    explanation: "What the engine is compared with is a <em>plain file</em> that was filled with zeros before, \
                  in the same minutes, in turns. Of each append it gets as many bytes as the messages have, \
                  of each ack as many as the receipts; it writes them and calls fdatasync, as the engine \
                  does: what was asked for while one sync ran shares the next. It numbers, checks and indexes \
                  nothing, and what is <em>received</em> of it is nothing at all. <em>Share</em> is the \
                  engine's throughput divided by its.",
};

/// Measure the engine without a network, beside a plain file
///
/// Appends by batch and by how many are unanswered at one time: one is a lone sender, more share syncs.
/// And messages that wait, received, read and acked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench log --payload 100,1024 --report log.html")]
pub(crate) struct Log {
    /// Bytes of a message's body, random; several numbers are several workloads
    #[arg(long, value_name = "BYTES", default_value = "1024", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    payload: Vec<u32>,
    /// Messages in an append
    #[arg(long, value_name = "N", default_value = "1,10,64", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,
    /// Appends that are unanswered at one time
    #[arg(long, value_name = "N", default_value = "1,64", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: Vec<u32>,
    /// Messages that wait to be received and acked; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    messages: u32,
    #[command(flatten)]
    place: Place,
    /// Bytes of the log's segments, and of the plain file
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    segment_bytes: Size,
    /// Seconds that a run of appends counts, after half a second to warm up
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Runs of each, in turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print one JSON object a workload instead of the table
    #[arg(long)]
    json: bool,
    /// Write a report with plots, for people, to this file
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

impl Log {
    /// Measures, and reports.
    pub(crate) async fn run(self) -> Result<(), BenchError> {
        let machine = self.place.machine()?;
        let report = report_file(self.report.as_ref())?;
        let (path, rounds) = (self.report.clone(), self.rounds);
        let told = machine.clone();
        let rows = blocking(move |stop| {
            let loads = self.loads();
            let progress = Progress::of(2 * u64::from(self.rounds) * loads.len() as u64);
            if !self.json {
                progress.print(&format!("{told}\n{}", Reported::heads()));
            }
            let mut rows = Vec::new();
            for load in loads {
                let row = self.measure(&load, &progress, stop)?;
                let reported = row.report();
                progress.print(&if self.json { reported.json(&told)? } else { reported.line() });
                rows.push(row);
            }
            Ok(rows)
        })
        .await?;
        if let (Some(file), Some(path)) = (report, path) {
            let page = html::tcp::page_in(&WORDS, &Run::now(&machine, rounds), &rows);
            write_page(file, &path, &page)?;
        }
        Ok(())
    }

    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for bytes in self.payload.iter().map(|bytes| *bytes as usize) {
            for in_flight in self.in_flight.iter().copied() {
                for batch in self.batch.iter().copied() {
                    loads.push(Load { kind: Kind::Append, batch, bytes, in_flight });
                }
            }
            if self.messages > 0 {
                let kind = Kind::ReceiveAck { messages: self.messages };
                loads.push(Load { kind, batch: 64, bytes, in_flight: 16 });
            }
        }
        loads
    }

    /// Both in turns, each on a file or a store that lives through all rounds.
    fn measure(&self, load: &Load, progress: &Progress, stop: &Stop) -> Result<Row, BenchError> {
        let scratch = scratch_directory(&self.place.data_dir)?;
        let (counted, segment_bytes) =
            (Duration::from_secs_f64(self.seconds), self.segment_bytes.0);
        let queue = Queue::open(&scratch.path().join("store"), segment_bytes)?;
        let mut plain = Plain::create(&scratch.path().join("plain"), segment_bytes)?;
        let mut row = Row::named(load.to_string(), load.in_words());
        let mut in_turns = || {
            for round in 1..=self.rounds {
                let doing = |what: &str| {
                    progress.doing(format!("{load}: round {round} of {}: {what}", self.rounds));
                };
                stop.check()?;
                doing("engine");
                row.forebay.push(queue.run(load, counted)?);
                progress.step();
                std::thread::sleep(SETTLE);
                stop.check()?;
                doing("plain file");
                row.bare.push(plain.run(load, counted)?);
                progress.step();
                std::thread::sleep(SETTLE);
            }
            Ok(())
        };
        let done = in_turns();
        // Also when it was interrupted: until then the engine makes files in the directory.
        let closed = queue.close();
        done.and(closed)?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        log: Log,
    }

    #[test]
    fn every_load_is_done_by_both_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().to_str().unwrap();
        let arguments = ["log", "--data", directory, "--batch", "10", "--in-flight", "1,4"];
        let more = ["--messages", "1000", "--rounds", "1", "--seconds", "0.1"];
        let more = more.into_iter().chain(["--segment-bytes", "8MiB"]);
        let log = Line::try_parse_from(arguments.into_iter().chain(more)).unwrap().log;
        let (progress, stop) = (Progress::of(10), Stop::default());
        let loads = log.loads();
        assert_eq!(loads.len(), 3);
        let rows: Vec<Row> =
            loads.iter().map(|load| log.measure(load, &progress, &stop).unwrap()).collect();
        for (row, load) in rows.iter().zip(&loads) {
            let (engine, plain) = (&row.forebay[0], &row.bare[0]);
            assert!(engine.messages > 0 && plain.messages > 0, "{load}");
            if let Kind::ReceiveAck { messages } = load.kind {
                assert_eq!(engine.messages, u64::from(messages), "all are acked, once");
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        let machine = crate::machine::Machine::of(dir.path());
        let page = html::tcp::page_in(&WORDS, &Run::now(&machine, 1), &rows);
        html::tests::assert_well_formed(&page);
        for told in ["plain file", "one append of 10 messages of 1024 bytes unanswered"] {
            assert!(page.contains(told), "{told:?} is not in the page");
        }
    }
}
