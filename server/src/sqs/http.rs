//! One request: from HTTP to an action, and its answer back, in the protocol that it came in.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::action::{Action, Answer, Request};
use super::address::queue_of_path;
use super::alarm::Alarm;
use super::endpoint::{Asked, Endpoint};
use super::error::{Code, Result, SqsError};
use super::outputs::Output;
use super::query::Parameters;
use super::rights::{self, Circumstances};
use super::stream::{AnswerBody, Unwritten};
use super::{cors, query_json, signature, xml};
use crate::memory::{Charge, Need, UNCHARGED_BYTES};

/// The longest body: ten of the largest messages, which is more than any batch may have, are told how long
/// they are.
const BODY_BYTES_MAX: usize = 12 << 20;

/// So many bytes are made room for at once if they are announced, and are charged only when the body is whole.
const SMALL_BODY_BYTES: usize = UNCHARGED_BYTES;

/// The room that is made for an answer: that of a full batch fits.
const ANSWER_BYTES: usize = 2 << 10;

/// A body is in memory as it came, and as what is made of it.
const COPIES: usize = 2;

const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "AmazonSQS.";
const TRACE: &str = "x-amzn-trace-id";

/// In which answers in JSON tell an error's name in the Query protocol: SDKs look for those.
const QUERY_ERROR: &str = "x-amzn-query-error";

/// The longest trace header.
const TRACE_BYTES_MAX: usize = 1024;

const OF_A_PAGE: &str = "Web pages may use this endpoint only if it has access keys.";

// What answers of the Query protocol are.
const XML: &str = "text/xml";
const JSON: &str = "application/json";

// What a request is answered with that names no action, in the Query protocol and in JSON.
const NO_ACTION: &str = "<UnknownOperationException/>\n";
const NO_ACTION_IN_JSON: &str =
    r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Json,
    Query,
    /// Asked for in Query, answered in JSON.
    QueryInJson,
}

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) unwritten: Unwritten,
    pub(super) alarm: Alarm,
}

/// A request with what it needs to be answered.
struct Exchange<'a> {
    endpoint: &'a Endpoint,
    protocol: Protocol,
    request_id: String,
    client: Client,
}

/// Answers a request.
pub(super) async fn respond(
    endpoint: Arc<Endpoint>,
    client: Client,
    request: http::Request<Incoming>,
) -> std::result::Result<http::Response<AnswerBody>, Infallible> {
    let (parts, body) = request.into_parts();
    let protocol = match parts.headers.contains_key(TARGET) {
        true => Protocol::Json,
        false if prefers_json(&parts) => Protocol::QueryInJson,
        false => Protocol::Query,
    };
    let exchange =
        Exchange { endpoint: &endpoint, protocol, request_id: Uuid::new_v4().to_string(), client };
    Ok(exchange.run(&parts, body).await)
}

/// Whether JSON stands first in what the client accepts.
fn prefers_json(parts: &Parts) -> bool {
    let accepted = parts.headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let first = accepted.and_then(|accepted| accepted.split([',', ';']).next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case(JSON))
}

