//! What a sender with nobody beside it sees of the server's own work, round by round.
//!
//! Each send belongs to what the server was at between the time when it was due and its answer: the
//! compactor, else a snapshot, else nothing. All three come from the same seconds of the same run, so a
//! machine that is slow for a while is slow for all of them.

use std::time::{Duration, Instant};

use crate::deep::paced::Answered;
use crate::deep::report::{Wanted, judged, median, row};
use crate::deep::samples::{Sample, compacted};
use crate::measure::Measure;

/// A snapshot is told of when it is there. It counts as being written for so long before.
const SNAPSHOT: Duration = Duration::from_secs(1);
/// A p99 of fewer sends is none.
const SENDS_MIN: u64 = 500;
/// Nor is one of a second with fewer.
const SECOND_SENDS_MIN: usize = 400;

/// What the server was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Compacting,
    Snapshot,
    Nothing,
}

/// Latencies, by what the server was at.
#[derive(Debug)]
pub(super) struct Latencies {
    compacting: Measure,
    snapshot: Measure,
    nothing: Measure,
}

impl Latencies {
    /// Sorts what was answered by what the looks say.
    pub(super) fn of(samples: &[Sample], answered: &[Answered]) -> Self {
        let [compacting, snapshot, nothing] = std::array::from_fn(|_| Measure::new());
        let mut found = Self { compacting, snapshot, nothing };
        for Answered { due, at } in answered.iter().copied() {
            let part = match work(samples, due, at) {
                Work::Compacting => &mut found.compacting,
                Work::Snapshot => &mut found.snapshot,
                Work::Nothing => &mut found.nothing,
            };
            part.note(1, at.saturating_duration_since(due));
        }
        found
    }

    /// The p99 while it compacts by that of when it does nothing; `None` if one of them is of too few.
    fn ratio(&self) -> Option<f64> {
        let is_enough = self.compacting.messages.min(self.nothing.messages) >= SENDS_MIN;
        is_enough.then(|| self.compacting.latency_us(0.99) / self.nothing.latency_us(0.99))
    }

    fn report(&self, whose: &str) {
        for (what, part) in [
            ("compacting", &self.compacting),
            ("a snapshot", &self.snapshot),
            ("quiet", &self.nothing),
        ] {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| part.latency_us(quantile));
            let text = match part.messages {
                0 => "none".to_owned(),
                count => format!("{p50:.0}/{p99:.0}/{p999:.0} us ({count})"),
            };
            row(format_args!("paced sends {whose}, {what}, p50/p99/p99.9"), text);
        }
    }

    /// Shown, and not judged: beside a load queueing decides.
    pub(super) fn report_beside_load(&self) {
        self.report("beside the load");
        let ratio = self.ratio().map_or("nothing to compare".to_owned(), |r| format!("{r:.2}"));
        row("paced sends beside the load, p99 compacting / quiet", ratio);
    }
}

/// Reports the rounds of the sender alone. A disk that is not ours alone stalls for seconds, whatever
/// the server is at, and one stall is a round's p99. So the p99 of each second is judged, by the
/// middle one of the seconds of a kind.
pub(super) fn report_rounds(samples: &[Sample], rounds: &[Vec<Answered>]) {
    let (mut compacting, mut quiet) = (Vec::new(), Vec::new());
    for (number, answered) in (1..).zip(rounds) {
        let found = Latencies::of(samples, answered);
        let ratio = found.ratio();
        let p99 = |part: &Measure| format!("{:.0}", part.latency_us(0.99));
        let ratio_text = ratio.map_or("nothing to compare".to_owned(), |r| format!("{r:.2}"));
        let share = 100.0 * share_compacting(samples, answered);
        let text = format!("{} / {} us: {ratio_text}", p99(&found.compacting), p99(&found.nothing));
        row(format_args!("alone, round {number}, compacting {share:.0} % of it, p99"), text);
        for (work, p99) in seconds(samples, answered) {
            match work {
                Work::Compacting => compacting.push(p99),
                Work::Nothing => quiet.push(p99),
                Work::Snapshot => {}
            }
        }
    }
    Latencies::of(samples, &rounds.concat()).report("alone, all rounds");
    for (what, seconds) in [("compacting", &mut compacting), ("quiet", &mut quiet)] {
        seconds.sort_by(f64::total_cmp);
        let at = |part: usize| seconds.get(seconds.len() * part / 4).copied().unwrap_or(0.0);
        let text = format!("{:.0}/{:.0}/{:.0} us ({})", at(1), at(2), at(3), seconds.len());
        row(format_args!("p99 of each second alone, {what}, quarter/half/three quarters"), text);
    }
    let what = "p99 of a second alone, compacting / quiet, medians";
    match compacting.is_empty() || quiet.is_empty() {
        true => row(what, "nothing to compare"),
        false => judged(what, median(&compacting) / median(&quiet), "", Wanted::AtMost(1.5)),
    }
}

