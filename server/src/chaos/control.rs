//! What is asked by hand, over HTTP: how it stands, to move the clock, to kill.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::plan::AHEAD_MAX;
use super::{Chaos, Fate};
use crate::caller::EngineHandle;
use crate::duration::duration;

/// What may be asked.
const USAGE: &str = "expected GET /, POST /clock?ahead=1h or POST /kill\n";

/// Answers, for ever.
pub(super) async fn run(
    chaos: Arc<Chaos>,
    engine: EngineHandle,
    listener: TcpListener,
    fate: Arc<Fate>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (chaos, engine, fate) = (Arc::clone(&chaos), engine.clone(), Arc::clone(&fate));
        tokio::spawn(async move {
            let is_to_die = AtomicBool::new(false);
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(&chaos, &engine, &is_to_die, &request);
                async { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            // Whoever asks may be gone.
            let _ = http.keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
            if is_to_die.into_inner() {
                chaos.kill(&fate);
            }
        });
    }
}

fn respond(
    chaos: &Chaos,
    engine: &EngineHandle,
    is_to_die: &AtomicBool,
    request: &Request<Incoming>,
) -> Response<String> {
    let is_known = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Ok(()),
        (&Method::POST, "/clock") => ahead(request.uri().query()).map(|ahead| {
            chaos.move_clock(ahead, engine);
        }),
        // When the answer is written.
        (&Method::POST, "/kill") => {
            is_to_die.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    let (status, text) = match is_known {
        Ok(()) => {
            let told = serde_json::to_string(&chaos.told());
            (StatusCode::OK, told.expect("numbers have a JSON form") + "\n")
        }
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
}

/// How far the clock is to be moved.
fn ahead(query: Option<&str>) -> Result<Duration, String> {
    let text = query.and_then(|query| query.strip_prefix("ahead="));
    let text = text.ok_or_else(|| USAGE.to_owned())?;
    let ahead = duration(text).map_err(|wrong| format!("ahead: {wrong}\n"))?;
    match ahead <= AHEAD_MAX {
        true => Ok(ahead),
        false => Err(format!("ahead is \"{text}\", expected at most 100years\n")),
    }
}
