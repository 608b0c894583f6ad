//! One queue with a great many messages waiting: memory, speed and restart at that depth.
//!
//! Beside it runs a *shallow* store, whose queue has 10,000 messages: receives and acks are measured
//! on both in turns, and both are filled up again after each turn. A third one stays *empty* and is restarted in turns with the deep one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use forebay_protocol::DescribeQueue;

use crate::deep::disk_use::{disk_use, log_bytes_since_snapshot};
use crate::deep::filling::{BODY_BYTES_MAX, Requests, Senders, send_all};
use crate::deep::report::{self, Wanted, judged, median, mib, per_second, row, spread};
use crate::deep::restart::{Restart, median_and_slowest, restart};
use crate::deep::setup::Setup;
use crate::deep::stats;
use crate::deep::store::Store;
use crate::frames::frames_to;
use crate::measure::Measure;
use crate::size::Size;
use crate::wire::ask_once;
use crate::workload::{Kind, QUEUE, Workload};
use crate::{BenchError, drain, queues};

/// How many messages wait in the shallow queue.
const SHALLOW: u32 = 10_000;
/// How many a round receives and acks: the shallow queue is never empty.
const ROUND: u64 = 5000;
const ROUNDS_MIN: u64 = 20;
const ROUNDS_MAX: u64 = 100;
/// Windows at either end of the load whose medians are compared.
const WINDOWS: usize = 5;
const WINDOW_MESSAGES_MAX: u64 = 1_000_000;
const SENDERS: Senders = Senders { connections: 16, window: 8 };
const SEND_BATCH: u32 = 128;
const RECEIVE_BATCH: u32 = 50;
const RECEIVERS: usize = 8;
/// Between a load and a look at memory: what ended with its connections is given back.
const SETTLE: Duration = Duration::from_secs(2);

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench deep backlog --messages 200000")]
pub(super) struct Backlog {
    /// Messages that wait, 50000 or more
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(50_000..))]
    messages: u64,
    /// Bytes of each one's body
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=BODY_BYTES_MAX))]
    bytes: u32,
    /// How often each server is killed and started again
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
}

impl Backlog {
    pub(super) async fn run(&self, setup: &Setup) -> Result<(), BenchError> {
        let Self { messages, bytes, .. } = self;
        report::head(format_args!(
            "deep backlog: messages={messages} bytes={bytes} segment-bytes={} durability=sync",
            setup.segment_bytes
        ));
        let mut deep = Store::fresh(setup).await?;
        queues::create_queue(&deep.address()).await?;
        tokio::time::sleep(SETTLE).await;
        let empty = deep.resident()?;
        report::memory("empty", empty);

        let sent = self.load(&mut deep).await?;
        row("RssAnon, most while loading", Size(deep.anonymous_peak));
        tokio::time::sleep(SETTLE).await;
        let loaded = deep.resident()?;
        report::memory("after the load", loaded);
        let grown = mib(loaded.anonymous.saturating_sub(empty.anonymous));
        judged(
            "RssAnon, after the load, above that of the empty",
            grown,
            " MiB",
            Wanted::AtMost(64.0),
        );
        let disk = disk_use(deep.directory(), deep.id())?;
        row("disk, after the load", Size(disk.allocated));

        let (taken, refilled) = self.receive(setup, &mut deep).await?;
        let waiting = sent + refilled - taken;
        self.restarts(setup, &mut deep, waiting).await
    }

    /// Sends all messages; returns how many there were.
    async fn load(&self, deep: &mut Store) -> Result<u64, BenchError> {
        let worth = u64::from(SEND_BATCH);
        let count = self.messages.div_ceil(worth);
        let window = WINDOW_MESSAGES_MAX.min(self.messages / (2 * WINDOWS as u64));
        let frames = frames_to(QUEUE, SENDERS.window, SEND_BATCH, self.bytes as usize)?;
        let rates = send_all(deep, SENDERS, Requests { frames, count, worth, window }).await?;
        let (first, last) = (rates[0], rates[rates.len() - 1]);
        row(format_args!("sends, first {window}"), per_second("messages", first));
        row(format_args!("sends, last {window}"), per_second("messages", last));
        judged("sends, last / first", last / first, "", Wanted::AtLeast(0.9));
        let ends = [&rates[..WINDOWS], &rates[rates.len() - WINDOWS..]].map(median);
        row(format_args!("sends, median of the first {WINDOWS}"), per_second("messages", ends[0]));
        row(format_args!("sends, median of the last {WINDOWS}"), per_second("messages", ends[1]));
        judged("sends, last / first of the medians", ends[1] / ends[0], "", Wanted::AtLeast(0.9));
        row(format_args!("sends, all {} windows, slowest to fastest", rates.len()), spread(&rates));
        Ok(count * worth)
    }

