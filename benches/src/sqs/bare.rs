//! The bare HTTP server: hyper, the endpoint's own parser, and the answer that the endpoint gives, with the
//! digests that clients compare. It stores nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::ParseBatch;
use crate::BenchError;

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
    let mut body = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            body.extend_from_slice(&data);
        }
    }
    let mut entries = Vec::new();
    let status = if parse_batch(&body, &mut |body| entries.push(entry(body))) { 200 } else { 400 };
    let body = serde_json::json!({ "Successful": entries }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("both are statuses");
    Ok(response)
}

fn entry(body: &str) -> serde_json::Value {
    serde_json::json!({
        "Id": "0",
        "MD5OfMessageBody": forebay_protocol::md5_of_body(body.as_bytes()),
        "MessageId": "06710580-0000-8004-8000-000000000001",
    })
}