/// The p99 of each second in which the server was at one thing only.
fn seconds(samples: &[Sample], answered: &[Answered]) -> Vec<(Work, f64)> {
    let Some(began) = answered.first().map(|first| first.due) else { return Vec::new() };
    let second = |one: &Answered| one.due.saturating_duration_since(began).as_secs();
    let of_one = answered.chunk_by(|a, b| second(a) == second(b)).filter_map(|sends| {
        let mut measure = Measure::new();
        let mut works = Vec::new();
        for Answered { due, at } in sends.iter().copied() {
            measure.note(1, at.saturating_duration_since(due));
            works.push(work(samples, due, at));
        }
        works.dedup();
        let is_one = works.len() == 1 && sends.len() >= SECOND_SENDS_MIN;
        is_one.then(|| (works[0], measure.latency_us(0.99)))
    });
    of_one.collect()
}

/// The share of a round's looks at which the compactor was at work.
fn share_compacting(samples: &[Sample], answered: &[Answered]) -> f64 {
    let Some((first, last)) = answered.first().zip(answered.last()) else { return 0.0 };
    let is_in = |index: &usize| (first.due..=last.at).contains(&samples[*index].at);
    let looks: Vec<usize> = (0..samples.len()).filter(is_in).collect();
    let at_work = looks.iter().filter(|index| compacted(samples, **index)).count();
    at_work as f64 / looks.len().max(1) as f64
}

/// Since when the compactor has not been at work; `None` if it is.
pub(super) fn idle_since(samples: &[Sample]) -> Option<Instant> {
    let idle = (0..samples.len()).rev().take_while(|index| !compacted(samples, *index));
    idle.last().map(|index| samples[index].at)
}

fn work(samples: &[Sample], due: Instant, at: Instant) -> Work {
    let begin = samples.partition_point(|sample| sample.at < due);
    let behind = samples.partition_point(|sample| sample.at < at + SNAPSHOT);
    let end = samples.partition_point(|sample| sample.at < at);
    let mut looks = begin..=end.min(samples.len().saturating_sub(1));
    if looks.any(|index| compacted(samples, index)) {
        return Work::Compacting;
    }
    let snapshot = (begin.max(1)..samples.len().min(behind + 1))
        .any(|index| samples[index].snapshots() > samples[index - 1].snapshots());
    if snapshot { Work::Snapshot } else { Work::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(began: Instant) -> Vec<Sample> {
        // Every 100 ms: at work from 300 to 500, a snapshot seen at 2000.
        (0..40)
            .map(|look| {
                let at = began + Duration::from_millis(100 * look);
                let at_work = (3..=5).contains(&look);
                Sample::for_tests(at, u64::from(look > 5), at_work, u64::from(look >= 20))
            })
            .collect()
    }

    #[test]
    fn a_send_belongs_to_what_the_server_was_at() {
        let began = Instant::now();
        let looks = looks(began);
        let ms = |ms: u64| began + Duration::from_millis(ms);
        let found =
            [(50, 60), (150, 250), (420, 430), (550, 560), (610, 620), (950, 1050), (2010, 2020)]
                .map(|(due, at)| work(&looks, ms(due), ms(at)));
        use Work::{Compacting, Nothing, Snapshot};
        assert_eq!(
            found,
            [Nothing, Compacting, Compacting, Compacting, Nothing, Snapshot, Nothing]
        );
        assert_eq!(idle_since(&looks), Some(ms(700)));
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        assert_eq!([median(&[1.0, 2.0, 9.0]), median(&[1.0, 2.0])], [2.0, 1.5]);
    }
}
