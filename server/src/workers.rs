//! The threads that serve connections: each has its own, from the accepted socket to the close.
//!
//! A runtime whose threads take work from each other wakes a second one whenever one finds something to do, so
//! that somebody looks for more. Where a request is little work that costs as much as the request. So each thread
//! has a runtime of its own, and a connection stays where it was put: with the thread that has the fewest.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::socket;

/// Where connections are served. When it is dropped its threads end, with all that is on them.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// How many it serves.
    connections: Arc<AtomicUsize>,
    /// Held for its drop, which joins the thread.
    _thread: Option<Thread>,
}

/// A thread with a runtime of its own.
#[derive(Debug)]
struct Thread {
    /// Dropped to end it.
    end: Option<oneshot::Sender<()>>,
    joined: Option<JoinHandle<()>>,
}

/// A connection counts for as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Workers {
    /// One thread for each processor.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        (0..processors).map(|_| Worker::start()).collect::<Result<_, _>>().map(Self)
    }

    /// The runtime of the caller, and no thread besides.
    pub(crate) fn here() -> Self {
        Self(vec![Worker {
            runtime: Handle::current(),
            connections: Arc::default(),
            _thread: None,
        }])
    }

    /// Has a connection served by the worker that has the fewest, if it is still there.
    pub(crate) fn serve<F>(
        &self,
        connections: &mut JoinSet<()>,
        (stream, peer): (TcpStream, SocketAddr),
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Err(error) = socket::prepare(&stream) {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            return;
        }
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let worker = self.0.iter().min_by_key(load).expect("there is a worker");
        let counted = Counted::new(&worker.connections);
        // A socket belongs to the runtime that made it, until it leaves it.
        let stream = stream.into_std();
        let task = async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%peer, %error, "a connection cannot be served"),
            }
            drop(counted);
        };
        connections.spawn_on(task, &worker.runtime);
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let until_the_end = move || drop(runtime.block_on(ended));
        let joined =
            thread::Builder::new().name("forebay-worker".to_owned()).spawn(until_the_end)?;
        let thread = Thread { end: Some(end), joined: Some(joined) };
        Ok(Self { runtime: handle, connections: Arc::default(), _thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.end = None;
        if let Some(joined) = self.joined.take() {
            // A connection's panic is its task's, and the runtime has none of its own.
            let _ = joined.join();
        }
    }
}

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::caller::tests::connected;

    /// Two at once are on two threads; the next one is where one has gone.
    #[tokio::test]
    async fn a_connection_goes_to_the_thread_with_the_fewest() {
        let workers = Workers(vec![Worker::start().unwrap(), Worker::start().unwrap()]);
        let mut connections = JoinSet::new();
        let (tell, told) = mpsc::channel();
        let mut ends = Vec::new();
        let mut serve = |ends: &mut Vec<Option<oneshot::Sender<()>>>, stream: TcpStream| {
            let peer = stream.peer_addr().unwrap();
            let (end, ended) = oneshot::channel::<()>();
            let tell = tell.clone();
            workers.serve(&mut connections, (stream, peer), move |_stream| async move {
                tell.send(thread::current().id()).unwrap();
                let _ = ended.await;
            });
            ends.push(Some(end));
            told.recv().unwrap()
        };
        let mut sockets = Vec::new();
        let mut stream = async || {
            let (one, other) = connected().await;
            sockets.push(other);
            one
        };
        let first = serve(&mut ends, stream().await);
        let second = serve(&mut ends, stream().await);
        assert_ne!(first, second);
        assert_ne!(first, thread::current().id());

        // The first one's worker has one, and the second one's none.
        ends[1] = None;
        while workers
            .0
            .iter()
            .map(|worker| worker.connections.load(Ordering::Relaxed))
            .sum::<usize>()
            > 1
        {
            thread::yield_now();
        }
        assert_eq!(serve(&mut ends, stream().await), second);
    }
}
