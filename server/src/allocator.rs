//! The allocator's settings: memory that was freed goes back to the system.
//!
//! glibc keeps an arena for each thread and raises its thresholds with the sizes that it meets, so
//! a burst of large requests would leave tens of mebibytes in the process for good, which are
//! nobody's any more. Eight arenas are enough for the threads that allocate at once (with two, who waits for an
//! arena is put to sleep), and a large buffer is worth a system call.

#![expect(unsafe_code, reason = "mallopt is a C function; this is its only use")]

/// Sets it; called first of all in `main`.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    const LARGE_BYTES: libc::c_int = 2 << 20;
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 8),
        (libc::M_TRIM_THRESHOLD, LARGE_BYTES),
        (libc::M_MMAP_THRESHOLD, LARGE_BYTES),
    ] {
        // SAFETY: mallopt takes two integers, and no other thread is there yet. A parameter that
        // it refuses leaves the allocator as it is, which is allowed.
        unsafe {
            libc::mallopt(parameter, value);
        }
    }
}
