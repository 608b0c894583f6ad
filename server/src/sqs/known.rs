//! The attributes of queues as they were described, which hold as long as the engine has changed none: to ask it of
//! each request whose rights are looked at would be as long a way as the request's own.
//!
//! Kept in memory only, and bounded: beyond it all are forgotten, and asked for anew. They are the engine's own,
//! not copies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use forebay_engine::attributes::Attributes;

/// The most queues that are known.
const QUEUES_MAX: usize = 10_000;

/// What is known.
#[derive(Default)]
pub(crate) struct Known(Mutex<Queues>);

#[derive(Default)]
struct Queues {
    /// How many changes the engine had made when these were described, or fewer.
    changes: u64,
    attributes: HashMap<String, Arc<Attributes>>,
}

impl Known {
    /// A queue's attributes, if they were told when the engine had made so many changes.
    pub(crate) fn get(&self, name: &str, changes: u64) -> Option<Arc<Attributes>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (known.changes == changes).then(|| known.attributes.get(name).cloned())?
    }

    /// Told by an engine that had made so many changes before it was asked.
    pub(crate) fn tell(&self, name: &str, attributes: Arc<Attributes>, changes: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.changes > changes {
            // Somebody else knows what is newer.
            return;
        }
        if known.changes < changes || known.attributes.len() >= QUEUES_MAX {
            *known = Queues { changes, attributes: HashMap::new() };
        }
        known.attributes.insert(name.to_owned(), attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_a_change_is_not_known_after_it() {
        let (known, attributes) = (Known::default(), || Arc::new(Attributes::default()));
        known.tell("q", attributes(), 3);
        assert!(known.get("q", 3).is_some() && known.get("r", 3).is_none());
        assert!(known.get("q", 4).is_none(), "something was changed since");
        known.tell("r", attributes(), 4);
        assert!(known.get("r", 4).is_some() && known.get("q", 4).is_none());
        known.tell("q", attributes(), 3);
        assert!(known.get("q", 4).is_none(), "it was asked for before the change");
        for queue in 0..2 * QUEUES_MAX {
            known.tell(&queue.to_string(), attributes(), 4);
        }
        assert!(known.0.lock().unwrap().attributes.len() <= QUEUES_MAX);
    }
}
