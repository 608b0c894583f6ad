//! The storage engine of Forebay: an append-only segmented log with queues on top.
//!
//! [`Engine`] is the whole, on its threads; [`Store`] the same without threads, for simulation.
//! What is on disk is described in `FORMAT.md`. No network, no async runtime.
//!
//! Modules in import order, each seeing only those before it: words ([`ids`], [`time`], [`disk`],
//! [`error`], [`attributes`], [`location`], [`receipt`], [`command`]), bytes ([`checksum`], `codec`,
//! [`record`], [`entry`]), settings ([`options`]), files ([`log`]), what they mean (`index`,
//! `state`), decisions (`core`), and the whole (`opening`, [`Store`], [`Engine`]); [`verify`] and
//! [`inspect`] look at a store from outside.

pub mod attributes;
pub mod checksum;
mod codec;
pub mod command;
mod core;
pub mod disk;
mod engine;
pub mod entry;
pub mod error;
pub mod ids;
mod index;
pub mod inspect;
pub mod location;
pub mod log;
mod opening;
pub mod options;
pub mod receipt;
pub mod record;
mod state;
mod store;
pub mod time;
pub mod verify;

pub use engine::{Engine, EngineHandle, OnFailure};
pub use error::{Damage, LogFailure, OpenError, ReadError, RequestError};
pub use log::reader::StoredMessage;
pub use opening::Opening;
pub use options::Options;
pub use store::Store;
pub use time::{Clock, LogTime, SimClock, SystemClock};
