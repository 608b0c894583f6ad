//! Many queues with a few messages each: memory, restart, and sends spread over all of them.

use std::time::Duration;

use bytes::BytesMut;
use forebay_protocol::{CreateQueue, DescribeQueue, QueueAttributes};

use crate::BenchError;
use crate::deep::disk_use::disk_use;
use crate::deep::filling::{BODY_BYTES_MAX, Requests, Senders, check_encoded, send_all};
use crate::deep::report::{self, Wanted, judged, median, mib, per_second, row, spread};
use crate::deep::restart::{median_and_slowest, restart};
use crate::deep::setup::Setup;
use crate::deep::store::Store;
use crate::frames::{encode, frames_to};
use crate::size::Size;
use crate::wire::Wire;

const SENDERS: Senders = Senders { connections: 16, window: 16 };
const BATCH: u64 = 10;
const ROUND_REQUESTS_MAX: u64 = 50_000;
const SETTLE: Duration = Duration::from_secs(2);
/// How many queues are asked for their messages after the restarts.
const ASKED: u64 = 100;

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench deep queues --queues 1000 --messages 100")]
pub(super) struct Queues {
    /// How many queues
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..1_000_000))]
    queues: u64,
    /// Messages in each, in steps of 10
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    messages: u64,
    /// Bytes of each one's body
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=BODY_BYTES_MAX))]
    bytes: u32,
    /// How often the server is killed and started again
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Rounds of sends into one queue and over all
    #[arg(long, value_name = "N", default_value_t = 7)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

impl Queues {
    pub(super) async fn run(&self, setup: &Setup) -> Result<(), BenchError> {
        let Self { queues, messages, bytes, .. } = self;
        let options = format_args!("{BATCH} messages for each of --queues {queues}");
        check_encoded(options, BATCH * queues, *bytes)?;
        report::head(format_args!(
            "deep queues: queues={queues} messages={messages} bytes={bytes} batch={BATCH} \
             segment-bytes={} durability=sync",
            setup.segment_bytes
        ));
        let mut store = Store::fresh(setup).await?;
        tokio::time::sleep(SETTLE).await;
        report::memory("empty", store.resident()?);
        self.create(&mut store).await?;
        report::memory("with the queues", store.resident()?);

        let each = messages.div_ceil(BATCH);
        let spread_over_all = self.spread_frames()?;
        let filled = self.send(&mut store, &spread_over_all, queues * each).await?;
        row("sends, while filling", per_second("messages", filled));
        row("RssAnon, most while filling", Size(store.anonymous_peak));
        tokio::time::sleep(SETTLE).await;
        let full = store.resident()?;
        report::memory("full", full);
        judged("RssAnon, full", mib(full.anonymous), " MiB", Wanted::AtMost(256.0));
        row("disk, full", Size(disk_use(store.directory(), store.id())?.allocated));

        self.restarts(&mut store, each * BATCH).await?;
        self.compare(&mut store, &spread_over_all, each).await
    }

    /// Creates all queues, and the one that takes rounds alone.
    async fn create(&self, store: &mut Store) -> Result<(), BenchError> {
        let frames = (0..=self.queues).map(|number| {
            let attributes = QueueAttributes::default();
            encode(&CreateQueue { name: name(number), attributes }.into(), 1)
        });
        let frames: Vec<BytesMut> = frames.collect::<Result<_, _>>()?;
        let count = frames.len() as u64;
        let requests = Requests { frames, count, worth: 1, window: count };
        let rates = send_all(store, SENDERS, requests).await?;
        row("queues created", per_second("queues", rates[0]));
        Ok(())
    }

    /// A frame for each queue.
    fn spread_frames(&self) -> Result<Vec<BytesMut>, BenchError> {
        let mut frames = Vec::new();
        for number in 0..self.queues {
            frames.append(&mut frames_to(&name(number), 1, BATCH as u32, self.bytes as usize)?);
        }
        Ok(frames)
    }

    /// Sends so many requests; returns messages a second.
    async fn send(
        &self,
        store: &mut Store,
        frames: &[BytesMut],
        count: u64,
    ) -> Result<f64, BenchError> {
        let frames = frames.to_vec();
        let requests = Requests { frames, count, worth: BATCH, window: count * BATCH };
        Ok(send_all(store, SENDERS, requests).await?[0])
    }

    async fn restarts(&self, store: &mut Store, each: u64) -> Result<(), BenchError> {
        let mut restarts = Vec::new();
        for kill in 0..self.kills {
            let queue = name(u64::from(kill) * (self.queues - 1) / u64::from(self.kills));
            let found = restart(store, &queue).await?;
            if found.messages == 0 {
                return Err(BenchError::new(format!("after a restart {queue} was empty")));
            }
            restarts.push(found);
        }
        let (median, slowest) = median_and_slowest(&restarts, |one| one.received);
        let what = format!("killed {} times, until received", self.kills);
        row(format_args!("{what}, slowest"), format!("{:.3} s", slowest.as_secs_f64()));
        let median = median.as_secs_f64();
        judged(format_args!("{what}, median"), median, " s", Wanted::AtMost(3.0));
        report::memory("restarted", store.resident()?);

        let mut wire = Wire::connect(&store.address()).await?;
        for asked in 0..ASKED.min(self.queues) {
            let queue = name(asked * self.queues / ASKED.min(self.queues));
            let info = wire.ask(DescribeQueue { name: queue.clone() }).await?.queue;
            let found = info.waiting + info.in_flight + info.delayed;
            if found != each {
                let text = format!("{found} messages are in {queue}, expected {each}");
                return Err(BenchError::new(text));
            }
        }
        row("messages in each of the queues asked, as expected", each);
        Ok(())
    }

    /// Rounds of sends into one queue and over all of them, in turns.
    async fn compare(
        &self,
        store: &mut Store,
        spread_over_all: &[BytesMut],
        each: u64,
    ) -> Result<(), BenchError> {
        // As many frames, and so as many bytes, as there are queues: the load's own memory is read
        // in the same way.
        let (one, frames, bytes) = (name(self.queues), self.queues as usize, self.bytes as usize);
        let into_one = frames_to(&one, frames, BATCH as u32, bytes)?;
        let count = ROUND_REQUESTS_MAX.max(self.queues).min(self.queues * each);
        let (mut one, mut all) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            one.push(self.send(store, &into_one, count).await?);
            all.push(self.send(store, spread_over_all, count).await?);
        }
        for (what, rates) in [("into one queue", &one), ("over all", &all)] {
            let rounds = format!("median of {} times {}", self.rounds, count * BATCH);
            row(format_args!("sends {what}, {rounds}"), per_second("messages", median(rates)));
            row("    slowest to fastest", spread(rates));
        }
        let ratio = median(&all) / median(&one);
        judged("sends, over all / into one", ratio, "", Wanted::AtLeast(0.7));
        report::memory("after these", store.resident()?);
        Ok(())
    }
}

/// All names are of one length, and so are all frames.
fn name(number: u64) -> String {
    format!("queue-{number:06}")
}
