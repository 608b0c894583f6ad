//! What is set on every socket of a client.
//!
//! A server whose machine vanished sends nothing, not even a reset. Keepalive probes find it when the
//! connection is quiet, the user timeout when data that was sent to it is not acknowledged. The client's
//! pings cannot replace them: a server without an idle timeout is not pinged.

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
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets no-delay, keepalive and user timeout.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Frames are already coalesced: waiting for more would only delay a lone request.
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Without it a client that only listens would wait for ever for a server that vanished.
    #[tokio::test]
    async fn a_quiet_connection_is_probed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let stream = TcpStream::connect(address).await.expect("it listens");
        prepare(&stream).expect("socket options");
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE_IDLE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(USER_TIMEOUT));
    }
}
