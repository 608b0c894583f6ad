//! The report: a table for people, and an object a workload for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::measure::Measure;
use crate::workload::Workload;

/// What was found about one workload.
#[derive(Debug)]
pub struct Row {
    workload: String,
    pub(crate) forebay: Vec<Measure>,
    pub(crate) bare: Vec<Measure>,
    /// Of subscriptions: the same messages, received, in turns with the others.
    pub(crate) asked_for: Vec<Measure>,
    pub(crate) beside: Option<Beside>,
    pub(crate) messages_per_sync: Option<f64>,
}

/// What a lone sender's latency is told beside.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) frame_bytes: usize,
    pub(crate) sync: Measure,
    pub(crate) ping: Measure,
}

/// A row as JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    workload: String,
    messages_per_second: f64,
    share_of_limit: f64,
    latency_us: Latency,
    spread: Spread,
    limit: Limit,
    /// The same messages by receives, which subscriptions are told beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_ack: Option<Limit>,
    /// The bytes of a request, which one sync of a file is measured with.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fdatasync_us: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ping_us: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_per_sync: Option<f64>,
}

/// The figures of what a workload is told beside.
#[derive(Debug, Serialize)]
struct Limit {
    messages_per_second: f64,
    latency_us: Latency,
    spread: Spread,
}

/// Percentiles over all rounds together.
#[derive(Debug, Clone, Copy, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// The slowest and the fastest round, in messages a second.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    max: f64,
}

impl Row {
    pub(crate) fn new(workload: &Workload) -> Self {
        let (forebay, bare, asked_for) = Default::default();
        let workload = workload.to_string();
        Self { workload, forebay, bare, asked_for, beside: None, messages_per_sync: None }
    }

    /// The row's figures: medians over the rounds, latencies of all rounds together.
    pub fn report(&self) -> Report {
        let (median, spread) = rates(&self.forebay);
        let limit = Limit::of(&self.bare);
        Report {
            workload: self.workload.clone(),
            messages_per_second: median,
            share_of_limit: median / limit.messages_per_second,
            latency_us: latency(&self.forebay),
            spread,
            limit,
            receive_ack: (!self.asked_for.is_empty()).then(|| Limit::of(&self.asked_for)),
            frame_bytes: self.beside.as_ref().map(|beside| beside.frame_bytes),
            fdatasync_us: self.beside.as_ref().map(|beside| latency([&beside.sync])),
            ping_us: self.beside.as_ref().map(|beside| latency([&beside.ping])),
            messages_per_sync: self.messages_per_sync,
        }
    }
}

impl Limit {
    fn of(runs: &[Measure]) -> Self {
        let (messages_per_second, spread) = rates(runs);
        Self { messages_per_second, latency_us: latency(runs), spread }
    }
}

impl Report {
    /// The heads of the columns.
    pub fn heads() -> String {
        let (rate, limit, latency) =
            ("messages/s (min..max)", "limit (min..max)", "p50/p99/p99.9 us");
        format!("{:<88} {rate:>26} {limit:>26} {:>6} {latency:>22}", "workload", "share")
    }

    /// The row as a line of the table; a lone sender and subscriptions have more below.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:<88} {:>26} {:>26} {:>6.2} {:>22}",
            self.workload,
            rate(self.messages_per_second, self.spread),
            rate(self.limit.messages_per_second, self.limit.spread),
            self.share_of_limit,
            self.latency_us.to_string(),
        );
        let mut below = |what: &str, value: String| {
            // Writing to a text cannot fail.
            let _ = write!(line, "\n    {what:<34} {value}");
        };
        if let (Some(bytes), Some(sync), Some(ping)) =
            (self.frame_bytes, self.fdatasync_us, self.ping_us)
        {
            below(&format!("write {bytes} bytes + fdatasync, us"), sync.to_string());
            below("one ping, us", ping.to_string());
            below("the bare server, us", self.limit.latency_us.to_string());
        }
        if let Some(receive_ack) = &self.receive_ack {
            let seen = rate(receive_ack.messages_per_second, receive_ack.spread);
            below("receive+ack of the same, messages/s", seen);
        }
        if let Some(messages) = self.messages_per_sync {
            below("messages per fdatasync", format!("{messages:.1}"));
        }
        line
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}/{:.0}/{:.0}", self.p50, self.p99, self.p999)
    }
}

fn rate(median: f64, spread: Spread) -> String {
    format!("{median:.0} ({:.0}..{:.0})", spread.min, spread.max)
}

fn rates(runs: &[Measure]) -> (f64, Spread) {
    let mut rates: Vec<f64> = runs.iter().map(Measure::messages_per_second).collect();
    rates.sort_by(f64::total_cmp);
    let at = |index: usize| rates.get(index).copied().unwrap_or(f64::NAN);
    let last = rates.len().saturating_sub(1);
    let median = (at(last / 2) + at(last.div_ceil(2))) / 2.0;
    (median, Spread { min: at(0), max: at(last) })
}

fn latency<'m>(runs: impl IntoIterator<Item = &'m Measure>) -> Latency {
    let mut all = Measure::new();
    runs.into_iter().for_each(|run| all.add(run));
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| all.latency_us(quantile));
    Latency { p50, p99, p999 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::workload;

    fn run(messages: u64) -> Measure {
        let mut run = Measure::new();
        run.took = Duration::from_secs(1);
        (0..messages).for_each(|_| run.note(1, Duration::from_micros(100)));
        run
    }

    #[test]
    fn a_report_has_medians_their_share_and_the_spread() {
        let mut row = Row::new(&workload::all()[0]);
        row.forebay = vec![run(30), run(10), run(20)];
        row.bare = vec![run(50), run(40), run(30)];
        let json = serde_json::to_value(row.report()).unwrap();
        assert_eq!(json["messages_per_second"], 20.0);
        assert_eq!(json["share_of_limit"], 0.5);
        assert_eq!(json["spread"], serde_json::json!({"min": 10.0, "max": 30.0}));
        assert!((json["latency_us"]["p99"].as_f64().unwrap() - 100.0).abs() < 1.0);
    }
}
