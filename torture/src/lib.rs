//! Crash-recovery campaigns against Forebay: what `forebay torture` runs.
//!
//! | module | what |
//! | --- | --- |
//! | `sim` | the engine on a simulated disk and clock, beside a plain model, from one seed |

pub mod sim;