    /// Receives and acks from the deep queue and a shallow one, in turns; returns how many messages
    /// were taken from the deep one, and how many it got back.
    async fn receive(&self, setup: &Setup, deep: &mut Store) -> Result<(u64, u64), BenchError> {
        let mut shallow = Store::fresh(setup).await?;
        queues::create_queue(&shallow.address()).await?;
        drain::fill(&shallow.address(), &self.draining(), SHALLOW).await?;
        let rounds = (self.messages / (4 * ROUND)).clamp(ROUNDS_MIN, ROUNDS_MAX);
        let (mut at_depth, mut beside) = (Vec::new(), Vec::new());
        let (mut taken, mut refilled) = (0, 0);
        for _ in 0..rounds {
            let (found, _) = self.round(&mut shallow).await?;
            beside.push(found.messages_per_second());
            let (found, back) = self.round(deep).await?;
            at_depth.push(found.messages_per_second());
            taken += found.messages;
            refilled += back;
        }
        for (depth, rates) in [(u64::from(SHALLOW), &beside), (self.messages, &at_depth)] {
            let what = format!("receive+ack, {depth} deep, median of {rounds} times {ROUND}");
            row(what, per_second("messages", median(rates)));
            row("    slowest to fastest", spread(rates));
        }
        let ratio = median(&at_depth) / median(&beside);
        judged("receive+ack, deep / shallow", ratio, "", Wanted::AtLeast(0.8));
        tokio::time::sleep(SETTLE).await;
        report::memory("deep, after these", deep.resident()?);
        report::memory("shallow, after these", shallow.resident()?);
        Ok((taken, refilled))
    }

    /// Takes a round from a queue, and then fills it up again, which is not measured; returns what
    /// was taken and how many messages were put back.
    async fn round(&self, store: &mut Store) -> Result<(Measure, u64), BenchError> {
        let workload = self.draining();
        let address = store.address();
        let round = async {
            let batches = ROUND / u64::from(RECEIVE_BATCH);
            let found = drain::drain_some(&address, &workload, batches).await?;
            let back = drain::fill(&address, &workload, found.messages as u32).await?;
            Ok((found, back))
        };
        store.under(&AtomicU64::new(0), round).await
    }

    fn draining(&self) -> Workload {
        let (kind, bytes) = (Kind::Drain { messages: SHALLOW }, self.bytes as usize);
        Workload::plain(kind, RECEIVE_BATCH, bytes, RECEIVERS, 1)
    }

    /// Kills and restarts the deep server and an empty one, in turns.
    async fn restarts(
        &self,
        setup: &Setup,
        deep: &mut Store,
        waiting: u64,
    ) -> Result<(), BenchError> {
        let mut empty = Store::fresh(setup).await?;
        queues::create_queue(&empty.address()).await?;
        let (mut at_depth, mut beside) = (Vec::new(), Vec::new());
        let (mut replayed, mut entries) = (0, 0);
        for _ in 0..self.kills {
            replayed = replayed.max(log_bytes_since_snapshot(deep.directory())?);
            entries = entries.max(stats::entries_since_snapshot(&deep.address()).await?);
            let found = restart(deep, QUEUE).await?;
            if found.messages == 0 {
                return Err(BenchError::new("after a restart the queue was empty"));
            }
            at_depth.push(found);
            beside.push(restart(&mut empty, QUEUE).await?);
        }
        for (what, restarts) in [("empty", &beside), ("deep", &at_depth)] {
            let times = |time: fn(&Restart) -> Duration| {
                let (median, slowest) = median_and_slowest(restarts, time);
                format!("{:.3} / {:.3} s", median.as_secs_f64(), slowest.as_secs_f64())
            };
            let what = format!("{what}, killed {} times, median / slowest", self.kills);
            row(format_args!("{what}, until listening"), times(|one| one.listening));
            row(format_args!("{what}, until received"), times(|one| one.received));
        }
        row("log behind the newest snapshot, at most", Size(replayed));
        row("    entries, as the server tells", entries);
        let allowed = 2.0 + mib(replayed) / 256.0;
        let (median, _) = median_and_slowest(&at_depth, |one| one.received);
        judged("deep, until received", median.as_secs_f64(), " s", Wanted::AtMost(allowed));
        report::memory("deep, restarted", deep.resident()?);

        let describe = DescribeQueue { name: QUEUE.to_owned() };
        let queue = ask_once(&deep.address(), describe).await?.queue;
        let found = queue.waiting + queue.in_flight + queue.delayed;
        if found != waiting {
            let text = format!("{found} messages are in the queue, expected {waiting}");
            return Err(BenchError::new(text));
        }
        row("messages in the queue, as expected", found);
        Ok(())
    }
}
