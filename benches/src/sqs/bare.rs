//! The bare HTTP server: hyper, the endpoint's own parser, and an answer as long as the endpoint's. It stores
//! nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use forebay::sqs::understand_json;
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::BenchError;

/// Serves until the process is ended, and tells where it listens on stdout. It has as many threads as
/// the endpoint has.
pub fn serve() -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("bare HTTP listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new();
                // A client that goes is no error here.
                let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut incoming = request.into_body();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            body.extend_from_slice(&data);
        }
    }
    let status = match understand_json("SendMessageBatch", &body) {
        Ok(_) => 200,
        Err(_) => 400,
    };
    let entries: Vec<_> = (0..10).map(entry).collect();
    let body = serde_json::json!({ "Successful": entries }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("both are statuses");
    Ok(response)
}

fn entry(index: u32) -> serde_json::Value {
    serde_json::json!({
        "Id": index.to_string(),
        "MD5OfMessageBody": "5d41402abc4b2a76b9719d911017c592",
        "MessageId": "06710580-0000-8004-8000-000000000001",
    })
}
