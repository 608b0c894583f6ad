//! The promises of the server and of the command line, each file about what would be lost
//! without it.
//!
//! Tests wait for events: a reply, a closed connection, a line of output, a count. The time limits
//! in `support` only turn a hang into a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

mod attributes;
mod bad_directories;
mod bad_frames;
mod bad_requests;
mod benchmarks;
mod browsing;
mod chaos;
mod command_line;
mod crashes;
mod dead_letters;
mod delivery;
mod explaining;
mod forwarding;
mod full_disk;
mod giving_back;
mod imports_point_down;
mod message_attributes;
mod one_fact_twice;
mod real_input;
mod repairing;
mod repeating;
mod slow_clients;
mod sqs;
mod starting_and_stopping;
mod subscriptions;
mod torture;
mod unheard;
mod unreadable;
