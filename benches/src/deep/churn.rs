//! Messages that are deleted in no order, at a constant live size: what the disk holds, how much is
//! written for what is sent, and what a sender sees of the compactor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::deep::ledger::Ledger;
use crate::deep::lone::{self, Latencies};
use crate::deep::paced::{Answered, Paced};
use crate::deep::report::{self, Wanted, judged, megabytes_per_second, row};
use crate::deep::samples::{Sample, Sampler, compacted};
use crate::deep::setup::Setup;
use crate::deep::stats::{self, Told};
use crate::deep::store::Store;
use crate::deep::turnover::{Turnover, Until};
use crate::deep::{device, proc};
use crate::size::Size;

/// Before each round of the sender alone, this share of what is live is acked.
const LONE_GARBAGE: u64 = 33;
/// Between the load's last answer and the sender's first: the load's own queues are empty.
const SETTLE: Duration = Duration::from_secs(1);
/// How often a round looks whether it may end, ...
const LOOK: Duration = Duration::from_millis(500);
/// ... and when it ends all the same, in times of `--lone-seconds`.
const LONE_SECONDS_MOST: u32 = 6;

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay bench deep churn --live-bytes 50MB --written-bytes 500MB --segment-bytes 16MiB"
)]
pub(super) struct Churn {
    /// Bytes of bodies that are live
    #[arg(long, value_name = "SIZE", default_value = "5GB")]
    live_bytes: Size,
    /// Bytes of bodies that are sent in all, more than are live
    #[arg(long, value_name = "SIZE", default_value = "50GB")]
    written_bytes: Size,
    /// Bytes of a body
    #[arg(long, value_name = "N", default_value_t = 4096)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    body: u32,
    /// Rounds in which the paced sender is alone
    #[arg(long, value_name = "N", default_value_t = 5)]
    lone_rounds: u32,
    /// A round ends when the compactor has had nothing to do for so many seconds; what was acked before
    /// it is known to the compactor after 15 seconds
    #[arg(long, value_name = "S", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lone_seconds: u64,
}

/// What has been written so far.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// By the client: bodies.
    sent: u64,
    /// By the server, as the kernel counts it: pages made dirty.
    by_process: u64,
    /// By the disk, for whomever.
    by_disk: Option<u64>,
    /// By the server, as it counts itself.
    told: Told,
}

impl Churn {
    pub(super) async fn run(&self, setup: &Setup) -> Result<(), BenchError> {
        let (live_bytes, written_bytes) = (self.live_bytes.0, self.written_bytes.0);
        if written_bytes <= live_bytes {
            return Err(BenchError::new("--written-bytes must be more than --live-bytes"));
        }
        report::head(format_args!(
            "deep churn: live-bytes={} written-bytes={} body={} segment-bytes={} durability=sync",
            self.live_bytes, self.written_bytes, self.body, setup.segment_bytes
        ));
        let ledger = Arc::<Ledger>::default();
        let mut store = Store::fresh(setup).await?;
        let turnover =
            Arc::new(Turnover::new(&store, self.body as usize, None, Arc::clone(&ledger)).await?);
        let sampler = Sampler::start(&store, &ledger);
        let empty = Written::now(&store, &ledger).await?;

        let began = Instant::now();
        turnover.run(&mut store, live_bytes, live_bytes, Until::Sent).await?;
        row("sends, while filling", megabytes_per_second(live_bytes, began.elapsed()));
        let full = Written::now(&store, &ledger).await?;

        let from = Instant::now();
        let paced = Paced::start(&store.address(), &ledger).await?;
        turnover.run(&mut store, written_bytes - live_bytes, live_bytes, Until::Sent).await?;
        let until = Instant::now();
        let beside = paced.end().await?;
        let end = Written::now(&store, &ledger).await?;
        row(
            "sends, with as many deletes",
            megabytes_per_second(end.sent - full.sent, until - from),
        );
        let samples = sampler.samples()?;
        let steady: Vec<Sample> =
            samples.iter().filter(|sample| (from..until).contains(&sample.at)).copied().collect();
        report_space(&steady, setup.three_segments());
        report_amplification("all", empty, end);
        report_amplification("steady", full, end);
        report::memory("at the end", store.resident()?);
        Latencies::of(&samples, &beside).report_beside_load();

        let mut alone = Vec::new();
        let garbage = live_bytes / LONE_GARBAGE;
        for _ in 0..self.lone_rounds {
            turnover.run(&mut store, 0, live_bytes - garbage, Until::Settled).await?;
            alone.push(self.lone_round(&mut store, &ledger, &sampler).await?);
            turnover.run(&mut store, garbage, live_bytes, Until::Sent).await?;
        }
        lone::report_rounds(&sampler.samples()?, &alone);
        Ok(())
    }

