//! Crash-recovery campaigns against Forebay: what `forebay torture` runs.
//!
//! | module | what |
//! | --- | --- |
//! | `kill` | the real server on the real disk, killed under load, and a checker of what its clients were told |
//! | `rot` | every bit, byte, block and file of a store at rest damaged, in memory |
//! | `stop` | how somebody from outside ends a campaign |
//! | `sim` | the engine on a simulated disk and clock, beside a plain model, from one seed |

pub mod kill;
mod random;
pub mod rot;
pub mod sim;
mod stop;

pub use stop::Stop;
