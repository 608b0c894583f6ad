//! What happened to names of queues of late: for a while after a queue was deleted none of its name is
//! created, and after it was purged it is not purged again (SQS).
//!
//! Kept in memory only, and bounded: beyond it the oldest are forgotten, and what they would have refused
//! is done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most names that are remembered.
const NAMES_MAX: usize = 100_000;

/// Names, and when something happened to them. Times are the boot clock's, in milliseconds.
#[derive(Debug)]
pub(crate) struct Recent {
    pause_ms: u64,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    times: HashMap<String, u64>,
    by_time: VecDeque<(u64, String)>,
}

impl Recent {
    /// Remembers for `pause`; zero: nothing.
    pub(crate) fn new(pause: Duration) -> Self {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self { pause_ms, names: Mutex::default() }
    }

    /// Whether it has happened to this name of late.
    pub(crate) fn contains(&self, name: &str, now_ms: u64) -> bool {
        self.is_recent(&self.names(), name, now_ms)
    }

    fn is_recent(&self, names: &Names, name: &str, now_ms: u64) -> bool {
        names.times.get(name).is_some_and(|time| now_ms.saturating_sub(*time) < self.pause_ms)
    }

    /// It happens to this name now, unless it has of late: then false.
    pub(crate) fn begin(&self, name: &str, now_ms: u64) -> bool {
        // Under one lock: of two who come at once one is the second.
        let mut names = self.names();
        let is_first = !self.is_recent(&names, name, now_ms);
        if is_first {
            self.note(&mut names, name, now_ms);
        }
        is_first
    }

    /// It happens to this name now.
    pub(crate) fn add(&self, name: &str, now_ms: u64) {
        self.note(&mut self.names(), name, now_ms);
    }

    fn note(&self, names: &mut Names, name: &str, now_ms: u64) {
        if self.pause_ms == 0 {
            return;
        }
        names.times.insert(name.to_owned(), now_ms);
        names.by_time.push_back((now_ms, name.to_owned()));
        while let Some((time, name)) = names.by_time.front().cloned()
            && (now_ms.saturating_sub(time) >= self.pause_ms || names.by_time.len() > NAMES_MAX)
        {
            names.by_time.pop_front();
            // If it has happened again since, the newer time counts.
            if names.times.get(&name) == Some(&time) {
                names.times.remove(&name);
            }
        }
    }

    /// It has not happened after all.
    pub(crate) fn remove(&self, name: &str) {
        self.names().times.remove(name);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Nothing is left half done under this lock.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_remembered_for_the_pause_and_no_longer() {
        let (recent, start) = (Recent::new(Duration::from_secs(60)), 7_000);
        let after = |seconds: u64| start + 1000 * seconds;
        assert!(recent.begin("q", start));
        assert!(!recent.begin("q", after(59)) && recent.begin("other", after(59)));
        assert!(recent.begin("q", after(60)));
        assert!(recent.contains("q", after(61)), "the newer time counts");
        recent.remove("q");
        assert!(recent.begin("q", after(62)));
        assert!(recent.names.lock().unwrap().by_time.len() <= 4);
    }

    #[test]
    fn without_a_pause_nothing_is_remembered() {
        let (recent, now) = (Recent::new(Duration::ZERO), 7_000);
        assert!(recent.begin("q", now) && recent.begin("q", now));
        assert!(recent.names.lock().unwrap().times.is_empty());
    }
}
