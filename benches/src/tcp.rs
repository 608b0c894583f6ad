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
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    payload: u32,
    /// Connections; of `both`, so many that send and so many that consume. Several numbers are several
    /// workloads: 1,4,16,64
    #[arg(long, value_name = "N", default_value = "16", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: Vec<u32>,
    /// Requests that a connection has unanswered; of consumers, batches that it has credits for
    /// [default: 1; with --rate 64; of drain 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    window: Option<u32>,
    /// Messages in a request
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Queues that are sent to in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    queues: u32,
    /// Messages that wait in the queue that is drained
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1000..))]
    messages: u32,
    /// Messages a second that are due, over all connections [default: as many as are answered]
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

    fn workloads(&self) -> Result<Vec<Workload>, BenchError> {
        let Self { payload, batch, queues, messages, rate, durability, .. } = *self;
        let is_timed = matches!(self.workload, What::Send | What::Both);
        if rate.is_some() && !is_timed {
            return Err(BenchError::usage("--rate is of --workload send and both"));
        }
        if queues > 1 && !matches!(self.workload, What::Send | What::Producer) {
            return Err(BenchError::usage("--queues is of --workload send and producer"));
        }
        let request_bytes = u64::from(batch) * u64::from(payload);
        if request_bytes > REQUEST_BYTES_MAX {
            return Err(BenchError::usage(format!(
                "--batch {batch} of --payload {payload} is {request_bytes} bytes, expected at most \
                 {REQUEST_BYTES_MAX}"
            )));
        }
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
        let of = |connections: &u32| Workload {
            kind,
            batch,
            bytes: payload as usize,
            connections: *connections as usize,
            window: window as usize,
            queues: queues as usize,
            durability,
            rate,
        };
        Ok(self.connections.iter().map(of).collect())
    }
}

/// Far below what a server takes in a frame.
const REQUEST_BYTES_MAX: u64 = 8 << 20;

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
        ] {
            assert_eq!(names(arguments).unwrap(), [expected]);
        }
        let sweep = names(&["--connections", "1,4,16"]).unwrap();
        for (name, connections) in sweep.iter().zip([1, 4, 16]) {
            assert!(name.contains(&format!(" connections={connections} ")), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_by_name() {
        for (arguments, named) in [
            (&["--workload", "drain", "--rate", "5"][..], "--rate"),
            (&["--workload", "both", "--queues", "5"], "--queues"),
            (&["--batch", "1024", "--payload", "1048576"], "expected at most 8388608"),
            (&["--connections", "0"], "--connections"),
            (&["--seconds", "0"], "0.1 to 86400"),
            (&["--workload", "receive"], "producer"),
        ] {
            let refused = names(arguments).unwrap_err();
            assert!(refused.contains(named), "{arguments:?}: {refused}");
        }
    }
}
