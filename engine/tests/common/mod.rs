//! What tests of a store have together: its words, from the simulator, and an engine on threads.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module that each test file includes and uses in part"
)]

pub mod engine;
pub mod gate;

pub use forebay_torture::sim::{
    Answer, Answers, DATA, Shown, ShownQueue, Slot, ask, assert_no_leaked_files, assert_undamaged,
    in_group, lose_derived, message, open, peek, show, tiny,
};
