//! Load generators and benchmark reports: `README.md` says what is measured and how.
//!
//! Every workload runs against `forebay serve` and, in the same run and in turns with it, against
//! the [`bare`] server: the same load generator, frames and sockets, a file instead of a queue.
//! What the second reaches is the limit of the machine, and the first is told as its share.
//!
//! Each module uses only those above it:
//!
//! | module | what |
//! | --- | --- |
//! | `workload` | the workloads, defined once, and their names |
//! | `error` | why a measurement failed |
//! | `frames`, `wire` | what the load generator sends, and over what |
//! | `pace`, `measure` | when a run begins and ends, and what it found |
//! | `send`, `drain`, `subscribe`, `probe` | the load: sends, receives or subscriptions with acks, and what to compare with |
//! | `bare`, `process`, `server` | the servers under load |
//! | `syncs` | how many messages share a sync |
//! | `rounds` | runs in turns, and their medians |
//! | `report` | the table and the JSON |
//! | `sqs` | the SQS endpoint beside the native protocol and a bare HTTP server |
//! | `deep` | the workloads of a lot of data, on servers of their own |

pub mod bare;
pub mod deep;
mod drain;
mod error;
mod frames;
mod measure;
mod pace;
mod probe;
mod process;
mod report;
pub mod rounds;
mod send;
mod server;
pub mod sqs;
mod subscribe;
pub mod syncs;
mod wire;
pub mod workload;

pub use error::BenchError;
pub use report::{Report, Row};
