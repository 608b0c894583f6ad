//! The bare server: what is left of a durable queue's server when the queue is taken out.
//!
//! It speaks the protocol's frames over the same kind of sockets, appends every Send and Ack frame
//! as it came to a file that was filled with zeros, syncs, and answers. Nothing is decoded, checked,
//! indexed or remembered; a Receive is answered with a batch made beforehand, and subscriptions are pushed
//! such batches, as many as there are to hand out. So its figures are
//! what this machine's sockets and disk allow a server that commits in groups.
//!
//! One thread waits on all sockets and gathers; another writes and syncs. Whatever arrived while
//! one sync ran is the next group. When nothing is being synced and there is nothing more to
//! gather, the first thread syncs itself: a lone sender does not pay for a hand-over.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::BenchError;
use crate::plain_file::PlainFile;
use crate::workload::Durability;

mod connection;
mod writer;

use connection::{Answers, Connection, Durable, Taken};
use writer::{Group, Writer};

const LISTENER: u64 = u64::MAX;
const WRITER: u64 = u64::MAX - 1;
const EVENTS_MAX: usize = 256;

/// What the bare server is to do.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BareOptions {
    /// Where its file is.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The file's size; it is written over from its beginning when its end is reached.
    #[arg(long)]
    pub(crate) file_bytes: u64,
    /// How many messages it hands out to receivers.
    #[arg(long)]
    pub(crate) messages: u32,
    /// Messages in a Send, and in an answer to Receive.
    #[arg(long)]
    pub(crate) batch: u32,
    /// Bytes of each one's body.
    #[arg(long)]
    pub(crate) bytes: usize,
    /// Whether it hands out as many messages more as it was sent.
    #[arg(long)]
    pub(crate) circulate: bool,
    /// When it answers.
    #[arg(long)]
    pub(crate) durability: Durability,
}

/// Serves until the process is ended, and tells where it listens on stdout.
pub(crate) fn serve(options: &BareOptions) -> Result<(), BenchError> {
    let file = PlainFile::create(&options.dir.join("bare"), options.file_bytes)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::doing("cannot listen"))?;
    listener.set_nonblocking(true)?;
    println!("bare listening on {}", listener.local_addr()?);
    let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    epoll::add(&poll, &wake, epoll::EventData::new_u64(WRITER), epoll::EventFlags::IN)?;
    let writer = Writer::start(file, options.durability, wake)?;
    let answers = Answers::new(options)?;
    Bare { poll, listener, writer, answers, connections: HashMap::new(), next: 0 }.run()
}

struct Bare {
    poll: std::os::fd::OwnedFd,
    listener: TcpListener,
    writer: Writer,
    answers: Answers,
    connections: HashMap<u64, Connection>,
    next: u64,
}

impl Bare {
    fn run(mut self) -> Result<(), BenchError> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut group = Group::default();
        loop {
            events.clear();
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    WRITER => {
                        if let Some(done) = self.writer.finished()? {
                            self.answer(&done)?;
                        }
                    }
                    id => self.take(id, event.flags, &mut group)?,
                }
            }
            if !group.is_empty()
                && self.writer.is_idle()
                && let Some(done) = self.writer.commit(&mut group, self.connections.len())?
            {
                self.answer(&done)?;
            }
        }
    }

    fn accept(&mut self) -> Result<(), BenchError> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let data = epoll::EventData::new_u64(self.next);
                    epoll::add(&self.poll, &stream, data, epoll::EventFlags::IN)?;
                    self.connections.insert(self.next, Connection::new(stream));
                    self.next += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(
        &mut self,
        id: u64,
        flags: epoll::EventFlags,
        group: &mut Group,
    ) -> Result<(), BenchError> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let taken = match flags.contains(epoll::EventFlags::IN) {
            true => connection.take(id, &mut self.answers, group),
            false => Ok(Taken::Open),
        };
        match taken.and_then(|taken| connection.flush().map(|()| taken)) {
            Ok(Taken::Open) => connection.watch(&self.poll, id)?,
            // The load is over on this connection, orderly or not.
            Ok(Taken::Closed) | Err(_) => {
                self.connections.remove(&id);
                self.answers.forget(id);
            }
        }
        Ok(())
    }

    /// Answers all that a sync made durable.
    fn answer(&mut self, done: &[Durable]) -> Result<(), BenchError> {
        for durable in done {
            if let Some(connection) = self.connections.get_mut(&durable.connection) {
                self.answers.durable(durable, &mut connection.out)?;
            }
        }
        let mut pushed = Vec::new();
        while let Some(push) = self.answers.next_push() {
            if let Some(connection) = self.connections.get_mut(&push.connection) {
                self.answers.push(push, &mut connection.out);
                pushed.push(push.connection);
            }
        }
        for id in done.iter().map(|durable| durable.connection).chain(pushed) {
            if let Some(connection) = self.connections.get_mut(&id) {
                // One write for all its answers; the second time there is nothing left to write.
                if connection.flush().is_ok() {
                    connection.watch(&self.poll, id)?;
                }
            }
        }
        Ok(())
    }
}
