//! A FIFO queue with many groups beside a standard queue, and what of its order and messages is left
//! when consumers and the server fail.
//!
//! Filling goes in passes: the n-th one sends the n-th message of each group, and the same number of
//! messages to the standard queue. Then consumers fail at random, and the server is killed, until
//! half is gone; the rest is drained in turns from both, undisturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{CreateQueue, DescribeQueue, OutgoingMessage, QueueAttributes, Send};

use crate::BenchError;
use crate::deep::consumers::{Consumers, Failures};
use crate::deep::filling::{BODY_BYTES_MAX, Requests, Senders, check_encoded, send_all};
use crate::deep::ledger_of_groups::GroupLedger;
use crate::deep::marked::{MARK_BYTES, Marked};
use crate::deep::report::{self, Wanted, judged, median, per_second, row, spread};
use crate::deep::setup::Setup;
use crate::deep::store::Store;
use crate::frames::encode;
use crate::wire::ask_once;

const FIFO: &str = "bench.fifo";
const STANDARD: &str = "bench";
/// Long enough that nothing comes back in the undisturbed part, ...
const VISIBILITY_MS: u64 = 600_000;
/// ... and short enough that what a consumer drops comes back soon.
const FAILING_VISIBILITY_MS: u64 = 2_000;
const SENDERS: Senders = Senders { connections: 16, window: 8 };
const SEND_BATCH: u64 = 100;
/// The judge has a byte of memory for each message.
const JUDGED_MAX: u64 = 1_000_000_000;
const RECEIVE_BATCH: u32 = 10;
const LOOK: Duration = Duration::from_millis(50);
/// Whatever fails: after so long without an ack something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench fifo --groups 2000")]
pub(crate) struct Fifo {
    #[command(flatten)]
    setup: Setup,
    /// Groups, at most 10000000
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    groups: u64,
    /// Messages of each group, an even number
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(2..=200))]
    messages: u64,
    /// Consumers, each with a connection
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    consumers: u32,
    /// Bytes of a body
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(MARK_BYTES as i64..=BODY_BYTES_MAX))]
    bytes: u32,
    /// How often the server is killed while consumers fail
    #[arg(long, value_name = "N", default_value_t = 3)]
    kills: u32,
}

impl Fifo {
    pub(super) async fn run(&self) -> Result<(), BenchError> {
        let Self { setup, groups, messages, consumers, bytes, .. } = self;
        check_encoded(format_args!("--groups {groups}"), *groups, *bytes)?;
        if groups * messages > JUDGED_MAX {
            return Err(BenchError::usage(format!(
                "--groups {groups} of --messages {messages} are {} messages, expected at most {JUDGED_MAX}",
                groups * messages
            )));
        }
        report::head(format_args!(
            "fifo: groups={groups} messages={messages} consumers={consumers} bytes={bytes} \
             segment-bytes={} durability=sync",
            setup.segment_bytes
        ));
        let marked = Marked::new(*bytes)?;
        let ledger = Arc::new(GroupLedger::new(*groups, *messages));
        let mut store = Store::fresh(setup).await?;
        for (name, fifo) in [(FIFO, Some(1)), (STANDARD, None)] {
            let visibility_timeout_ms = Some(VISIBILITY_MS);
            let attributes = QueueAttributes { fifo, visibility_timeout_ms, ..Default::default() };
            ask_once(&store.address(), CreateQueue { name: name.to_owned(), attributes }).await?;
        }
        self.fill(&mut store, &marked).await?;
        report::memory("full", store.resident()?);
        self.fail(&mut store, &marked, &ledger).await?;
        self.drain(&mut store, &marked, &ledger).await?;
        ledger.assert_all_acked()?;
        let queue = describe(&store.address()).await?;
        if queue > 0 {
            return Err(BenchError::new(format!("{queue} messages are left in {FIFO}")));
        }
        row("messages, each first delivered in its order, each acked", groups * messages);
        row("    deliveries of messages that had come before", ledger.again());
        report::memory("drained", store.resident()?);
        Ok(())
    }

    /// A pass a message of each group, in turns with as many to the standard queue.
    async fn fill(&self, store: &mut Store, marked: &Marked) -> Result<(), BenchError> {
        let mut rates = [Vec::new(), Vec::new()];
        for pass in 0..self.messages {
            for (rates, queue) in rates.iter_mut().zip([FIFO, STANDARD]) {
                let frames = self.pass(marked, queue, pass)?;
                let count = frames.len() as u64;
                let requests = Requests { frames, count, worth: SEND_BATCH, window: u64::MAX };
                let began = Instant::now();
                send_all(store, SENDERS, requests).await?;
                rates.push(self.groups as f64 / began.elapsed().as_secs_f64());
            }
            report::progress(format_args!("filled {} of {}", pass + 1, self.messages));
        }
        compare("sends", &rates);
        Ok(())
    }

