//! A server in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::{Budget, Ending, EndingSender, Engine, EngineHandle, Limits};
use forebay_engine::disk::{Disk, RealDisk};
use forebay_engine::{Clock, Options, SystemClock};
use forebay_protocol::client::{Client, ClientOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Raw, within};

/// A running server. Dropped without [`Server::stop`], it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    ending: EndingSender,
    running: JoinHandle<Ending>,
    engine: Engine,
    budget: Budget,
    _dir: Option<TempDir>,
}

/// Limits that tests reach quickly.
pub(crate) fn small_limits() -> Limits {
    Limits { unwritten_bytes_max: 64 << 10, connection_bytes_max: 1 << 20, ..Limits::default() }
}

impl Server {
    /// On a directory of its own.
    pub(crate) async fn start(limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let mut server = Self::start_on(Arc::new(RealDisk), dir.path(), limits).await;
        server._dir = Some(dir);
        server
    }

    /// On a disk of the test's choice, with small segments.
    pub(crate) async fn start_on(disk: Arc<dyn Disk>, data: &Path, limits: Limits) -> Self {
        let options = Options { segment_bytes: 1 << 20, ..Options::default() };
        Self::start_with(disk, data.to_owned(), options, limits).await
    }

    /// With options of the test's choice.
    pub(crate) async fn start_with(
        disk: Arc<dyn Disk>,
        data: PathBuf,
        options: Options,
        limits: Limits,
    ) -> Self {
        Self::start_by(Arc::new(SystemClock), disk, data, options, limits).await
    }

    /// By a clock of the test's choice.
    pub(crate) async fn start_by(
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        data: PathBuf,
        options: Options,
        limits: Limits,
    ) -> Self {
        let (tell_ending, ending) = forebay::ending();
        let tell_failure = tell_ending.clone();
        let on_failure = Box::new(move |failure: forebay_engine::LogFailure| {
            tell_failure.send_replace(Some(Ending::StorageFailed { cause: failure.to_string() }));
        });
        let (engine, _) = Engine::open(disk, clock, &data, options, on_failure).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let budget = Budget::new(&limits);
        let running =
            forebay::run_within(listener, engine.handle(), limits, budget.clone(), ending);
        let running = tokio::spawn(running);
        Self { address, ending: tell_ending, running, engine, budget, _dir: None }
    }

    /// A client that fails instead of reconnecting for long.
    pub(crate) async fn client(&self) -> Client {
        let options = ClientOptions {
            give_up_after: Some(std::time::Duration::from_secs(10)),
            ..ClientOptions::default()
        };
        within("a connect", Client::connect(self.address.to_string(), options)).await.unwrap()
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// A connection that was welcomed.
    pub(crate) async fn greeted(&self) -> Raw {
        Raw::connect(self.address).await.greet().await
    }

    /// How many bytes of the memory budget nobody holds or waits for.
    pub(crate) fn memory_free_bytes(&self) -> u64 {
        self.budget.memory_free_bytes()
    }

    /// Waits until so many are free.
    pub(crate) async fn memory_is_free(&self, bytes: u64) {
        let is_so = async {
            while self.memory_free_bytes() != bytes {
                tokio::task::yield_now().await;
            }
        };
        within("so much free memory", is_so).await;
    }

    /// The engine below.
    pub(crate) fn engine(&self) -> EngineHandle {
        self.engine.handle()
    }

    /// Tells the server to end.
    pub(crate) fn end(&self) {
        self.ending.send_replace(Some(Ending::ShuttingDown));
    }

    /// Ends the server and closes the store; tells why it ended.
    pub(crate) async fn stop(self) -> Ending {
        if self.ending.borrow().is_none() {
            self.end();
        }
        self.stopped().await
    }

    /// Waits until the server has ended of its own accord, and closes the store.
    pub(crate) async fn stopped(self) -> Ending {
        let ending = within("the end of the server", self.running).await.unwrap();
        let closed = tokio::task::spawn_blocking(|| self.engine.shutdown()).await.unwrap();
        assert_eq!(closed.is_err(), matches!(ending, Ending::StorageFailed { .. }));
        ending
    }
}
