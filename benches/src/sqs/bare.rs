//! The bare HTTP server: hyper, the endpoint's own parser, and the answer that the endpoint gives to its last
//! header, with ids of messages and the digests that clients compare. It stores nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use forebay_protocol::{MessageId, md5_of_body};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::ParseBatch;
use crate::BenchError;

/// The room that is made for a body that is announced.
const ROOM_BYTES_MAX: u64 = 1 << 20;

/// The room that is made for an answer.
const ANSWER_BYTES: usize = 2 << 10;

/// Serves until the process is ended, and tells where it listens on stdout. It has as many threads as
/// the endpoint has.
pub(crate) fn serve(parse_batch: ParseBatch) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("bare HTTP listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new();
                let answer = service_fn(move |request| answer(request, parse_batch));
                // A client that goes is no error here.
                let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

async fn answer(
    request: Request<Incoming>,
    parse_batch: ParseBatch,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut incoming = request.into_body();
    let announced = incoming.size_hint().exact().unwrap_or(0).min(ROOM_BYTES_MAX);
    let mut body = Vec::with_capacity(announced as usize);
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            body.extend_from_slice(&data);
        }
    }
    let mut entries = Vec::new();
    let is_good = parse_batch(&body, &mut |id, body| entries.push(Entry::new(id, body)));
    let mut text = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut text, &Answer { entries }).expect("texts can be written");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = if is_good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let request_id = HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is ASCII");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    headers.insert("x-amzn-requestid", request_id);
    Ok(response)
}

/// The endpoint's answer.
#[derive(Serialize)]
struct Answer {
    #[serde(rename = "Successful")]
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MessageId")]
    message_id: String,
}

impl Entry {
    fn new(id: &str, body: &str) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self {
            id: id.to_owned(),
            md5_of_body: md5_of_body(body.as_bytes()),
            message_id: MessageId::new(Uuid::nil(), 1, number).to_string(),
        }
    }
}
