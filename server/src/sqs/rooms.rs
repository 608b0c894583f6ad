//! Memory for the bodies of requests, used again. To get it anew for each makes the allocator join what is
//! free, and give the end of it back to the system, again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// So many are kept.
const ROOMS: usize = 64;

/// Nothing larger is kept.
const ROOM_BYTES_MAX: usize = 32 << 10;

/// What is kept. The newest is in the processor's cache, so it is used first.
#[derive(Default)]
pub(crate) struct Rooms(Mutex<Vec<BytesMut>>);

impl Rooms {
    /// Room for so many bytes, to begin with.
    pub(crate) fn take(&self, bytes: usize) -> BytesMut {
        let mut room = self.kept().pop().unwrap_or_default();
        room.reserve(bytes);
        room
    }

    /// Keeps the memory of a body, if nobody has any of it.
    pub(crate) fn give_back(&self, body: Bytes) {
        let Ok(mut room) = body.try_into_mut() else { return };
        room.clear();
        let mut kept = self.kept();
        if room.capacity() <= ROOM_BYTES_MAX && kept.len() < ROOMS {
            kept.push(room);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_body_is_used_again_when_nobody_has_any_of_it() {
        let rooms = Rooms::default();
        let mut room = rooms.take(1000);
        room.extend_from_slice(b"a body");
        let body = room.freeze();
        let (place, part) = (body.as_ptr(), body.slice(2..));
        rooms.give_back(body);
        assert_ne!(rooms.take(1000).as_ptr(), place, "a part of it is in use");
        rooms.give_back(part);
        let again = rooms.take(900);
        assert!(again.is_empty() && again.capacity() >= 900);
    }
}
