//! One message in a thousand is never deleted: does it keep the disk full of those that were?

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::BenchError;
use crate::deep::ledger::Ledger;
use crate::deep::report::{self, Wanted, judged, megabytes_per_second, row};
use crate::deep::samples::{Sample, Sampler};
use crate::deep::setup::Setup;
use crate::deep::store::Store;
use crate::deep::turnover::{Turnover, Until};
use crate::size::Size;

const SURVIVES_ONE_IN: u64 = 1000;
const LOOK: Duration = Duration::from_millis(250);

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay bench deep survivors --written-bytes 100MB --segment-bytes 16MiB"
)]
pub(super) struct Survivors {
    /// Bytes of bodies that are sent
    #[arg(long, value_name = "SIZE", default_value = "20GB")]
    written_bytes: Size,
    /// Bytes of a body
    #[arg(long, value_name = "N", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    body: u32,
    /// Seconds for which the disk is looked at after the last ack
    #[arg(long, value_name = "S", default_value_t = 90)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=86_400))]
    watch_seconds: u64,
}

impl Survivors {
    pub(super) async fn run(&self, setup: &Setup) -> Result<(), BenchError> {
        report::head(format_args!(
            "deep survivors: written-bytes={} body={} segment-bytes={} durability=sync",
            self.written_bytes, self.body, setup.segment_bytes
        ));
        let ledger = Arc::<Ledger>::default();
        let mut store = Store::fresh(setup).await?;
        let kept = Some(SURVIVES_ONE_IN);
        let turnover =
            Arc::new(Turnover::new(&store, self.body as usize, kept, Arc::clone(&ledger)).await?);
        let sampler = Sampler::start(&store, &ledger);
        let began = Instant::now();
        turnover.run(&mut store, self.written_bytes.0, 0, Until::Settled).await?;
        let last_ack = Instant::now();
        row("sent, received, acked", megabytes_per_second(ledger.sent(), last_ack - began));
        row("RssAnon, most", Size(store.anonymous_peak));

        let watched = Duration::from_secs(self.watch_seconds);
        while last_ack.elapsed() < watched {
            store.check()?;
            tokio::time::sleep(LOOK).await;
        }
        let samples = sampler.samples()?;
        let live = ledger.live();
        let allowed = live + live / 5 + setup.three_segments();
        let most = samples.iter().map(|sample| sample.disk.allocated).max().unwrap_or(0);
        row("live", Size(live));
        row("disk, most", Size(most));
        let after: Vec<&Sample> = samples.iter().filter(|sample| sample.at >= last_ack).collect();
        for second in (0..=self.watch_seconds).step_by(10) {
            let at = last_ack + Duration::from_secs(second);
            if let Some(sample) = after.iter().find(|sample| sample.at >= at) {
                row(
                    format_args!("disk, {second} s after the last ack"),
                    Size(sample.disk.allocated),
                );
            }
        }
        if let Some(last) = after.last() {
            row("    of the last, files that are deleted and still held", Size(last.disk.deleted));
        }
        report::memory("at the end", store.resident()?);
        let what = format!("disk under 1.2 live + 3 segments ({}) after", Size(allowed));
        // From there on: one look below it is not enough.
        let above = after.iter().rposition(|sample| sample.disk.allocated >= allowed);
        let under = above.map_or(after.first(), |above| after.get(above + 1));
        match under {
            Some(sample) => {
                let seconds = (sample.at - last_ack).as_secs_f64();
                judged(what, seconds, " s", Wanted::AtMost(60.0));
            }
            None => judged(what, f64::INFINITY, " s", Wanted::AtMost(60.0)),
        }
        Ok(())
    }
}
