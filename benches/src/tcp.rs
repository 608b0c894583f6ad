//! `forebay bench tcp`: one workload over TCP, put together from its parts.

use clap::ValueEnum;

use crate::BenchError;
use crate::measured::{Measured, Running};
use crate::place::{Place, Program};
use crate::workload::{Durability, Kind, Workload};

/// Measure a server over TCP: sends, consumers, or both at once, beside the bare limit of this machine
///
/// Each throughput is told beside that of a bare server in the same run, in turns: the same bytes over the
/// same sockets into a prepared file, written and synced the same way, with no queue behind.
///
/// Without --rate the loop is closed: a connection sends again when it is answered, so the latencies are
/// those of full windows. With it, sends are due at a given rate, and latencies count from when they were
/// due. A lone sender (--connections 1 --batch 1 --window 1) is told beside one fdatasync and one TCP round
/// trip.
///
/// Several numbers of --payload, --connections, --batch or --queues, with commas, are several workloads.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay bench tcp --connections 1,4,16,64 --report send.html\n         \
                        forebay bench tcp --workload both --rate 50000 --seconds 10\n         \
                        forebay bench tcp --connections 1 --batch 1 --payload 100"
)]
pub(crate) struct Tcp {
    /// What is done
    #[arg(long, value_enum, default_value_t = What::Send)]
    workload: What,
    /// Bytes of a message's body, random
    #[arg(long, value_name = "BYTES", default_value = "1024", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    payload: Vec<u32>,
    /// Connections; of `both`, so many that send and so many that consume
    #[arg(long, value_name = "N", default_value = "16", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: Vec<u32>,
    /// Requests that a connection has unanswered; of consumers, batches that it has credits for; not of
    /// producer [default: 1; with --rate 64; of drain 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    window: Option<u32>,
    /// Messages in a request; not of producer, which makes batches of what there is [default: 64]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Vec<u32>,
    /// Queues; send sends to them in turn, each connection of producer to one of them, so at most as many as
    /// --connections
    #[arg(long, value_name = "N", default_value = "1", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queues: Vec<u32>,
    /// Messages that wait in the queue; of drain alone [default: 500000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..))]
    messages: Option<u32>,
    /// Messages a second that are due, over all connections; of send and both [default: as many as are answered]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// When a send is answered
    #[arg(long, value_enum, default_value_t = Durability::Sync)]
    durability: Durability,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    measured: Measured,
}

/// What a workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Send, in requests that were encoded before
    Send,
    /// Send one message after the other through the client library, which makes the batches
    Producer,
    /// Send, have pushed, and ack, all at once; the queue does not grow
    Both,
    /// Have the messages that wait in a queue pushed, and ack them; beside it, receive and ack them
    Drain,
}

impl Tcp {
    /// Runs it, and reports.
    pub(crate) async fn run(self) -> Result<(), BenchError> {
        let workloads = self.workloads()?;
        let (program, place, measured) = (self.program, self.place, self.measured);
        let running = Running { program, place, measured, count_syncs: false };
        running.run(&workloads).await
    }

    /// Refuses what the workload would ignore.
    fn check(&self) -> Result<(), BenchError> {
        let Self { messages, batch, window, queues, rate, .. } = self;
        let seconds = self.measured.seconds;
        use What::{Both, Drain, Producer, Send};
        let told: [(_, bool, &[What]); 6] = [
            ("--rate", rate.is_some(), &[Send, Both]),
            ("--queues", queues.iter().any(|queues| *queues > 1), &[Send, Producer]),
            ("--messages", messages.is_some(), &[Drain]),
            ("--batch", !batch.is_empty(), &[Send, Both, Drain]),
            ("--window", window.is_some(), &[Send, Both, Drain]),
            ("--seconds", seconds.is_some(), &[Send, Producer, Both]),
        ];
        let ignored =
            |(_, is_given, of): &&(_, bool, &[What])| *is_given && !of.contains(&self.workload);
        let Some((option, _, of)) = told.iter().find(ignored) else { return Ok(()) };
        let names: Vec<_> = of.iter().filter_map(What::to_possible_value).collect();
        let names: Vec<_> = names.iter().map(|value| value.get_name()).collect();
        Err(BenchError::usage(format!("{option} is of --workload {}", names.join(", "))))
    }

    /// One for each combination of what there are several of.
    fn workloads(&self) -> Result<Vec<Workload>, BenchError> {
        self.check()?;
        let (rate, durability) = (self.rate, self.durability);
        let messages = self.messages.unwrap_or(MESSAGES);
        let batches = if self.batch.is_empty() { &[BATCH][..] } else { &self.batch };
        let kind = match self.workload {
            What::Send => Kind::Send,
            What::Producer => Kind::Producer,
            What::Both => Kind::Both,
            What::Drain => Kind::Subscribe { messages },
        };
        let window = self.window.unwrap_or(match (self.workload, rate) {
            (What::Drain, _) => 16,
            (_, Some(_)) => 64,
            (_, None) => 1,
        });
        let window = window as usize;
        let mut workloads = Vec::new();
        for bytes in self.payload.iter().map(|bytes| *bytes as usize) {
            for queues in self.queues.iter().map(|queues| *queues as usize) {
                for batch in batches.iter().copied() {
                    for connections in self.connections.iter().map(|count| *count as usize) {
                        workloads.push(Workload {
                            kind,
                            batch,
                            bytes,
                            connections,
                            window,
                            queues,
                            durability,
                            rate,
                        });
                    }
                }
            }
        }
        workloads.iter().try_for_each(check)?;
        Ok(workloads)
    }
}

