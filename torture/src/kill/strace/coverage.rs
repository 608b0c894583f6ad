//! Which sites have failed already, and what to try for those that have not.

use std::collections::BTreeMap;

use super::FAULTS;
use super::trace::{ANY_THREAD, Object, Site, Traced};

/// So often a site is tried: of a file that many calls are made on, a call is not always the same one.
const TRIES_MAX: usize = 16;

/// So often with every thread traced from the start; then the thread alone, once all is open.
const TRIES_FROM_START: usize = 8;

/// Where a thread makes the calls of each site.
pub(super) type Occurrences = BTreeMap<Site, Vec<Occurrence>>;

/// One call: the how manieth of its thread ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// ... of all calls of its kind ...
    of_all: Count,
    /// ... and of those on its file.
    of_file: Count,
    file: Option<String>,
    /// Its thread is the main one, or none that the store has a name for.
    is_anywhere: bool,
}

/// The how manieth call of its thread one is, and how many the main thread makes, which comes first and would fail in its
/// place if that were no less; 0 in the main thread itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    own: u64,
    of_main: u64,
}

impl Count {
    fn is_behind_main(self) -> bool {
        self.own > self.of_main
    }
}

/// What is to fail in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) call: String,
    pub(super) fault: &'static str,
    /// Only calls on this file of the store count, if any is named.
    pub(super) file: Option<String>,
    /// The how manieth call of each thread ...
    pub(super) number: u64,
    /// ... from the start; or of this one alone, once the server listens.
    pub(super) thread: Option<String>,
}

/// Each site with each of its faults.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    sites: BTreeMap<(Site, &'static str), Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    tries: usize,
    has_failed: bool,
}

/// The calls of a trace in which none failed.
pub(super) fn occurrences(calls: &[Traced]) -> Occurrences {
    let main = calls.first().map_or(0, |first| first.thread_id);
    let mut of_all: BTreeMap<(u32, &str), u64> = BTreeMap::new();
    let mut of_file: BTreeMap<(u32, &str, &Option<String>), u64> = BTreeMap::new();
    let mut found = Vec::new();
    for Traced { thread_id, site, file, .. } in calls {
        let of_all = of_all.entry((*thread_id, &site.call)).or_default();
        let of_file = of_file.entry((*thread_id, &site.call, file)).or_default();
        (*of_all, *of_file) = (*of_all + 1, *of_file + 1);
        found.push((*of_all, *of_file));
    }
    let mut occurrences = Occurrences::new();
    for (Traced { thread_id, site, file, .. }, (all, on_file)) in calls.iter().zip(found) {
        let is_main = *thread_id == main;
        let of_main = of_all.get(&(main, site.call.as_str())).copied().unwrap_or(0);
        let on_file_of_main = of_file.get(&(main, site.call.as_str(), file)).copied().unwrap_or(0);
        let count = |own, of_main| Count { own, of_main: if is_main { 0 } else { of_main } };
        let occurrence = Occurrence {
            of_all: count(all, of_main),
            of_file: count(on_file, on_file_of_main),
            file: file.clone(),
            is_anywhere: is_main || site.thread == ANY_THREAD,
        };
        occurrences.entry(site.clone()).or_default().push(occurrence);
    }
    occurrences
}

impl Coverage {
    /// There are these sites.
    pub(super) fn see(&mut self, occurrences: &Occurrences) {
        for site in occurrences.keys() {
            let faults = FAULTS.iter().find(|(call, _)| *call == site.call);
            let faults = faults.map_or(&[][..], |(_, faults)| faults);
            // What is no file of the store's fails in one way: the server does not tell them apart.
            let ways = match site.object {
                Object::Other(_) if site.call != "accept4" => 1,
                _ => faults.len(),
            };
            for fault in &faults[..ways.min(faults.len())] {
                self.sites.entry((site.clone(), fault)).or_default();
            }
        }
    }

    /// What to let fail next, in a server that makes these calls; `None` when there is nothing left.
    pub(super) fn next(&mut self, occurrences: &Occurrences) -> Option<Try> {
        let open = self.sites.iter_mut().filter(|((site, _), progress)| {
            !progress.has_failed && progress.tries < TRIES_MAX && occurrences.contains_key(site)
        });
        let ((site, fault), progress) = open.min_by_key(|(_, progress)| progress.tries)?;
        // On one file, and of all calls, in turns: a file of the beginning is there again, others have other
        // names.
        let is_by_file = match site.object {
            Object::File(_) => true,
            Object::Files(_) => progress.tries.is_multiple_of(2),
            Object::Other(_) => false,
        };
        let all = &occurrences[site];
        let count = |one: &Occurrence| if is_by_file { one.of_file } else { one.of_all };
        let tries = progress.tries;
        progress.tries += 1;
        let good: Vec<_> = all.iter().filter(|one| count(one).is_behind_main()).collect();
        let is_alone = good.is_empty() || tries >= TRIES_FROM_START;
        if is_alone && !all[0].is_anywhere {
            let file = all[0].file.clone().filter(|_| matches!(site.object, Object::File(_)));
            // Of many files, another call each time.
            let number = if file.is_some() { 1 } else { 1 + tries as u64 };
            return Some(Try {
                call: site.call.clone(),
                fault,
                file,
                number,
                thread: Some(site.thread.clone()),
            });
        }
        let places = if good.is_empty() { all.iter().collect() } else { good };
        // The first, the last, the middle one, and what is between them.
        let eighths = [0, 8, 4, 2, 6, 1, 7, 3][tries / 2];
        let place = places[(places.len() - 1) * eighths / 8];
        let file = place.file.clone().filter(|_| is_by_file);
        Some(Try { call: site.call.clone(), fault, file, number: count(place).own, thread: None })
    }

