//! What the SQS endpoint costs: batches sent over SQS, over the native protocol, and to a *bare* HTTP
//! server that parses and answers the same requests without a queue. README.md says how.

pub(crate) mod bare;
mod load;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::measure::Measure;
use crate::measured::seconds;
use crate::pace::WARM_UP;
use crate::process::Process;
use crate::process::this_program;
use crate::processor_time::processor_time;
use crate::report::{Latency, median_and_spread, rates, together};
use crate::server::scratch_directory;
use crate::workload::{Kind, Workload};
use crate::{BenchError, print, queues, send};

/// The endpoint's parser of SendMessageBatch: gives each entry's id and body to the second, in order, and
/// says whether the endpoint would have taken the request.
pub type ParseBatch = fn(&[u8], &mut dyn FnMut(&str, &str)) -> bool;

/// Between two runs, as in [`crate::rounds`].
const SETTLE: Duration = Duration::from_millis(300);

/// SendMessageBatch of ten messages of 1 KiB from 16 connections, as SQS allows it at the most.
const WORKLOAD: Workload = Workload::plain(Kind::Send, 10, 1024, 16, 1);

/// Measure the SQS endpoint beside the native protocol and a bare HTTP server
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench sqs --rounds 5")]
pub(crate) struct Sqs {
    /// The forebay program to measure [default: this one]
    #[arg(long, value_name = "PATH")]
    forebay: Option<PathBuf>,
    /// Where the server keeps its data while it runs; must be on the disk to be measured
    #[arg(long = "data", alias = "data-dir", value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
    /// Seconds that a run counts, after half a second to warm up
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

impl Sqs {
    /// Runs all three in turns and prints the medians.
    pub(crate) async fn run(self) -> Result<(), BenchError> {
        let counted = Duration::from_secs_f64(self.seconds);
        let forebay = match &self.forebay {
            Some(path) => path.clone(),
            None => this_program()?,
        };
        let data = scratch_directory(&self.data_dir)?;
        let mut command = Command::new(forebay);
        command.args(["serve", "--listen", "127.0.0.1:0", "--sqs-listen", "127.0.0.1:0"]);
        command.args(["--log-level", "warn", "--data"]).arg(data.path());
        let (server, sqs_address) = start(command, "SQS on http://")?;
        let mut command = Command::new(this_program()?);
        command.args(["bench", "sqs-bare"]);
        let (bare, _) = start(command, "")?;
        queues::create_queue(server.address()).await?;
        let request = load::request(&WORKLOAD)?;
        let (mut sqs, mut native, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let load = load::send(&sqs_address, &request, &WORKLOAD, counted);
            sqs.push(watched(load, &server, counted).await?);
            let load = send::send(server.address(), &WORKLOAD, counted);
            native.push(watched(load, &server, counted).await?);
            let load = load::send(bare.address(), &request, &WORKLOAD, counted);
            limit.push(watched(load, &bare, counted).await?);
        }
        print::line(format_args!("SendMessageBatch, {WORKLOAD}"));
        let sqs = tell("SQS", &sqs);
        let native = tell("native", &native);
        let limit = tell("bare HTTP", &limit);
        print::line(format_args!(
            "SQS / native {:.2}, SQS / bare HTTP {:.2}",
            sqs / native,
            sqs / limit
        ));
        Ok(())
    }
}

/// What one run found, and the processor time of the server in the part of it that counts.
struct Run {
    measure: Measure,
    processor_time: Duration,
}

/// Runs a load, and looks what it costs the server.
async fn watched(
    load: impl Future<Output = Result<Measure, BenchError>>,
    server: &Process,
    counted: Duration,
) -> Result<Run, BenchError> {
    let watch = async {
        tokio::time::sleep(WARM_UP).await;
        let before = processor_time(server.id())?;
        tokio::time::sleep(counted).await;
        Ok(processor_time(server.id())?.saturating_sub(before))
    };
    let (measure, processor_time) = tokio::try_join!(load, watch)?;
    tokio::time::sleep(SETTLE).await;
    Ok(Run { measure, processor_time })
}

/// Prints what the runs of one server found, and gives the median rate.
fn tell(name: &str, runs: &[Run]) -> f64 {
    let measures: Vec<Measure> = runs.iter().map(|run| run.measure.clone()).collect();
    let (rate, rates) = rates(&measures);
    let latency = Latency::of(&together(&measures));
    let costs_us: Vec<f64> = runs.iter().map(Run::request_us).collect();
    let (cost_us, costs_us) = median_and_spread(&costs_us);
    print::line(format_args!(
        "{name:>10}: {rate:>9.0} messages/s ({:.0} to {:.0}), p50 {:.0} us, p99 {:.0} us, \
         {cost_us:.1} us of processors a request ({:.1} to {:.1})",
        rates.min, rates.max, latency.p50, latency.p99, costs_us.min, costs_us.max,
    ));
    rate
}

impl Run {
    /// The server's processor time of a request.
    fn request_us(&self) -> f64 {
        let requests = self.measure.messages as f64 / f64::from(WORKLOAD.batch);
        self.processor_time.as_secs_f64() * 1e6 / requests.max(1.0)
    }
}

/// Starts a server, and finds what is behind `prefix` in what it says.
fn start(command: Command, prefix: &str) -> Result<(Process, String), BenchError> {
    let mut process = Process::spawn(command)?;
    let mut lines = BufReader::new(process.stdout()).lines();
    process.heard(&lines.next().transpose()?.unwrap_or_default())?;
    if prefix.is_empty() {
        return Ok((process, String::new()));
    }
    let line = lines.next().transpose()?.unwrap_or_default();
    let address = line.strip_prefix(prefix).and_then(|rest| rest.split([',', ' ']).next());
    match address {
        Some(address) => Ok((process, address.to_owned())),
        None => {
            Err(process.explain(BenchError::new(format!("expected {prefix:?}, found {line:?}"))))
        }
    }
}