/// Refuses what cannot be measured.
fn check(workload: &Workload) -> Result<(), BenchError> {
    let Workload { kind, batch, bytes, connections, queues, .. } = *workload;
    // The rest of the queues would get nothing, and still be in the workload's name.
    if kind == Kind::Producer && queues > connections {
        return Err(BenchError::usage(format!(
            "--queues {queues} of --workload producer is more than --connections {connections}, and each \
             connection sends to one queue"
        )));
    }
    let request_bytes = batch as usize * bytes;
    if kind != Kind::Producer && request_bytes > REQUEST_BYTES_MAX {
        return Err(BenchError::usage(format!(
            "--batch {batch} of --payload {bytes} is {request_bytes} bytes, expected at most \
             {REQUEST_BYTES_MAX}"
        )));
    }
    if kind != Kind::Producer && queues * request_bytes > FRAMES_BYTES_MAX {
        return Err(BenchError::usage(format!(
            "a request to each of --queues {queues}, encoded beforehand, is {} bytes, expected at most \
             {FRAMES_BYTES_MAX}",
            queues * request_bytes
        )));
    }
    Ok(())
}

/// What [`Tcp::batch`] and [`Tcp::messages`] are if nobody says.
const BATCH: u32 = 64;
const MESSAGES: u32 = 500_000;

/// Far below what a server takes in a frame.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// The load is not to need the memory of the machine that it measures.
const FRAMES_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        tcp: Tcp,
    }

    fn names(arguments: &[&str]) -> Result<Vec<String>, String> {
        let line = Line::try_parse_from(["tcp"].iter().chain(arguments));
        let workloads = line.map_err(|error| error.to_string())?.tcp.workloads();
        let workloads = workloads.map_err(|error| error.to_string())?;
        Ok(workloads.iter().map(Workload::to_string).collect())
    }

    #[test]
    fn what_is_asked_for_is_what_is_measured() {
        for (arguments, expected) in [
            (&[][..], "send/batch=64 bytes=1024 connections=16 window=1 durability=sync"),
            (
                &["--payload", "100", "--queues", "1000", "--durability", "written"],
                "send/batch=64 bytes=100 connections=16 window=1 queues=1000 durability=written",
            ),
            (
                &["--workload", "both", "--rate", "5000", "--batch", "10"],
                "both/batch=10 bytes=1024 connections=16 window=64 rate=5000 durability=sync",
            ),
            (
                &["--workload", "drain", "--messages", "2000"],
                "subscribe+ack/batch=64 bytes=1024 connections=16 window=16 messages=2000 \
                 durability=sync",
            ),
            (&["--workload", "producer"], "producer/bytes=1024 connections=16 durability=sync"),
            (
                &["--workload", "producer", "--queues", "16"],
                "producer/bytes=1024 connections=16 queues=16 durability=sync",
            ),
        ] {
            assert_eq!(names(arguments).unwrap(), [expected]);
        }
        let combined = names(&["--queues", "1,1000", "--payload", "100,1024"]).unwrap();
        assert_eq!(combined.len(), 4);
        assert!(combined[1].contains("bytes=100") && combined[1].contains("queues=1000"));
        let sweep = names(&["--connections", "1,4,16"]).unwrap();
        for (name, connections) in sweep.iter().zip([1, 4, 16]) {
            assert!(name.contains(&format!(" connections={connections} ")), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_by_name() {
        for (arguments, named) in [
            (&["--workload", "drain", "--rate", "5"][..], "--rate"),
            (&["--workload", "both", "--queues", "5"], "--queues is of --workload send, producer"),
            (&["--messages", "5000"], "--messages is of --workload drain"),
            (&["--workload", "producer", "--batch", "64"], "--batch"),
            (&["--workload", "producer", "--window", "1"], "--window"),
            (
                &["--workload", "producer", "--queues", "17"],
                "--queues 17 of --workload producer is more than --connections 16",
            ),
            (&["--workload", "producer", "--queues", "1,4", "--connections", "16,2"], "--queues 4"),
            (&["--workload", "drain", "--seconds", "2"], "--seconds"),
            (&["--server", "127.0.0.1:1", "--forebay", "other"], "--forebay"),
            (&["--batch", "1024", "--payload", "1048576"], "expected at most 8388608"),
            (&["--queues", "100000"], "--queues 100000"),
            (&["--connections", "0"], "--connections"),
            (&["--seconds", "0"], "0.1 to 86400"),
            (&["--workload", "receive"], "producer"),
        ] {
            let refused = names(arguments).unwrap_err();
            assert!(refused.contains(named), "{arguments:?}: {refused}");
        }
    }
}
