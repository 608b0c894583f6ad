//! The report: a table for people, and an object a workload for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::BenchError;
use crate::both::{Depth, Found};
use crate::machine::Machine;
use crate::measure::Measure;
use crate::probe::Probe;
use crate::workload::Workload;

/// What was found about one workload: every run.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Of a workload over TCP.
    pub(crate) workload: Option<Workload>,
    /// Of another: what it is, in words that follow "with".
    pub(crate) words: String,
    /// Whether latencies count from when sends were due.
    is_open: bool,
    pub(crate) forebay: Vec<Measure>,
    pub(crate) bare: Vec<Measure>,
    /// Of subscriptions: the same messages, received, in turns with the others.
    pub(crate) asked_for: Vec<Measure>,
    /// Of sends, deliveries and acks at once: what else was found.
    pub(crate) both: Vec<Found>,
    pub(crate) probe: Option<Probe>,
    pub(crate) messages_per_sync: Option<f64>,
}

/// A row's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Reported {
    pub(crate) workload: String,
    pub(crate) messages_per_second: f64,
    pub(crate) share_of_limit: f64,
    pub(crate) latency_us: Latency,
    pub(crate) spread: Spread,
    pub(crate) limit: Limit,
    /// `closed`: a request follows an answer. `open`: requests are due at a rate, and latencies count
    /// from then.
    #[serde(rename = "loop")]
    pub(crate) kind_of_loop: &'static str,
    pub(crate) rounds: usize,
    /// At a given rate: messages that were due in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due_per_second: Option<u32>,
    /// At a given rate: requests that were due and not answered 10 s after the end of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unanswered: Option<u64>,
    /// The same messages by receives, which subscriptions are told beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receive_ack: Option<Limit>,
    /// From when a message was sent, or due, until it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_to_end_us: Option<Latency>,
    /// Messages in the queue, of each round.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) depth: Vec<Depth>,
    #[serde(flatten)]
    pub(crate) lone: Option<Lone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages_per_sync: Option<f64>,
}

/// What a lone sender's latency is told beside.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Lone {
    /// The bytes of a request, which one sync of a file is measured with.
    pub(crate) frame_bytes: usize,
    pub(crate) fdatasync_us: Latency,
    /// A ping to the bare server.
    pub(crate) round_trip_us: Latency,
    /// A ping to Forebay.
    pub(crate) ping_us: Latency,
}

/// The figures of what a workload is told beside.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Limit {
    pub(crate) messages_per_second: f64,
    pub(crate) latency_us: Latency,
    pub(crate) spread: Spread,
}

/// Percentiles over all rounds together.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// The least and the greatest of some figures: of rates, the slowest and the fastest round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// An object of `--json`: the figures, and where they were seen.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(flatten)]
    reported: &'r Reported,
    machine: &'r Machine,
}

impl Row {
    pub(crate) fn new(workload: &Workload) -> Self {
        let is_open = workload.rate.is_some();
        Self {
            workload: Some(*workload),
            is_open,
            ..Self::named(workload.to_string(), String::new())
        }
    }

    /// A row that is no workload over TCP, in a closed loop.
    pub(crate) fn named(name: String, words: String) -> Self {
        let (forebay, bare, asked_for, both) = Default::default();
        let (probe, messages_per_sync) = (None, None);
        Self {
            name,
            workload: None,
            words,
            is_open: false,
            forebay,
            bare,
            asked_for,
            both,
            probe,
            messages_per_sync,
        }
    }

    /// The row's figures: medians over the rounds, latencies of all rounds together.
    pub(crate) fn report(&self) -> Reported {
        let (median, spread) = rates(&self.forebay);
        let limit = Limit::of(&self.bare);
        let all = together(&self.forebay);
        let journeys: Vec<&Measure> =
            self.both.iter().filter_map(|found| found.end_to_end.as_ref()).collect();
        Reported {
            workload: self.name.clone(),
            messages_per_second: median,
            share_of_limit: median / limit.messages_per_second,
            latency_us: Latency::of(&all),
            spread,
            limit,
            kind_of_loop: if self.is_open { "open" } else { "closed" },
            rounds: self.forebay.len(),
            due_per_second: self.workload.and_then(|workload| workload.rate),
            unanswered: self.is_open.then_some(all.unanswered),
            receive_ack: (!self.asked_for.is_empty()).then(|| Limit::of(&self.asked_for)),
            end_to_end_us: (!journeys.is_empty()).then(|| Latency::of(&together(journeys))),
            depth: self.both.iter().filter_map(|found| found.depth).collect(),
            lone: self.probe.as_ref().map(Lone::of),
            messages_per_sync: self.messages_per_sync,
        }
    }

