//! Queues as SQS names them: by URL and by ARN.

use super::error::{Code, Result, SqsError};

/// What URLs and ARNs are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// What queue URLs begin with; `None`: with what the client has reached this server by.
    pub(crate) base_url: Option<String>,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Addresses {
    /// A queue's URL, for a client that has reached this server by `host`.
    pub(crate) fn url(&self, host: &str, queue: &str) -> String {
        match &self.base_url {
            Some(base) => format!("{}/{}/{queue}", base.trim_end_matches('/'), self.account),
            None => format!("http://{host}/{}/{queue}", self.account),
        }
    }

    /// A queue's ARN.
    pub(crate) fn arn(&self, queue: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{queue}", self.region, self.account)
    }

    /// The queue of an ARN, if it is one of this account and region.
    pub(crate) fn queue_of_arn<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let rest = arn.strip_prefix("arn:aws:sqs:")?.strip_prefix(&self.region)?;
        let name = rest.strip_prefix(':')?.strip_prefix(&self.account)?.strip_prefix(':')?;
        (!name.is_empty() && !name.contains(':')).then_some(name)
    }
}

/// The queue of a URL, or of the path of one: what is behind the last slash. Host and account are not
/// looked at, so that a program which knows a queue by its URL at AWS finds it here.
pub(crate) fn queue_of_url(url: &str) -> Result<&str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, at)) => match at.split_once('/') {
            Some((_, path)) => path,
            // A host alone is no queue.
            None if !at.is_empty() => return Err(SqsError::unknown_queue()),
            None => "",
        },
        None => path,
    };
    match path.trim_end_matches('/').rsplit('/').next() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(SqsError::new(
            Code::InvalidAddress,
            format!("The address {url} is not valid for this endpoint."),
        )),
    }
}

/// The queue whose path this is: `/<account>/<queue>`; `None` of any other path.
pub(crate) fn queue_of_path(path: &str) -> Option<&str> {
    match segments(path)[..] {
        [_, queue] => Some(queue),
        _ => None,
    }
}

/// A path without empty segments and dots, as requests are signed.
pub(super) fn normal_path(path: &str) -> String {
    let segments = segments(path);
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// The segments of a path but for those that say nothing: empty ones, dots, and two dots with what is before
/// them.
fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(base_url: Option<&str>) -> Addresses {
        let (region, account) = ("eu-central-1".to_owned(), "123456789012".to_owned());
        Addresses { base_url: base_url.map(str::to_owned), region, account }
    }

    #[test]
    fn a_url_begins_as_configured_or_as_the_client_came() {
        let url = addresses(None).url("localhost:9324", "q");
        assert_eq!(url, "http://localhost:9324/123456789012/q");
        let url = addresses(Some("https://queues.example/")).url("localhost:9324", "q.fifo");
        assert_eq!(url, "https://queues.example/123456789012/q.fifo");
    }

    #[test]
    fn an_arn_reads_back_and_one_of_elsewhere_is_no_queue_here() {
        let here = addresses(None);
        assert_eq!(here.arn("q"), "arn:aws:sqs:eu-central-1:123456789012:q");
        assert_eq!(here.queue_of_arn(&here.arn("q")), Some("q"));
        for arn in [
            "",
            "q",
            "arn:aws:sqs:us-east-1:123456789012:q",
            "arn:aws:sqs:eu-central-1:000000000000:q",
            "arn:aws:sns:eu-central-1:123456789012:q",
            "arn:aws:sqs:eu-central-1:123456789012:",
            "arn:aws:sqs:eu-central-1:123456789012:q:r",
        ] {
            assert_eq!(here.queue_of_arn(arn), None, "{arn}");
        }
    }

    #[test]
    fn a_queue_is_what_stands_behind_the_last_slash() {
        for url in [
            "http://localhost:9324/000000000000/q",
            "https://sqs.us-east-1.amazonaws.com/123456789012/q",
            "http://localhost/000000000000/q/",
            "/000000000000/q",
            "q",
        ] {
            assert_eq!(queue_of_url(url), Ok("q"), "{url}");
        }
        for url in ["", "/", "http://localhost:9324/", "http://localhost:9324/?q", "https://"] {
            assert_eq!(queue_of_url(url).unwrap_err().code, Code::InvalidAddress, "{url}");
        }
        // AWS says so of a host without a path.
        for url in ["http://localhost:9324", "http://q", "http://q?x"] {
            assert_eq!(queue_of_url(url).unwrap_err().code, Code::QueueDoesNotExist, "{url}");
        }
        for path in ["/a/q", "/a/q/", "//a//q", "/./a/q/.", "/b/../a/c/../q", "/../a/q"] {
            assert_eq!(queue_of_path(path), Some("q"), "{path}");
        }
        for path in ["/", "/q", "//q", "/./q", "/../q", "/a/b/c", "/a/q/..", ""] {
            assert_eq!(queue_of_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_is_signed_without_what_says_nothing() {
        for (path, normal) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/a/..", "/"),
            ("/a/q", "/a/q"),
            ("/a/q/", "/a/q/"),
            ("//a/./q//", "/a/q/"),
            ("/a/b/../q", "/a/q"),
            ("/../a", "/a"),
            ("/a/%2e/.b", "/a/%2e/.b"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
        }
    }
}
