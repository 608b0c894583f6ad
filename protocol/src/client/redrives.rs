//! The client's operations on dead-letter queues.

use super::{Client, ClientError};
use crate::operation::{CancelRedrive, ListRedrives, RedriveInfo, RedriveStarted, StartRedrive};
use crate::redrive_id::RedriveId;

impl Client {
    /// Starts to move what is in a dead-letter queue to the queue `destination`, or, if that is
    /// empty, back to the queues that each message came from: at `rate` messages a second, or, if
    /// that is 0, without a limit.
    /// Refused with `UnknownQueue`, `OutOfRange`, `NotDeadLetterQueue`, `BadDestination`,
    /// `RedriveRunning`, also if an earlier copy of the request has started it, `TooManyRedrives`,
    /// `StorageFull`.
    pub async fn start_redrive(
        &self,
        queue: &str,
        destination: &str,
        rate: u32,
    ) -> Result<RedriveStarted, ClientError> {
        let (queue, destination) = (queue.to_owned(), destination.to_owned());
        self.call(StartRedrive { queue, destination, rate }).await
    }

    /// The redrives of a queue, the newest first: the one that runs, and the last that ended.
    /// Refused with `UnknownQueue`.
    pub async fn list_redrives(&self, queue: &str) -> Result<Vec<RedriveInfo>, ClientError> {
        Ok(self.call(ListRedrives { queue: queue.to_owned() }).await?.redrives)
    }

    /// Ends a redrive, and tells how many messages it has moved; they stay moved.
    /// Refused with `UnknownRedrive`, also if it has ended, `StorageFull`.
    pub async fn cancel_redrive(&self, redrive: RedriveId) -> Result<u64, ClientError> {
        Ok(self.call(CancelRedrive { redrive: redrive.0 }).await?.moved)
    }
}
