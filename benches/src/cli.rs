//! `forebay bench`: one command a kind of measurement.
//!
//! The program that runs it is also the server under load: it starts itself again, as `forebay serve`
//! and as the bare servers.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::BenchError;
use crate::bare::{self, BareOptions};
use crate::deep::{Deep, Promise};
use crate::disk::Disk;
use crate::log::Log;
use crate::print;
use crate::queues;
use crate::sqs::{self, ParseBatch, Sqs};
use crate::table::Table;
use crate::tcp::Tcp;

/// Measure this machine's disk, the engine, and the server
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay bench disk\n         forebay bench tcp --report tcp.html\n         \
                        forebay bench tcp --connections 1,4,16,64 --json"
)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Disk(Disk),
    Log(Log),
    Tcp(Tcp),
    Table(Table),
    Deep(Deep),
    #[command(flatten)]
    Promise(Promise),
    Sqs(Sqs),
    /// Run the bare HTTP server: started by the benchmark itself
    #[command(hide = true)]
    SqsBare,
    /// Run the bare server: started by the benchmark itself
    #[command(hide = true)]
    Bare(BareOptions),
}

impl Bench {
    /// Runs it. What was started and written goes in the end, also after SIGINT and SIGTERM.
    ///
    /// `parse_batch` is the SQS endpoint's parser, for the bare HTTP server: the endpoint belongs to the
    /// program, and this library does not depend on it.
    pub fn run(self, parse_batch: ParseBatch) -> Result<(), BenchError> {
        match self.what {
            What::Bare(options) => bare::serve(&options),
            What::SqsBare => sqs::bare::serve(parse_batch),
            What::Disk(disk) => until_told_to_end(disk.run()),
            What::Log(log) => until_told_to_end(log.run()),
            What::Tcp(tcp) => until_told_to_end(tcp.run()),
            What::Table(table) => until_told_to_end(table.run()),
            What::Deep(deep) => until_told_to_end(deep.run()),
            What::Promise(promise) => until_told_to_end(promise.run()),
            What::Sqs(sqs) => until_told_to_end(sqs.run()),
        }
    }
}

fn until_told_to_end(work: impl Future<Output = Result<(), BenchError>>) -> Result<(), BenchError> {
    one_thread()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let ended = tokio::select! {
            done = work => done.and_then(|()| print::check()),
            refused = print::refused() => refused,
            _ = interrupt.recv() => Err(BenchError::new("interrupted")),
            _ = terminate.recv() => Err(BenchError::new("terminated")),
        };
        // A server that goes on is left as it was found, whatever has ended this.
        let deleted = tokio::select! {
            deleted = queues::delete_elsewhere() => deleted,
            _ = interrupt.recv() => Err(BenchError::new("interrupted again")),
            _ = terminate.recv() => Err(BenchError::new("terminated again")),
        };
        if let Err(error) = deleted {
            print::note(format_args!("the server has queues of this measurement yet: {error}"));
        }
        ended
    })
}

/// One thread makes all the load: the rest of the machine is the server's.
fn one_thread() -> Result<Runtime, BenchError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
