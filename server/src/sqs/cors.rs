//! Web pages of other origins: what a browser asks before it lets one ask, and what of an answer the page may
//! read.
//!
//! For endpoints whose requests must be signed. Where they need not be, any page that somebody on this machine
//! opens could use the queues: it is allowed nothing, and what a browser sends for it is refused.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// What SDKs look at: the request's id, an error's name, and the time, which they sign by.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-amzn-RequestId, x-amzn-query-error, Date");

/// Says where a request comes from, if a browser sends it: `none` is its user.
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a page had a browser send it: a script, a form or a picture of it.
pub(super) fn is_of_a_page(parts: &Parts) -> bool {
    let site = parts.headers.get(FETCH_SITE);
    parts.headers.contains_key(ORIGIN) || site.is_some_and(|site| site != "none")
}

/// Whether a browser asks what a page may ask. It cannot sign that.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Allows the page that a request comes from, if it comes from one, to read the answer with these headers; or
/// to ask what it wants to.
pub(super) fn allow(parts: &Parts, headers: &mut HeaderMap) {
    if !parts.headers.contains_key(ORIGIN) {
        return;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if !is_preflight(parts) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        return;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    // By name: a star does not stand for Authorization.
    if let Some(names) = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
}
