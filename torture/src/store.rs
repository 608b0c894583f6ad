//! A store without threads, and what commands on it answer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, Deduplication, Delivery, NewMessage, Reply, ReplyTo};
use forebay_engine::disk::{Disk, SimDisk};
use forebay_engine::ids::DeduplicationKey;
use forebay_engine::{OpenError, Opening, Options, RequestError, SimClock, Store, checksum};

/// Where the store lies on its disk.
pub(crate) const DATA: &str = "data";

/// What a command is answered.
pub(crate) type Answer = Result<Reply, RequestError>;

/// Where the answer to the one command that is asked goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Answer>>>);

impl ReplyTo for Slot {
    fn reply(self, result: Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn is_gone(&self) -> bool {
        false
    }
}

impl Slot {
    fn take(&self) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An open store, and its clock.
pub(crate) struct Opened {
    pub(crate) store: Store<Slot>,
    pub(crate) opening: Opening,
    pub(crate) clock: SimClock,
}

impl Opened {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        data: &Path,
        wall_ms: u64,
        options: Options,
    ) -> Result<Self, OpenError> {
        let clock = SimClock::new(wall_ms);
        let (store, opening) = Store::open(disk, Arc::new(clock.clone()), data, options)?;
        Ok(Self { store, opening, clock })
    }

    /// On a simulated disk.
    pub(crate) fn open_on(
        disk: &SimDisk,
        wall_ms: u64,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::open(Arc::new(disk.clone()), Path::new(DATA), wall_ms, options)
    }

    /// Does one command. `Err`: the disk failed, on which no fault was planned.
    pub(crate) fn ask(&mut self, command: Command) -> Result<Answer, String> {
        let slot = Slot::default();
        self.store.handle(command, slot.clone()).map_err(|failure| failure.to_string())?;
        if let Some(answer) = slot.take() {
            return Ok(answer);
        }
        self.store.commit().map_err(|failure| failure.to_string())?;
        if let Some(answer) = slot.take() {
            return Ok(answer);
        }
        // A receive waits for dead letters that move.
        self.keep()?;
        slot.take().ok_or_else(|| "a committed command is not answered".to_owned())
    }

    /// Does one command that must succeed.
    pub(crate) fn done(&mut self, command: Command) -> Result<Reply, String> {
        let what = format!("{command:?}");
        self.ask(command)?.map_err(|error| format!("{what}: {error}"))
    }

    /// Does what is to be done beside the log, until nothing is left.
    pub(crate) fn keep(&mut self) -> Result<(), String> {
        // A bound, so that work that makes work is found too.
        for _ in 0..10_000 {
            if !self.store.keep().map_err(|failure| failure.to_string())? {
                return Ok(());
            }
            self.store.commit().map_err(|failure| failure.to_string())?;
        }
        Err("the keeper is never done".to_owned())
    }

    pub(crate) fn receive(
        &mut self,
        queue: &str,
        max: u32,
        visibility_ms: u64,
    ) -> Result<Vec<Delivery>, String> {
        let receive = Command::Receive {
            queue: queue.to_owned(),
            max,
            wait_ms: Some(0),
            visibility_ms: Some(visibility_ms),
            bytes_max: u64::MAX,
            attempt: None,
        };
        match self.done(receive)? {
            Reply::Received { deliveries, .. } => Ok(deliveries),
            other => Err(format!("a receive is answered with {other:?}")),
        }
    }

    pub(crate) fn ack(&mut self, queue: &str, deliveries: &[Delivery]) -> Result<(), String> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let receipts = deliveries.iter().map(|delivery| delivery.receipt).collect();
        match self.done(Command::Ack { queue: queue.to_owned(), receipts })? {
            Reply::Changed { failures } if failures.is_empty() => Ok(()),
            other => Err(format!("an ack is answered with {other:?}")),
        }
    }

    pub(crate) fn create(
        &mut self,
        name: &str,
        attributes: AttributeChanges,
    ) -> Result<(), String> {
        let attributes = attributes.into();
        self.done(Command::CreateQueue { name: name.to_owned(), attributes }).map(drop)
    }

    pub(crate) fn send(&mut self, queue: &str, messages: Vec<NewMessage>) -> Result<(), String> {
        self.done(Command::Send { queue: queue.to_owned(), messages, batch: None }).map(drop)
    }
}

/// Options of a store that does nothing beside its log but what has to be.
pub(crate) fn quiet(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        tail_cache_bytes: 4 << 10,
        snapshot_bytes: u64::MAX,
        snapshot_ms: u64::MAX,
        garbage_percent: 1 << 20,
        garbage_segment_percent: 1 << 20,
        ..Options::default()
    }
}

/// A message as it is sent; a group also gives it a deduplication key.
pub(crate) fn message(
    number: u64,
    body: &[u8],
    group: Option<u64>,
    delay_ms: Option<u64>,
) -> NewMessage {
    let mut payload = Vec::new();
    if let Some(group) = group {
        let group = format!("group-{group}");
        payload.push(1);
        payload.extend((group.len() as u32).to_le_bytes());
        payload.extend(group.as_bytes());
    }
    let attributes_bytes = payload.len() as u32;
    payload.extend(body);
    let deduplication = match group {
        Some(_) => Deduplication::Id(DeduplicationKey(u128::from(number).to_be_bytes())),
        None => Deduplication::None,
    };
    NewMessage {
        delay_ms,
        checksum: checksum::message(attributes_bytes, &payload),
        attributes_bytes,
        payload: Bytes::from(payload),
        deduplication,
    }
}
