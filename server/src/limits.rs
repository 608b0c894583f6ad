//! Every bound of the server, in one place and with a name.
//!
//! What arrives from outside is compared with one of these before it costs anything: memory,
//! connections and time are each bounded per connection and in all.

use std::time::Duration;

/// The bounds; the defaults suit a machine with a gigabyte to spare.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time, over SQS and natively; one more is told so and closed.
    pub connections_max: usize,
    /// Bytes of requests and answers that all connections together hold. A connection that needs
    /// more is not read from until there is some.
    pub memory_bytes_max: u64,
    /// Requests of one connection that are not answered yet; then it is not read from.
    pub connection_requests_max: usize,
    /// Bytes of such requests, one request being always allowed.
    pub connection_bytes_max: usize,
    /// Answers waiting to be written, in bytes, above which a connection is not read from.
    pub unwritten_bytes_max: usize,
    /// The longest frame.
    pub frame_bytes_max: u32,
    /// Blocking reads of the disk at one time, all connections together.
    pub disk_reads_max: usize,
    /// From the connect to the end of the `Hello` frame.
    pub hello_timeout: Duration,
    /// A connection without a frame for this long is closed; a client that has nothing to say
    /// pings. Zero: never.
    pub idle_timeout: Duration,
    /// A frame that began arrives within this, and a second for each 64 KiB of it.
    pub frame_timeout: Duration,
    /// A client takes something of what is written to it within this.
    pub write_timeout: Duration,
    /// How long a shutdown waits for requests that were taken.
    pub drain_timeout: Duration,
}

/// The slowest that a client may send a frame, beyond [`Limits::frame_timeout`].
const FRAME_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

impl Limits {
    /// How long a frame of `bytes` may take to arrive.
    pub(crate) fn frame_patience(&self, bytes: usize) -> Duration {
        self.frame_timeout + Duration::from_secs(bytes as u64 / FRAME_BYTES_PER_SECOND_MIN)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            memory_bytes_max: 512 << 20,
            connection_requests_max: 1024,
            connection_bytes_max: 32 << 20,
            unwritten_bytes_max: 4 << 20,
            frame_bytes_max: 18 << 20,
            disk_reads_max: 64,
            hello_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            frame_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
