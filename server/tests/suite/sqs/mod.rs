//! Without these, a program written for SQS would meet an answer here that it does not know: each value is
//! the one that AWS gives, said on the wire, in both protocols.

mod attributes;
mod connections;
mod dead_letters;
mod envelope;
mod fifo;
mod limits;
mod messages;
mod permissions;
mod queues;
mod receipts;
mod signatures;
mod wire;
