//! The window: how many requests, and how many of their bytes, may be unanswered at once.
//!
//! It is sized by the first Welcome. If a later one announces less, the server reads more slowly
//! than the client writes, which TCP bears.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ClientError;
use crate::operation::Limits;

/// The room that is left. Clones share it; who waits first is served first.
#[derive(Clone)]
pub(super) struct Window {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
}

/// One call's share of the window, given back when dropped.
pub(super) struct Permits {
    window: Window,
    _request: OwnedSemaphorePermit,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Window {
    pub(super) fn new(limits: &Limits) -> Window {
        let bytes_max = limits.in_flight_bytes_max.max(1);
        Window {
            requests: Arc::new(Semaphore::new(limits.in_flight_requests_max.max(1) as usize)),
            bytes: Arc::new(Semaphore::new(bytes_max as usize)),
            bytes_max,
        }
    }

    /// Waits until one more request may be unanswered.
    pub(super) async fn request(&self) -> Result<Permits, ClientError> {
        let request =
            self.requests.clone().acquire_owned().await.map_err(|_| ClientError::Closed)?;
        Ok(Permits { window: self.clone(), _request: request, bytes: None })
    }
}

impl Permits {
    /// Waits until the request's bytes have room as well. A request larger than the whole window
    /// waits until it is alone.
    pub(super) async fn add_bytes(&mut self, bytes: usize) -> Result<(), ClientError> {
        let share = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.window.bytes_max);
        let permit = self.window.bytes.clone().acquire_many_owned(share).await;
        self.bytes = Some(permit.map_err(|_| ClientError::Closed)?);
        Ok(())
    }
}
