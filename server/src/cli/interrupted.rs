//! An interrupt of a command that goes on until there is one.

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

    pub(super) async fn wait(&mut self) {
        if self.0.wait_for(|interrupted| *interrupted).await.is_err() {
            std::future::pending().await
        }
    }
}
