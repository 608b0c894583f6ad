//! Why a command did not do what it was asked.

use std::io;

use forebay_engine::error::OpenError;
use forebay_protocol::ErrorCode;
use forebay_protocol::client::ClientError;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// To be told on stderr.
    Because(String),
    /// A setting that cannot be; to be told on stderr.
    Usage(String),
    /// Told already: the exit status is all that is left to say.
    Reported,
    /// Told already: derived files are to be made anew.
    Spoiled,
    /// Told already: what was left of a damaged store is a whole one.
    Repaired,
    /// Whoever read stdout has closed it: a quiet end.
    OutputClosed,
}

impl Failure {
    /// A failure with a reason.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Failure::Because(reason.into())
    }

    /// A failure that may have the system's own words in it.
    pub(super) fn plain(error: &dyn std::fmt::Display) -> Self {
        Failure::Because(plain(&error.to_string()))
    }

    /// A failure to read or write `what`.
    pub(super) fn io(what: &str, error: &io::Error) -> Self {
        Failure::Because(format!("{what}: {}", plain(&error.to_string())))
    }
}

/// A refusal's words about the only message of a batch, without its place there. `subject` stands for it where it
/// is what the sentence is about.
pub(super) fn of_the_only_message(text: &str, subject: &str) -> String {
    let text = text.replacen("message 0 of the batch: ", "", 1);
    text.replacen("message 0 of the batch ", &format!("{subject} "), 1)
}

/// Whether as many messages of the queue are in flight as may be.
pub(super) fn is_full(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(error) if error.code == ErrorCode::InFlightFull)
}

/// A failed write to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::io("stdout", &error),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = plain(&error.to_string());
        match error {
            // One that answers, be it with a refusal, runs; one that was lost did.
            ClientError::Connect { may_pass: true, .. } => Failure::Because(format!(
                "{text}; is a server running? start one with: forebay serve"
            )),
            ClientError::Unknown { operation: "DeleteQueue" | "PurgeQueue", .. } => {
                Failure::Because(format!(
                    "{text}; it was not repeated, for it could hit what came later; forebay queue \
                     show tells whether it was done"
                ))
            }
            _ => Failure::Because(text),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Failure::plain(&error)
    }
}

/// Without the numbers that the system's errors carry for programs.
pub(super) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find(" (os error ")
        && let Some(length) = text[start..].find(')')
    {
        text.replace_range(start..=start + length, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_people_speak() {
        let cause = io::Error::from_raw_os_error(111).to_string();
        let error =
            ClientError::Connect { addr: "127.0.0.1:7480".to_owned(), cause, may_pass: true };
        let Failure::Because(text) = Failure::from(error) else { panic!("it has a reason") };
        assert_eq!(
            text,
            "cannot connect to 127.0.0.1:7480: Connection refused; is a server running? start one \
             with: forebay serve"
        );
    }
}