impl Exchange<'_> {
    async fn run(self, parts: &Parts, body: Incoming) -> http::Response<AnswerBody> {
        let mut response = match read(self.endpoint, &self.client.alarm, parts, body).await {
            Ok((body, charge)) => {
                let response = self.respond(parts, &body, charge).await;
                self.endpoint.rooms.give_back(body);
                response
            }
            Err(error) => {
                let mut response = self.refuse(&error);
                // What is left of the body is not read.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
        };
        if self.endpoint.credentials.is_some() {
            cors::allow(parts, response.headers_mut());
        }
        response
    }

    async fn respond(
        &self,
        parts: &Parts,
        body: &Bytes,
        mut charge: Charge,
    ) -> http::Response<AnswerBody> {
        let now = || {
            let since_1970 = Duration::from_millis(self.endpoint.clock.wall_ms());
            OffsetDateTime::from(UNIX_EPOCH + since_1970)
        };
        let key = match &self.endpoint.credentials {
            None if cors::is_of_a_page(parts) => {
                return self.refuse(&SqsError::new(Code::AccessDenied, OF_A_PAGE));
            }
            None => None,
            Some(_) if cors::is_preflight(parts) => {
                return self.response(StatusCode::OK, Bytes::new(), None);
            }
            Some(credentials) => {
                let region = &self.endpoint.addresses.region;
                match signature::verify(credentials, region, now(), parts, body) {
                    Ok(key) => Some(key),
                    Err(error) => return self.refuse(&error),
                }
            }
        };
        let request = match self.protocol {
            Protocol::Json => json_request(parts, body),
            Protocol::Query | Protocol::QueryInJson => query_request(parts, body),
        };
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return self.no_action(),
            Err(error) => return self.refuse(&error),
        };
        let action = request.action();
        if action == Action::ReceiveMessage {
            // It may wait long, but a client has only one.
            charge.wait();
        }
        if let Some(key) = key {
            let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
            let circumstances = Circumstances {
                source: self.client.address,
                now: now(),
                user_agent: user_agent.map(str::to_owned),
            };
            let checked = rights::check(self.endpoint, key, &request, &circumstances).await;
            if let Err(error) = checked {
                return self.refuse(&error);
            }
        }
        match request.act(self.endpoint, &asked(parts, body)).await {
            Ok(answer) => self.answer(action, answer),
            Err(error) => self.refuse(&error),
        }
    }

    fn answer(&self, action: Action, answer: Answer) -> http::Response<AnswerBody> {
        let Answer { output, held } = answer;
        let body = match (self.protocol, &output) {
            (Protocol::Json, Output::Nothing(_)) => Ok(Vec::new()),
            (Protocol::Json, output) => {
                let mut body = Vec::with_capacity(ANSWER_BYTES);
                serde_json::to_writer(&mut body, output).map(|()| body)
            }
            (Protocol::Query, output) => serde_json::to_value(output).map(|members| {
                let successful = action.successful_entry();
                xml::answer(action.name(), successful, &members, &self.request_id).into_bytes()
            }),
            (Protocol::QueryInJson, output) => serde_json::to_value(output).map(|members| {
                query_json::answer(action.name(), members, &self.request_id).into_bytes()
            }),
        };
        match body {
            Ok(body) => self.response(StatusCode::OK, body.into(), held),
            Err(error) => self.refuse(&SqsError::internal(error.to_string())),
        }
    }

    /// The answer to a request that names no action. No other error comes without a message.
    fn no_action(&self) -> http::Response<AnswerBody> {
        let (status, body) = match self.protocol {
            Protocol::Json => (StatusCode::BAD_REQUEST, NO_ACTION_IN_JSON),
            Protocol::Query | Protocol::QueryInJson => (StatusCode::NOT_FOUND, NO_ACTION),
        };
        let mut response = self.response(status, Bytes::from_static(body.as_bytes()), None);
        match self.protocol {
            Protocol::Json => {
                let query_error = HeaderValue::from_static("InvalidAction;Sender");
                response.headers_mut().insert(QUERY_ERROR, query_error);
            }
            Protocol::Query => {}
            // Whatever was asked for.
            Protocol::QueryInJson => {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(XML));
            }
        }
        response
    }

    fn refuse(&self, error: &SqsError) -> http::Response<AnswerBody> {
        let SqsError { code, message } = error;
        tracing::debug!(request = self.request_id, code = code.query_name(), message, "refused");
        let body = match self.protocol {
            Protocol::Json => {
                let body = serde_json::json!({ "__type": code.json_name(), "message": message });
                body.to_string()
            }
            Protocol::Query | Protocol::QueryInJson => {
                let mut error = error.clone();
                // So it is told in this protocol.
                if error == SqsError::unknown_queue() {
                    error.message =
                        "The specified queue does not exist for this wsdl version.".into();
                }
                match self.protocol {
                    Protocol::QueryInJson => query_json::error(&error, &self.request_id),
                    _ => xml::error(&error, &self.request_id),
                }
            }
        };
        let mut response = self.response(code.status(), body.into(), None);
        if self.protocol == Protocol::Json {
            let query_error = format!("{};{}", code.query_name(), code.fault());
            let query_error = HeaderValue::try_from(query_error).expect("the names are ASCII");
            response.headers_mut().insert(QUERY_ERROR, query_error);
        }
        response
    }

    fn response(
        &self,
        status: StatusCode,
        body: Bytes,
        held: Option<super::receive::Held>,
    ) -> http::Response<AnswerBody> {
        let content_type = match self.protocol {
            Protocol::Json => "application/x-amz-json-1.0",
            Protocol::Query => XML,
            Protocol::QueryInJson => JSON,
        };
        let request_id = HeaderValue::try_from(&self.request_id).expect("a UUID is ASCII");
        let mut response =
            http::Response::new(AnswerBody::new(body, held, self.client.unwritten.clone()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert("x-amzn-requestid", request_id);
        response
    }
}

/// The body, if it is not too long and comes in time, and the memory for it.
async fn read(
    endpoint: &Endpoint,
    alarm: &Alarm,
    parts: &Parts,
    mut body: Incoming,
) -> Result<(Bytes, Charge)> {
    let too_long = || {
        let text = format!("Request entity is too large: at most {BODY_BYTES_MAX} bytes.");
        SqsError::new(Code::RequestEntityTooLarge, text)
    };
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced = announced.and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if announced > BODY_BYTES_MAX as u64 {
        return Err(too_long());
    }
    // What is announced costs nothing until it comes; of a small body it saves growing step by step.
    let expected = (announced as usize).min(SMALL_BODY_BYTES);
    let mut bytes = endpoint.rooms.take(expected);
    let (mut charge, mut began) = (Charge::default(), Instant::now());
    let cover = async |charge: &mut Charge, need, length| {
        if !endpoint.memory.try_raise(charge, need, COPIES * length) {
            let more = endpoint.memory.wait_for(charge, need, COPIES * length).await;
            charge.merge(more);
        }
    };
    loop {
        let deadline = began + endpoint.limits.frame_patience(bytes.len());
        let frame = poll_fn(|context| match Pin::new(&mut body).poll_frame(context) {
            Poll::Pending => alarm.poll(context, deadline).map(Err),
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
        });
        let frame = frame.await.map_err(|()| {
            SqsError::new(Code::RequestTimeout, "The request's body did not arrive in time.")
        })?;
        let Some(frame) = frame else {
            cover(&mut charge, Need::Whole, bytes.len()).await;
            return Ok((bytes.freeze(), charge));
        };
        let frame = frame.map_err(|error| SqsError::new(Code::Serialization, error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_BYTES_MAX {
            return Err(too_long());
        }
        if length > SMALL_BODY_BYTES {
            let waits_since = Instant::now();
            cover(&mut charge, Need::Arriving, length).await;
            // The client cannot be blamed for that.
            began += waits_since.elapsed();
        }
        bytes.extend_from_slice(&data);
    }
}

/// A request of the JSON protocol; `None`: it names no action.
fn json_request<'a>(parts: &Parts, body: &'a [u8]) -> Result<Option<Request<'a>>> {
    let target = parts.headers.get(TARGET).and_then(|target| target.to_str().ok());
    let name = target.and_then(|target| target.strip_prefix(TARGET_PREFIX));
    let Some(action) = name.and_then(Action::by_name) else { return Ok(None) };
    let mut request = Request::from_json(action, body)?;
    stand_in(&mut request, parts);
    Ok(Some(request))
}

/// A request of the Query protocol; `None`: it names no action.
fn query_request(parts: &Parts, body: &[u8]) -> Result<Option<Request<'static>>> {
    let mut parameters = Parameters::default();
    parameters.add(parts.uri.query().unwrap_or_default().as_bytes())?;
    if parts.method == Method::POST {
        parameters.add(body)?;
    }
    let Some(name) = parameters.action() else { return Ok(None) };
    let is_at_queue = queue_of_path(parts.uri.path()).is_some();
    let action = Action::by_name(name).filter(|action| action.is_for_queue_path() || !is_at_queue);
    let Some(action) = action else {
        let text = format!("The action {name} is not valid for this endpoint.");
        return Err(SqsError::new(Code::InvalidAction, text));
    };
    let mut request = Request::from_value(action, parameters.into_json()?)?;
    stand_in(&mut request, parts);
    Ok(Some(request))
}

/// The queue at whose path a request was made is the one that it is about, if it names no other.
fn stand_in(request: &mut Request<'_>, parts: &Parts) {
    if let Some(url) = request.queue_url_mut()
        && url.is_none()
        && let Some(queue) = queue_of_path(parts.uri.path())
    {
        *url = Some(queue.to_owned());
    }
}

fn asked(parts: &Parts, body: &Bytes) -> Asked {
    let header = |name: &str| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        (!value.is_empty() && value.len() <= TRACE_BYTES_MAX).then(|| value.to_owned())
    };
    let authority = || parts.uri.authority().map(ToString::to_string);
    Asked {
        host: header(HOST.as_str()).or_else(authority).unwrap_or_else(|| "localhost".to_owned()),
        trace: header(TRACE),
        body: body.clone(),
    }
}