    /// The run whose rate is the median, or next to it.
    pub(crate) fn middle(runs: &[Measure]) -> Option<&Measure> {
        let mut sorted: Vec<&Measure> = runs.iter().collect();
        sorted.sort_by(|a, b| a.messages_per_second().total_cmp(&b.messages_per_second()));
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

impl Lone {
    fn of(probe: &Probe) -> Self {
        Self {
            frame_bytes: probe.bytes(),
            fdatasync_us: Latency::of(&probe.sync),
            round_trip_us: Latency::of(&probe.round_trip),
            ping_us: Latency::of(&probe.ping),
        }
    }

    /// What a send takes at p50 besides one sync and one round trip.
    pub(crate) fn rest_us(&self, send: Latency) -> f64 {
        send.p50 - self.fdatasync_us.p50 - self.round_trip_us.p50
    }
}

impl Limit {
    fn of(runs: &[Measure]) -> Self {
        let (messages_per_second, spread) = rates(runs);
        Self { messages_per_second, latency_us: Latency::of(&together(runs)), spread }
    }
}

impl Latency {
    pub(crate) fn of(measure: &Measure) -> Self {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| measure.latency_us(quantile));
        Self { p50, p99, p999 }
    }
}

impl Reported {
    /// Whether as many messages were answered as were due; one in a hundred may be on its way at the end.
    pub(crate) fn is_kept_up_with(&self) -> bool {
        let due = self.due_per_second.map_or(0.0, f64::from);
        self.unanswered.unwrap_or(0) == 0 && self.messages_per_second >= 0.99 * due
    }

    /// Whether requests were due at a given rate.
    pub(crate) fn is_open(&self) -> bool {
        self.unanswered.is_some()
    }

    /// The heads of the columns.
    pub(crate) fn heads() -> String {
        let (rate, limit, latency) =
            ("messages/s (min..max)", "limit (min..max)", "p50/p99/p99.9 us");
        format!("{:<88} {rate:>26} {limit:>26} {:>6} {latency:>22}", "workload", "share")
    }

    /// The row as a line of the table; some have more below.
    pub(crate) fn line(&self) -> String {
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
            let _ = write!(line, "\n    {what:<38} {value}");
        };
        if let Some(unanswered) = self.unanswered {
            below(
                "open loop: latencies from when due",
                match unanswered {
                    0 if self.is_kept_up_with() => "the rate was kept up with".to_owned(),
                    0 => "the rate was not kept up with: fewer were answered than due".to_owned(),
                    _ => format!("{unanswered} requests were not answered 10 s after the end"),
                },
            );
        }
        if let Some(lone) = &self.lone {
            let bytes = lone.frame_bytes;
            below(&format!("write {bytes} bytes + fdatasync, us"), lone.fdatasync_us.to_string());
            below("TCP round trip (ping, bare server), us", lone.round_trip_us.to_string());
            below("send, us", self.latency_us.to_string());
            let rest = lone.rest_us(self.latency_us);
            below("p50 of a send without these two, us", format!("{rest:.0}"));
            below("send to the bare server, us", self.limit.latency_us.to_string());
            below("ping to Forebay, us", lone.ping_us.to_string());
        }
        if let Some(receive_ack) = &self.receive_ack {
            let seen = rate(receive_ack.messages_per_second, receive_ack.spread);
            below("receive+ack of the same, messages/s", seen);
        }
        if let Some(latency) = self.end_to_end_us {
            below("end to end, us", latency.to_string());
        }
        if !self.depth.is_empty() {
            let depths: Vec<String> = self.depth.iter().map(Depth::to_string).collect();
            below("depth at start and end, each round", depths.join(", "));
        }
        if let Some(messages) = self.messages_per_sync {
            below("messages per fdatasync", format!("{messages:.1}"));
        }
        line
    }

    /// The row as an object.
    pub(crate) fn json(&self, machine: &Machine) -> Result<String, BenchError> {
        let line = Line { reported: self, machine };
        serde_json::to_string(&line).map_err(|error| BenchError::new(error.to_string()))
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}/{:.0}/{:.0}", self.p50, self.p99, self.p999)
    }
}