    /// The paced sender, with nobody beside it but the compactor, until that has had nothing to do
    /// for a while.
    async fn lone_round(
        &self,
        store: &mut Store,
        ledger: &Arc<Ledger>,
        sampler: &Sampler,
    ) -> Result<Vec<Answered>, BenchError> {
        tokio::time::sleep(SETTLE).await;
        let paced = Paced::start(&store.address(), ledger).await?;
        let (began, seconds) = (Instant::now(), Duration::from_secs(self.lone_seconds));
        let round = async {
            while began.elapsed() < seconds * LONE_SECONDS_MOST {
                tokio::time::sleep(LOOK).await;
                let idle = lone::idle_since(&sampler.samples()?);
                if idle.is_some_and(|since| since.max(began).elapsed() >= seconds) {
                    break;
                }
            }
            Ok(())
        };
        store.under(&ledger.answered, round).await?;
        paced.end().await
    }
}

impl Written {
    async fn now(store: &Store, ledger: &Ledger) -> Result<Self, BenchError> {
        Ok(Self {
            sent: ledger.sent(),
            by_process: proc::written(store.id())?,
            by_disk: device::written(store.directory())?,
            told: stats::written_by_log_and_compactor(&store.address()).await?,
        })
    }
}

fn report_space(steady: &[Sample], three_segments: u64) {
    let ratio = |sample: &Sample| {
        sample.disk.allocated.saturating_sub(three_segments) as f64 / sample.live.max(1) as f64
    };
    let worst = steady.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let Some((worst, last)) = worst.zip(steady.last()) else {
        return row("disk", "the steady phase was too short for a look");
    };
    row("disk, steady, most", Size(steady.iter().map(|s| s.disk.allocated).max().unwrap_or(0)));
    row("disk, steady, at the end", Size(last.disk.allocated));
    row("    of it files that are deleted and still held", Size(last.disk.deleted));
    row("    lengths of the files", Size(last.disk.apparent));
    row("live, steady, at the end", Size(last.live));
    judged("(disk - 3 segments) / live, steady, most", ratio(worst), "", Wanted::AtMost(1.5));
    let fell = (1..steady.len()).filter(|index| compacted(steady, *index)).count();
    row(
        "looks at the disk, of them with the compactor at work",
        format!("{} / {fell}", steady.len()),
    );
}

fn report_amplification(phase: &str, from: Written, until: Written) {
    let sent = (until.sent - from.sent).max(1) as f64;
    let by_process = (until.by_process - from.by_process) as f64 / sent;
    let what = format!("pages made dirty by the process, zeros too / sent, {phase}");
    row(what, format!("{by_process:.2}"));
    let by_disk = from.by_disk.zip(until.by_disk).map(|(from, until)| (until - from) as f64 / sent);
    let what = format!("written by the disk, for everybody / sent, {phase}");
    row(what, by_disk.map_or("not told".to_owned(), |ratio| format!("{ratio:.2}")));
    let what = format!("written by log and compactor / sent, {phase}");
    let told = (until.told.log_and_compactor - from.told.log_and_compactor) as f64;
    judged(what, told / sent, "", Wanted::AtMost(2.5));
    for (what, bytes) in [
        ("indexes of sealed segments", until.told.indexes - from.told.indexes),
        ("snapshots", until.told.snapshots - from.told.snapshots),
    ] {
        let ratio = bytes as f64 / sent;
        row(format!("    {what}, / sent, {phase}"), format!("{} / {ratio:.3}", Size(bytes)));
    }
}
