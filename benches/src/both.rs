//! Sends, deliveries and acks at once, and steadily: the queue does not grow.
//!
//! As many connections consume, by subscriptions, as send. In a closed loop who sends waits as soon as a
//! number of messages is on its way, so the rate is what the slower side can do, and the depth of the queue
//! is bounded. At a given rate nobody waits; whether the queue grew shows in its depth at both ends.
//! A message counts when its ack is answered.

use std::sync::Arc;
use std::time::Duration;

use crate::journeys::Journeys;
use crate::measure::Measure;
use crate::outstanding::Outstanding;
use crate::pace::Pace;
use crate::send::{Watched, join, senders};
use crate::subscribe::{Consumed, subscribers};
use crate::workload::Workload;
use crate::{BenchError, queues};

/// Messages on their way, for each that may be in an unanswered send.
const ON_THEIR_WAY: u32 = 8;
/// Batches that a consumer has credits for at least: it is not to wait for its own acks.
const CREDIT_BATCHES: usize = 16;
/// When nothing is sent any more, whatever is on its way comes in this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one run found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Messages that were acked, with the latencies of sends.
    pub(crate) measure: Measure,
    /// From when a message was sent, or due, until it was delivered, of all that were sent, or due, in the
    /// time that counts; not of the bare server.
    pub(crate) end_to_end: Option<Measure>,
    /// Messages sent and not acked; not of the bare server.
    pub(crate) depth: Option<Depth>,
}

/// Messages that were in the queue.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Depth {
    /// When the run began to count.
    pub(crate) start: u64,
    /// When it ended.
    pub(crate) end: u64,
    /// What senders were held up at; `None` at a given rate.
    pub(crate) max: Option<u32>,
}

/// Runs the workload for a time. The bare server knows neither numbers nor depths.
pub(crate) async fn both(
    address: &str,
    workload: &Workload,
    counted: Duration,
    is_bare: bool,
) -> Result<Found, BenchError> {
    let unanswered = workload.batch as usize * workload.window * workload.connections;
    let max = u32::try_from(unanswered).unwrap_or(u32::MAX).saturating_mul(ON_THEIR_WAY);
    let max = workload.rate.is_none().then_some(max);
    let outstanding = Arc::new(Outstanding::coming(max));
    let known = match is_bare {
        true => Vec::new(),
        false => queues::describe(address, workload).await?,
    };
    let next = known.iter().map(|queue| (queue.queue_id, queue.next_seq));
    let journeys = (!is_bare).then(|| Arc::new(Journeys::new(next)));
    let watched =
        Watched { outstanding: Some(Arc::clone(&outstanding)), journeys: journeys.clone() };
    let sending = senders(address, workload, &watched).await?;
    let consumed = Consumed { outstanding: Arc::clone(&outstanding), journeys: journeys.clone() };
    let consumers = Workload { window: workload.window.max(CREDIT_BATCHES), ..*workload };
    let consuming = subscribers(address, &consumers, &consumed).await?;
    let pace = Pace::start(counted);
    let sending = sending.into_iter().map(|sender| sender.run(pace));
    let consuming = consuming.into_iter().map(|subscriber| subscriber.run(pace));
    let sending = async {
        let sent = join(sending).await?;
        outstanding.close();
        let mut ended = outstanding.ended();
        let came = tokio::time::timeout(PATIENCE, ended.wait_for(|ended| *ended)).await;
        came.map_err(|_| {
            let left = outstanding.count();
            BenchError::new(format!("{left} messages were sent, and did not come within a minute"))
        })?
        .map_err(|error| BenchError::new(error.to_string()))?;
        Ok::<_, BenchError>(sent)
    };
    let depth = async {
        if is_bare {
            return Ok(None);
        }
        tokio::time::sleep_until(pace.from().into()).await;
        let start = queues::depth(address, workload).await?;
        tokio::time::sleep_until(pace.until().into()).await;
        let end = queues::depth(address, workload).await?;
        Ok(Some(Depth { start, end, max }))
    };
    let (sent, gone, depth) = tokio::try_join!(sending, join(consuming), depth)?;
    let measure = gone.with_latencies_of(sent);
    Ok(Found { measure, end_to_end: journeys.map(|journeys| journeys.found()), depth })
}
