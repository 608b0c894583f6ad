//! An interrupt of a command that goes on until there is one.

/// How long a receive may take that has nothing to wait for.
const ON_ITS_WAY: std::time::Duration = std::time::Duration::from_secs(1);

/// Ctrl-C: the first ends the command after what it is doing, the second ends the process.
pub(super) struct Interrupted(tokio::sync::watch::Receiver<bool>);

impl Interrupted {
    pub(super) fn listen() -> Self {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            // Without a handler, Ctrl-C ends the process as it always did.
            while tokio::signal::ctrl_c().await.is_ok() {
                if sender.send_replace(true) {
                    std::process::exit(130);
                }
            }
        });
        Self(receiver)
    }

    /// Whether there was one.
    pub(super) fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// What a receive brings; `None` if there was an interrupt. One that is on its way already is awaited for
    /// a moment: what it brings would be leased to nobody.
    pub(super) async fn or_received<T>(&mut self, receiving: impl Future<Output = T>) -> Option<T> {
        let mut receiving = std::pin::pin!(receiving);
        tokio::select! {
            biased;
            received = &mut receiving => Some(received),
            () = self.wait() => tokio::time::timeout(ON_ITS_WAY, receiving).await.ok(),
        }
    }

    pub(super) async fn wait(&mut self) {
        if self.0.wait_for(|interrupted| *interrupted).await.is_err() {
            std::future::pending().await
        }
    }
}
