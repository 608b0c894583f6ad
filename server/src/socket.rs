//! What is set on every accepted socket.
//!
//! A peer whose machine vanished sends nothing, not even a reset. Keepalive probes find it when
//! the connection is quiet, the user timeout when data that was sent to it is not acknowledged.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A connection that is quiet for this long is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The time between probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// So many unanswered probes end it.
const KEEPALIVE_PROBES: u32 = 3;
/// Data unacknowledged for this long ends it.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets no-delay, keepalive and user timeout.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Answers leave in batches of their own making; the kernel must not wait for more.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
