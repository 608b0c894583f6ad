//! The system's limit of open files: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files open besides connections: segments, the listener, the runtime's own.
const OTHER_FILES: u64 = 256;

/// Raises the limit so that `connections` have room, as far as the system lets, and returns how
/// many have: connections must never take the last file, which the log may need.
pub(super) fn allow(connections: usize) -> usize {
    let needed = (connections as u64).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(current) = limit.current else { return connections };
    // As many as the system lets: of segments there may be any number.
    let possible = limit.maximum.unwrap_or(needed.max(current));
    let raised = Rlimit { current: Some(possible), maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => possible,
        Err(_) => current,
    };
    if files >= needed {
        return connections;
    }
    let allowed = usize::try_from(files - OTHER_FILES.min(files / 2)).unwrap_or(connections);
    tracing::warn!(
        wanted = connections,
        allowed,
        files,
        "the system allows too few open files: fewer connections are taken"
    );
    allowed.min(connections).max(1)
}