    /// The frames of a pass, made before the clock starts.
    fn pass(&self, marked: &Marked, queue: &str, pass: u64) -> Result<Vec<BytesMut>, BenchError> {
        let groups: Vec<u64> = (0..self.groups).collect();
        let frame = |groups: &[u64]| {
            let message = |group: &u64| {
                let message = OutgoingMessage::new(marked.body(*group, pass));
                match queue == FIFO {
                    true => message
                        .group(format!("group-{group}"))
                        .deduplication(format!("{group}-{pass}")),
                    false => message,
                }
            };
            encode(&Send::new(queue, groups.iter().map(message).collect()).into(), 1)
        };
        groups.chunks(SEND_BATCH as usize).map(frame).collect()
    }

    /// Half of the messages, while consumers fail and the server is killed.
    async fn fail(
        &self,
        store: &mut Store,
        marked: &Marked,
        ledger: &Arc<GroupLedger>,
    ) -> Result<(), BenchError> {
        let quota = self.groups * self.messages / 2;
        let failures = Arc::new(Failures::default());
        let consumers = Arc::new(Consumers {
            queue: FIFO,
            batch: RECEIVE_BATCH,
            visibility_ms: FAILING_VISIBILITY_MS,
            marked: marked.clone(),
            ledger: Some(Arc::clone(ledger)),
            failures: Some(Arc::clone(&failures)),
            address: store.address().into(),
            to_take: AtomicU64::new(quota),
            acked: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let began = Instant::now();
        let mut running = consumers.start(self.consumers);
        let (mut kills, mut progress) = (0, (0, Instant::now()));
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => break,
                    Some(ended) => ended.map_err(|error| BenchError::new(error.to_string()))??,
                },
                _ = look.tick() => {}
            }
            let acked = consumers.acked.load(Ordering::Relaxed);
            if acked > progress.0 {
                progress = (acked, Instant::now());
            } else if progress.1.elapsed() > PATIENCE {
                return Err(BenchError::new(format!("no ack for {PATIENCE:?}, after {acked}")));
            }
            if kills < self.kills
                && acked > quota * u64::from(kills + 1) / u64::from(self.kills + 1)
            {
                kills += 1;
                store.kill()?;
                store.start().await?;
                consumers.moved_to(store.address());
            }
            store.check()?;
            report::progress(format_args!("{acked} of {quota} acked, {kills} kills"));
        }
        // What consumers dropped comes back before the undisturbed part.
        tokio::time::sleep(Duration::from_millis(FAILING_VISIBILITY_MS + 500)).await;
        row("with failures: acked", consumers.acked.load(Ordering::Relaxed));
        let rate = consumers.acked.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        row("    in each second, all waits and restarts included", format!("{rate:.0}"));
        row("    the server was killed and started again", kills);
        for (what, count) in failures.counts() {
            row(format_args!("    {what}"), count);
        }
        Ok(())
    }

    /// What is left, in turns with as much of the standard queue.
    async fn drain(
        &self,
        store: &mut Store,
        marked: &Marked,
        ledger: &Arc<GroupLedger>,
    ) -> Result<(), BenchError> {
        let left = describe(&store.address()).await?;
        let rounds = (self.messages / 2).max(1);
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for (rates, queue) in rates.iter_mut().zip([FIFO, STANDARD]) {
                // The last round of the FIFO queue takes what there is.
                let is_last = queue == FIFO && round == rounds - 1;
                let quota = if is_last { u64::MAX } else { left / rounds };
                let consumers = Arc::new(Consumers {
                    queue,
                    batch: RECEIVE_BATCH,
                    visibility_ms: VISIBILITY_MS,
                    marked: marked.clone(),
                    ledger: (queue == FIFO).then(|| Arc::clone(ledger)),
                    failures: None,
                    address: store.address().into(),
                    to_take: AtomicU64::new(quota),
                    acked: AtomicU64::new(0),
                    is_over: AtomicBool::new(false),
                });
                let began = Instant::now();
                let work = async {
                    let mut running = consumers.start(self.consumers);
                    while let Some(ended) = running.join_next().await {
                        ended.map_err(|error| BenchError::new(error.to_string()))??;
                    }
                    Ok(())
                };
                store.under(&consumers.acked, work).await?;
                let acked = consumers.acked.load(Ordering::Relaxed);
                rates.push(acked as f64 / began.elapsed().as_secs_f64());
            }
            report::progress(format_args!("drained {} of {rounds}", round + 1));
        }
        compare("receive+ack", &rates);
        Ok(())
    }
}

/// Messages in the FIFO queue, in whatever state.
async fn describe(address: &str) -> Result<u64, BenchError> {
    let queue = ask_once(address, DescribeQueue { name: FIFO.to_owned() }).await?.queue;
    Ok(queue.waiting + queue.in_flight + queue.delayed)
}

fn compare(what: &str, [fifo, standard]: &[Vec<f64>; 2]) {
    for (queue, rates) in [("FIFO", fifo), ("standard", standard)] {
        let title = format!("{what}, {queue}, median of {}", rates.len());
        row(title, per_second("messages", median(rates)));
        row("    slowest to fastest", spread(rates));
    }
    let ratio = median(fifo) / median(standard);
    judged(format_args!("{what}, FIFO / standard"), ratio, "", Wanted::AtLeast(0.5));
}
