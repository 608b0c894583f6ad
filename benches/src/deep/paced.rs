//! A lone sender that keeps a pace whatever the server does: what a client with a given rate sees.
//!
//! An open loop: each send has a time at which it is due, and its latency counts from there, also
//! if those before it are not answered yet. It has two threads of its own, which block in the
//! kernel: a runtime's timers are a millisecond wide.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{
    CreateQueue, Frame, FrameDecoder, Hello, OutgoingMessage, QueueAttributes, Reply, Send,
};

use crate::BenchError;
use crate::deep::ledger::Ledger;
use crate::frames::{encode, push_frame, random_bytes};
use crate::wire::{ask_once, reply_of};

const QUEUE: &str = "paced";
const BODY_BYTES: usize = 1024;
/// Between two sends: 500 a second.
const INTERVAL: Duration = Duration::from_millis(2);
/// An answer that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a read waits before it looks whether the end has come.
const LOOK: Duration = Duration::from_millis(100);

/// A send that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// When it was to be sent.
    pub(super) due: Instant,
    /// When its answer had come.
    pub(super) at: Instant,
}

/// The sender, at work.
#[derive(Debug)]
pub(super) struct Paced {
    over: Arc<AtomicBool>,
    writer: JoinHandle<Result<(), BenchError>>,
    reader: JoinHandle<Result<Vec<Answered>, BenchError>>,
}

impl Paced {
    /// Begins to send to a queue of its own.
    pub(super) async fn start(address: &str, ledger: &Arc<Ledger>) -> Result<Self, BenchError> {
        let create = CreateQueue { name: QUEUE.to_owned(), attributes: QueueAttributes::default() };
        ask_once(address, create).await?;
        let message = OutgoingMessage::new(random_bytes(BODY_BYTES)?);
        let send = Send::new(QUEUE.to_owned(), vec![message]);
        let frame = encode(&send.into(), 1)?;

        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut replies = Replies::new(stream.try_clone()?);
        stream.write_all(&encode(&Hello::new("forebay bench, paced").into(), 1)?)?;
        let asked = Instant::now();
        while replies.next()?.is_none() {
            if asked.elapsed() > PATIENCE {
                return Err(BenchError::new(format!("no Welcome in {PATIENCE:?}")));
            }
        }

        let over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU32::new(0));
        let began = Instant::now();
        let ending = (Arc::clone(&over), Arc::clone(&sent));
        let writer = std::thread::spawn(move || {
            let (over, sent) = ending;
            write(&mut stream, &frame, began, &over, &sent)
        });
        let (ending, ledger) = (Arc::clone(&over), Arc::clone(ledger));
        let reader = std::thread::spawn(move || read(replies, began, &ending, &sent, &ledger));
        Ok(Self { over, writer, reader })
    }

    /// Ends it, and returns all that was answered, in order.
    pub(super) async fn end(self) -> Result<Vec<Answered>, BenchError> {
        self.over.store(true, Ordering::Relaxed);
        // Not waited for on this thread, which may have to look after others.
        let joined = tokio::task::spawn_blocking(|| (self.writer.join(), self.reader.join())).await;
        let failed = || BenchError::new("the paced sender panicked");
        let (writer, reader) = joined.map_err(|error| BenchError::new(error.to_string()))?;
        writer.map_err(|_| failed())??;
        reader.map_err(|_| failed())?
    }
}

/// When the request with this number, from 1, is due.
fn due(began: Instant, number: u32) -> Instant {
    began + INTERVAL * number
}

fn write(
    stream: &mut TcpStream,
    frame: &[u8],
    began: Instant,
    over: &AtomicBool,
    sent: &AtomicU32,
) -> Result<(), BenchError> {
    let mut out = Vec::new();
    for number in 1.. {
        std::thread::sleep(due(began, number).saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            break;
        }
        out.clear();
        push_frame(&mut out, frame, number);
        sent.store(number, Ordering::Relaxed);
        stream.write_all(&out).map_err(BenchError::doing("the paced sender cannot write"))?;
    }
    Ok(())
}

fn read(
    mut replies: Replies,
    began: Instant,
    over: &AtomicBool,
    sent: &AtomicU32,
    ledger: &Ledger,
) -> Result<Vec<Answered>, BenchError> {
    let mut answered = Vec::new();
    let mut last = Instant::now();
    loop {
        let all_came = answered.len() == sent.load(Ordering::Relaxed) as usize;
        // The writer may begin one more after it was told.
        let ended = over.load(Ordering::Relaxed) && last.elapsed() > 2 * LOOK;
        if ended && all_came {
            return Ok(answered);
        }
        match replies.next()? {
            Some(frame) => {
                let at = Instant::now();
                match reply_of(&frame)? {
                    Reply::Sent(_) => ledger.note_sent(BODY_BYTES as u64),
                    other => {
                        return Err(BenchError::new(format!("unexpected answer: {other:?}")));
                    }
                }
                answered.push(Answered { due: due(began, frame.correlation), at });
                last = at;
            }
            None if last.elapsed() > PATIENCE => {
                let text = format!("the paced sender had no answer for {PATIENCE:?}");
                return Err(BenchError::new(text));
            }
            None => {}
        }
    }
}

/// The frames that come from the server.
#[derive(Debug)]
struct Replies {
    stream: TcpStream,
    decoder: FrameDecoder,
    arrived: BytesMut,
}

impl Replies {
    fn new(stream: TcpStream) -> Self {
        Self { stream, decoder: FrameDecoder::new(), arrived: BytesMut::new() }
    }

    /// The next frame; `None` if none came in a while.
    fn next(&mut self) -> Result<Option<Frame>, BenchError> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.arrived)? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(BenchError::new("the server closed the connection")),
                Ok(count) => self.arrived.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
