//! When entries were appended, which is when their messages were sent.

use std::collections::BTreeMap;

use crate::ids::Position;
use crate::time::LogTime;

/// What is known of it. An entry whose header is lost counts as appended when the next one was whose header
/// is there, so that no message expires before its time; at the end of the log, as late as anything known.
#[derive(Debug)]
pub(super) struct Times {
    /// Behind entries without their headers: the first one with it.
    behind: BTreeMap<Position, LogTime>,
    /// Whether there is an entry without its header of which that has not come yet.
    is_open: bool,
    first: Option<LogTime>,
    last: LogTime,
}

impl Times {
    /// Nothing was read yet; something happened at `known`.
    pub(super) fn since(known: LogTime) -> Self {
        Self { behind: BTreeMap::new(), is_open: false, first: None, last: known }
    }

    /// An entry comes, behind all that came before; `None`: its header is lost.
    pub(super) fn note(&mut self, entry: Position, time: Option<LogTime>) {
        let Some(time) = time else {
            self.is_open = true;
            return;
        };
        if std::mem::take(&mut self.is_open) {
            self.behind.insert(entry, time);
        }
        self.first.get_or_insert(time);
        self.last = self.last.max(time);
    }

    /// When an entry without its header counts as appended.
    pub(super) fn of(&self, entry: Position) -> LogTime {
        self.behind.range(entry..).next().map_or(self.last, |(_, time)| *time)
    }

    /// No entry counts as appended before this.
    pub(super) fn first(&self) -> LogTime {
        self.first.unwrap_or(self.last)
    }

    /// Nor any behind this.
    pub(super) fn last(&self) -> LogTime {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_its_header_is_as_old_as_the_next_one_with_it() {
        let mut times = Times::since(LogTime(5));
        assert_eq!(
            (times.first(), times.last(), times.of(Position(1))),
            (LogTime(5), LogTime(5), LogTime(5))
        );
        let entries = [
            (1, None),
            (2, None),
            (4, Some(70)),
            (5, Some(80)),
            (6, None),
            (8, Some(90)),
            (9, None),
        ];
        for (entry, time) in entries {
            times.note(Position(entry), time.map(LogTime));
        }
        let of = |entry| times.of(Position(entry)).0;
        assert_eq!([1, 2, 6, 9].map(of), [70, 70, 90, 90]);
        assert_eq!((times.first(), times.last()), (LogTime(70), LogTime(90)));
    }
}
