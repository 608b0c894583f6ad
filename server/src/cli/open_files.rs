//! The system's limit of open files: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files open besides connections: segments, the listener, the runtime's own.
const OTHER_FILES: u64 = 256;

/// Raises the limit so that `connections` have room, as far as the system lets.
pub(super) fn allow(connections: usize) {
    let needed = (connections as u64).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(current) = limit.current.filter(|current| *current < needed) else { return };
    let possible = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit { current: Some(possible), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() && possible == needed {
        return;
    }
    tracing::warn!(
        connections,
        allowed = possible.max(current),
        needed,
        "the system allows too few open files for so many connections"
    );
}