    /// Notes what failed in a run.
    pub(super) fn failed(&mut self, calls: &[Traced], fault: &'static str) -> u64 {
        let mut failed = 0;
        for Traced { site, .. } in calls.iter().filter(|traced| traced.failed) {
            failed += 1;
            self.sites.entry((site.clone(), fault)).or_default().has_failed = true;
        }
        failed
    }

    /// How many sites, each with each of its faults, have failed, and how many there are.
    pub(super) fn count(&self) -> (u64, u64) {
        let failed = self.sites.values().filter(|progress| progress.has_failed).count();
        (failed as u64, self.sites.len() as u64)
    }

    /// By system call and fault: sites that have failed, and sites that there are.
    pub(super) fn by_fault(&self) -> BTreeMap<String, (u64, u64)> {
        let mut by_fault: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for ((site, fault), progress) in &self.sites {
            let (failed, all) = by_fault.entry(format!("{} {fault}", site.call)).or_default();
            (*failed, *all) = (*failed + u64::from(progress.has_failed), *all + 1);
        }
        by_fault
    }

    /// Those that never failed, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = self.sites.iter().filter(|(_, progress)| !progress.has_failed);
        let words = |((site, fault), _): (&(Site, &str), _)| {
            let (Object::File(name) | Object::Files(name) | Object::Other(name)) = &site.object;
            format!("{} {fault} of {name:?} in {}", site.call, site.thread)
        };
        missed.map(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(thread_id: u32, call: &str, object: Object) -> Traced {
        let file = match &object {
            Object::File(name) => Some(name.clone()),
            Object::Files(_) => Some("log/0000000000000001.log".to_owned()),
            Object::Other(_) => None,
        };
        let site = Site { call: call.to_owned(), thread: "forebay".to_owned(), object };
        Traced { thread_id, site, file, failed: false }
    }

    #[test]
    fn each_site_is_tried_with_each_fault_until_it_fails() {
        let next = || Object::File("log/next.tmp".to_owned());
        let log = || Object::Files("log/*.log".to_owned());
        let mut calls: Vec<_> = (0..9).map(|_| traced(1, "rename", log())).collect();
        calls.push(traced(1, "rename", next()));
        let occurrences = occurrences(&calls);
        let mut coverage = Coverage::default();
        coverage.see(&occurrences);
        assert_eq!(coverage.count(), (0, 4), "two sites, two faults");
        let mut tried = Vec::new();
        while let Some(one) = coverage.next(&occurrences) {
            tried.push(one);
        }
        assert_eq!(tried.len(), 4 * TRIES_MAX);
        let next = tried.iter().filter(|one| one.file.as_deref() == Some("log/next.tmp"));
        assert!(next.clone().count() > 0 && next.clone().all(|one| one.number == 1));
        let numbers: Vec<_> =
            tried.iter().filter(|one| one.file.is_none()).map(|one| one.number).collect();
        assert!(numbers.contains(&1) && numbers.contains(&9) && numbers.contains(&5));

        let mut coverage = Coverage::default();
        coverage.see(&occurrences);
        assert!(tried.iter().all(|one| one.thread.is_none()));
        calls[9].failed = true;
        assert_eq!(coverage.failed(&calls, "error=EIO"), 1);
        assert_eq!(coverage.count(), (1, 4));
        assert!(coverage.missed().iter().all(|missed| !missed.contains("EIO of \"log/next")));
    }

    /// Without it, a thread that makes fewer calls than the main one did before would never have one fail.
    #[test]
    fn a_call_that_the_main_thread_makes_as_often_fails_in_its_thread_alone() {
        let next = || Object::File("log/next.tmp".to_owned());
        let mut calls: Vec<_> = [1, 1, 1, 2].map(|id| traced(id, "fsync", next())).into();
        let preparer = Site { thread: "forebay-preparer".to_owned(), ..calls[3].site.clone() };
        calls[3].site = preparer.clone();
        let mut occurrences = occurrences(&calls);
        occurrences.retain(|site, _| *site == preparer);
        let mut coverage = Coverage::default();
        coverage.see(&occurrences);
        let tried = coverage.next(&occurrences).unwrap();
        assert_eq!((tried.number, tried.thread.as_deref()), (1, Some("forebay-preparer")));
    }

    #[test]
    fn a_call_that_did_not_fail_from_the_start_fails_in_its_thread_alone() {
        let log = || Object::Files("log/*.log".to_owned());
        let mut calls = vec![traced(1, "openat", log()), traced(2, "fsync", log())];
        calls[1].site.thread = "forebay-keeper".to_owned();
        let mut occurrences = occurrences(&calls);
        occurrences.retain(|site, _| site.call == "fsync");
        let mut coverage = Coverage::default();
        coverage.see(&occurrences);
        let tried: Vec<_> = std::iter::from_fn(|| coverage.next(&occurrences)).collect();
        let faults = coverage.count().1 as usize;
        assert_eq!(tried.len(), faults * TRIES_MAX);
        let alone: Vec<_> = tried.iter().filter(|one| one.thread.is_some()).collect();
        assert_eq!(alone.len(), faults * (TRIES_MAX - TRIES_FROM_START));
        assert!(alone.iter().all(|one| one.file.is_none()), "files whose names change");
        assert_ne!(alone[0].number, alone[alone.len() - 1].number);
    }
}
