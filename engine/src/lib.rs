//! The storage engine of Forebay: an append-only segmented log with queues on top.
//!
//! [`Engine`] is the whole, on its threads; [`Store`] the same without threads, for simulation.
//! What is on disk is described in `FORMAT.md`. No network, no async runtime.
//!
//! For testing recovery code of another system: [`disk::SimDisk`] with its faults, and [`crash_sweep`], with an
//! example.
//!
//! The modules, and which of them sees which, are a table in the workspace's `ARCHITECTURE.md`.

pub mod attributes;
pub mod attributes_section;
#[doc(hidden)]
pub mod broken;
pub mod checksum;
mod codec;
pub mod command;
mod compactor;
mod core;
mod counters;
pub mod crash_sweep;
pub mod disk;
mod engine;
pub mod entry;
pub mod error;
pub mod facts;
pub mod ids;
mod index;
pub mod inspect;
mod keeper;
pub mod location;
pub mod log;
mod opening;
pub mod options;
mod pace;
pub mod progress;
pub mod receipt;
pub mod record;
mod recovery;
pub mod repair;
mod snapshot;
mod state;
pub mod stats;
mod store;
pub mod time;
pub mod unit;
mod upkeep;
pub mod verify;

pub use engine::{Engine, EngineHandle, OnFailure};
pub use error::{Damage, LogFailure, OpenError, ReadError, RequestError};
pub use log::reader::{DeadLetter, StoredMessage};
pub use opening::Opening;
pub use options::Options;
pub use store::Store;
pub use time::{Clock, LogTime, SimClock, SystemClock};
