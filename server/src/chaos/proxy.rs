//! What lies between a client and the server: pieces of requests and answers come late, connections break, in the
//! middle of a piece or behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forebay_engine::disk::Random;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Chance, Chaos, Door, is_struck, up_to};
use crate::accept::ACCEPT_BACKOFF;
use crate::socket;

/// The longest piece: what is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// The two ways of a connection.
#[derive(Debug, Clone, Copy)]
enum Way {
    Requests,
    Answers,
}

/// Takes connections and lets them through, for ever.
pub(super) async fn run(chaos: Arc<Chaos>, door: Door, outside: TcpListener, inside: SocketAddr) {
    let mut number = 0;
    loop {
        match outside.accept().await {
            Ok((client, peer)) => {
                number += 1;
                chaos.counted.connections.fetch_add(1, Ordering::Relaxed);
                let random = |way: Way| {
                    let way = match way {
                        Way::Requests => 0,
                        Way::Answers => 1,
                    };
                    chaos.random(Chance::Door(door), 2 * number + way)
                };
                let randoms = (random(Way::Requests), random(Way::Answers));
                let chaos = Arc::clone(&chaos);
                tokio::spawn(async move {
                    match let_through(&chaos, client, inside, randoms).await {
                        Ok(()) => {}
                        Err(Broken::Cut) => tracing::info!(%peer, ?door, "CHAOS: cut a connection"),
                        Err(Broken::Io(error)) => {
                            tracing::debug!(%peer, %error, "a connection through chaos is gone");
                        }
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "CHAOS: cannot accept connections");
                tokio::time::sleep(ACCEPT_BACKOFF.0).await;
            }
        }
    }
}

/// Why a connection ended that neither end has closed.
#[derive(Debug)]
enum Broken {
    Cut,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

async fn let_through(
    chaos: &Chaos,
    client: TcpStream,
    inside: SocketAddr,
    (requests, answers): (Random, Random),
) -> Result<(), Broken> {
    socket::prepare(&client)?;
    let server = TcpStream::connect(inside).await?;
    server.set_nodelay(true)?;
    let (mut client, mut server) = (client, server);
    let result = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let requests = carry(chaos, requests, &mut from_client, &mut to_server);
        let answers = carry(chaos, answers, &mut from_server, &mut to_client);
        // Whichever breaks ends both; the quiet end of one leaves the other time to finish.
        tokio::try_join!(requests, answers).map(|_| ())
    };
    if matches!(result, Err(Broken::Cut)) {
        chaos.counted.cuts.fetch_add(1, Ordering::Relaxed);
        // As a broken network does: nobody hears of the end in good order.
        for stream in [&client, &server] {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        }
    }
    result
}

/// Carries pieces one way until there are no more.
async fn carry(
    chaos: &Chaos,
    mut random: Random,
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
) -> Result<(), Broken> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let bytes = from.read(&mut piece).await?;
        if bytes == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        if let Some(delay) = &chaos.plan.delay
            && is_struck(delay.share, &mut random)
        {
            chaos.counted.delays.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(up_to(delay.at_most, &mut random)).await;
        }
        if let Some(cut) = &chaos.plan.cut
            && is_struck(cut.share, &mut random)
        {
            // Of nothing of it to all of it, the other end gets to see.
            let seen = random.below(bytes + 1);
            to.write_all(&piece[..seen]).await?;
            return Err(Broken::Cut);
        }
        to.write_all(&piece[..bytes]).await?;
    }
}