impl std::fmt::Display for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.start, self.end)?;
        match self.max {
            Some(max) => write!(f, " (at most {max})"),
            None => Ok(()),
        }
    }
}

fn rate(median: f64, spread: Spread) -> String {
    format!("{median:.0} ({:.0}..{:.0})", spread.min, spread.max)
}

/// The median of the runs' rates, and between what they lie.
pub(crate) fn rates(runs: &[Measure]) -> (f64, Spread) {
    let rates: Vec<f64> = runs.iter().map(Measure::messages_per_second).collect();
    median_and_spread(&rates)
}

/// The middle of some figures. NaN if there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    median_and_spread(figures).0
}

/// The middle of some figures, of two their mean, and between what they lie. NaN if there are none.
pub(crate) fn median_and_spread(figures: &[f64]) -> (f64, Spread) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let last = sorted.len().saturating_sub(1);
    let median = (at(last / 2) + at(last.div_ceil(2))) / 2.0;
    (median, Spread { min: at(0), max: at(last) })
}

/// All runs as one: for its latencies.
pub(crate) fn together<'m>(runs: impl IntoIterator<Item = &'m Measure>) -> Measure {
    let mut all = Measure::new();
    runs.into_iter().for_each(|run| all.add(run));
    all
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::workload::Kind;

    pub(crate) fn run(messages: u64) -> Measure {
        let mut run = Measure::new();
        run.took = Duration::from_secs(1);
        (0..messages).for_each(|_| run.note(1, Duration::from_micros(100)));
        run
    }

    /// A row with three rounds: 20 messages a second of at most 40.
    pub(crate) fn row(workload: &Workload) -> Row {
        let mut row = Row::new(workload);
        row.forebay = vec![run(30), run(10), run(20)];
        row.bare = vec![run(50), run(40), run(30)];
        row
    }

    fn json(row: &Row) -> serde_json::Value {
        let machine = Machine::of(Path::new("."));
        serde_json::from_str(&row.report().json(&machine).unwrap()).unwrap()
    }

    const SEND: Workload = Workload::plain(Kind::Send, 10, 1024, 16, 1);

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_report_has_medians_their_share_and_the_spread() {
        let json = json(&row(&SEND));
        assert_eq!(json["workload"], SEND.to_string());
        assert_eq!(json["messages_per_second"], 20.0);
        assert_eq!(json["share_of_limit"], 0.5);
        assert_eq!(json["spread"], serde_json::json!({"min": 10.0, "max": 30.0}));
        assert_eq!(json["limit"]["messages_per_second"], 40.0);
        assert!((json["latency_us"]["p99"].as_f64().unwrap() - 100.0).abs() < 1.0);
        assert_eq!((&json["loop"], &json["rounds"]), (&"closed".into(), &3.into()));
        assert!(json["machine"]["kernel"].as_str().unwrap().starts_with("Linux"));
        for absent in ["unanswered", "receive_ack", "end_to_end_us", "depth", "fdatasync_us"] {
            assert!(json.get(absent).is_none(), "{absent} is of other workloads");
        }
    }

    #[test]
    fn a_report_at_a_given_rate_says_so_and_whether_it_was_kept_up_with() {
        let mut row = row(&Workload { rate: Some(20), ..SEND });
        assert_eq!(json(&row)["loop"], "open");
        assert_eq!(json(&row)["unanswered"], 0);
        assert!(row.report().line().contains("was kept up with"));
        row.workload = Some(Workload { rate: Some(40), ..SEND });
        assert!(row.report().line().contains("fewer were answered than due"));
        row.forebay[1].unanswered = 7;
        assert_eq!(json(&row)["unanswered"], 7);
        assert!(row.report().line().contains("7 requests were not answered"));
    }

    #[test]
    fn a_report_of_all_at_once_has_the_way_from_end_to_end_and_the_depth() {
        let mut row = row(&Workload { kind: Kind::Both, ..SEND });
        let depth = Depth { start: 5, end: 7, max: Some(1280) };
        let end_to_end = Some(run(10));
        row.both = vec![Found { measure: run(10), end_to_end, depth: Some(depth) }];
        let json = json(&row);
        assert_eq!(json["depth"], serde_json::json!([{"start": 5, "end": 7, "max": 1280}]));
        assert!((json["end_to_end_us"]["p50"].as_f64().unwrap() - 100.0).abs() < 1.0);
        assert!(row.report().line().contains("5 to 7 (at most 1280)"));
    }
}
