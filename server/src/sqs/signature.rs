//! Signatures of AWS, version 4: who has signed a request, in its headers or in its URL.
//!
//! A signature covers method, path, parameters, the headers that it names, and the body; so none of them
//! can be another than the key's holder meant, and an old request cannot be sent again later.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::address::normal_path;
use super::credentials::{Credentials, Key};
use super::error::{Code, Result, SqsError};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "sqs";
const TERMINATOR: &str = "aws4_request";

/// A request counts for so long before and after the time in it.
const WINDOW: Duration = Duration::minutes(15);

/// The longest that a signed URL may count, in seconds.
const EXPIRES_MAX: i64 = 604_800;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// What stands in a URL as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a request says of its signature.
struct Claim {
    credential: String,
    signed_headers: String,
    signature: String,
    time: String,
    /// Of a URL: for how many seconds it counts.
    expires: Option<String>,
    token: Option<String>,
}

/// The key that a request is signed with, if its signature is good at this time.
pub(super) fn verify<'c>(
    credentials: &'c Credentials,
    region: &str,
    now: OffsetDateTime,
    parts: &Parts,
    body: &[u8],
) -> Result<&'c Key> {
    let claim = Claim::of(parts)?;
    let scope: Vec<&str> = claim.credential.split('/').collect();
    let &[id, date, scope_region, service, terminator] = scope.as_slice() else {
        let text = format!(
            "Credential must have exactly 5 slash-delimited elements, got {}.",
            claim.credential
        );
        return Err(SqsError::new(Code::IncompleteSignature, text));
    };
    let key = credentials.get(id).ok_or_else(unknown_token)?;
    if key.session_token != claim.token {
        return Err(unknown_token());
    }
    for (what, found, expected) in [
        ("a valid region", scope_region, region),
        ("correct service", service, SERVICE),
        ("a valid terminator", terminator, TERMINATOR),
    ] {
        if found != expected {
            let text =
                format!("Credential should be scoped to {what}: '{expected}', not '{found}'.");
            return Err(mismatch(text));
        }
    }
    let time = claim.check_time(now)?;
    if !claim.time.starts_with(date) || date.len() != 8 {
        let text =
            format!("Date in Credential scope does not match the date of the request: {date}.");
        return Err(mismatch(text));
    }
    check_signed_headers(&claim, parts)?;
    let signed = what_is_signed(&claim, parts, body)?;
    let time = time.format(TIME).map_err(|error| SqsError::internal(error.to_string()))?;
    let mut signing_key = format!("AWS4{}", key.secret).into_bytes();
    for part in [date, region, SERVICE, TERMINATOR] {
        signing_key = keyed(&signing_key, part.as_bytes()).finalize().into_bytes().to_vec();
    }
    let signature = HEXLOWER.decode(claim.signature.as_bytes()).unwrap_or_default();
    let is_over = |path: &str| {
        let canonical = format!("{}\n{}\n{signed}", parts.method, in_canonical_form(path));
        let hash = HEXLOWER.encode(&Sha256::digest(canonical.as_bytes()));
        let to_sign =
            format!("{ALGORITHM}\n{time}\n{date}/{region}/{SERVICE}/{TERMINATOR}\n{hash}");
        // In constant time.
        keyed(&signing_key, to_sign.as_bytes()).verify_slice(&signature).is_ok()
    };
    // Some clients sign a path as they send it; both mean the same queue.
    let (path, normal) = (parts.uri.path(), normal_path(parts.uri.path()));
    match is_over(&normal) || normal != path && is_over(path) {
        true => Ok(key),
        false => Err(mismatch(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details.",
        )),
    }
}

impl Claim {
    fn of(parts: &Parts) -> Result<Self> {
        let header = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
        // All that is missing is told at once.
        let mut missing = Vec::new();
        let mut needed = |found: Option<String>, sentence: String| {
            found.unwrap_or_else(|| {
                missing.push(sentence);
                String::new()
            })
        };
        if let Some(authorization) = header("authorization") {
            let Some(members) = authorization.strip_prefix(ALGORITHM) else {
                let text = format!("Authorization header requires the algorithm {ALGORITHM}.");
                return Err(SqsError::new(Code::IncompleteSignature, text));
            };
            let mut member = |name: &str| {
                let found = members.split(',').find_map(|member| {
                    member.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
                });
                needed(found, format!("Authorization header requires '{name}' parameter."))
            };
            let credential = member("Credential");
            let signature = member("Signature");
            let signed_headers = member("SignedHeaders");
            let date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                        header.";
            let time = header("x-amz-date").or_else(|| header("date").map(in_basic_format));
            let time = needed(time, date.to_owned());
            let token = header("x-amz-security-token");
            let claim = Self { credential, signed_headers, signature, time, expires: None, token };
            let hash = BASE64.encode(&Sha256::digest(authorization.as_bytes()));
            let end = format!("(Hashed with SHA-256 and encoded with Base64) Authorization={hash}");
            return claim.complete(missing, &end);
        }
        let parameters = parameters(parts);
        let parameter = |name: &str| {
            parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        let Some(algorithm) = parameter("X-Amz-Algorithm") else {
            // Who does not sign is nobody in particular, whom no policy lets in here.
            let (host, path) = (header("host").unwrap_or_default(), parts.uri.path());
            let text = format!("Access to the resource http://{host}{path} is denied.");
            return Err(SqsError::new(Code::AccessDenied, text));
        };
        if algorithm != ALGORITHM {
            let text = format!("X-Amz-Algorithm must be {ALGORITHM}.");
            return Err(SqsError::new(Code::IncompleteSignature, text));
        }
        let mut needed = |name: &str| {
            let sentence = format!("AWS query-string parameters must include '{name}'.");
            needed(parameter(name), sentence)
        };
        let claim = Self {
            credential: needed("X-Amz-Credential"),
            signature: needed("X-Amz-Signature"),
            signed_headers: needed("X-Amz-SignedHeaders"),
            time: needed("X-Amz-Date"),
            expires: Some(needed("X-Amz-Expires")),
            token: parameter("X-Amz-Security-Token"),
        };
        claim.complete(missing, "Re-examine the query-string parameters.")
    }

    /// The claim, if it lacks nothing.
    fn complete(self, mut missing: Vec<String>, end: &str) -> Result<Self> {
        if missing.is_empty() {
            return Ok(self);
        }
        missing.push(end.to_owned());
        Err(SqsError::new(Code::IncompleteSignature, missing.join(" ")))
    }

    /// The time of the request, if it counts now.
    fn check_time(&self, now: OffsetDateTime) -> Result<OffsetDateTime> {
        let time = PrimitiveDateTime::parse(&self.time, TIME).map_err(|_| {
            let text = format!("Date must be in ISO-8601 'basic format'. Got '{}'.", self.time);
            SqsError::new(Code::IncompleteSignature, text)
        })?;
        let time = time.assume_utc();
        let shown = |time: OffsetDateTime| time.format(TIME).unwrap_or_default();
        let (asked, at) = (shown(time), shown(now));
        if time > now + WINDOW {
            let latest = shown(now + WINDOW);
            return Err(mismatch(format!(
                "Signature not yet current: {asked} is still later than {latest} ({at} + 15 min.)"
            )));
        }
        match &self.expires {
            Some(expires) => {
                let seconds =
                    expires.parse().ok().filter(|seconds| (1..=EXPIRES_MAX).contains(seconds));
                let Some(seconds) = seconds else {
                    let text =
                        format!("X-Amz-Expires must be 1 to {EXPIRES_MAX} seconds, got {expires}.");
                    return Err(SqsError::new(Code::IncompleteSignature, text));
                };
                if now > time + Duration::seconds(seconds) {
                    return Err(SqsError::new(Code::RequestExpired, "Request has expired."));
                }
            }
            None if time < now - WINDOW => {
                let earliest = shown(now - WINDOW);
                return Err(mismatch(format!(
                    "Signature expired: {asked} is now earlier than {earliest} ({at} - 15 min.)"
                )));
            }
            None => {}
        }
        Ok(time)
    }
}

/// A time as signatures have it, if it is one as HTTP has it.
fn in_basic_format(date: String) -> String {
    let time = OffsetDateTime::parse(&date, &Rfc2822).ok();
    time.and_then(|time| time.to_offset(UtcOffset::UTC).format(TIME).ok()).unwrap_or(date)
}

/// What decides what a request means must be signed.
fn check_signed_headers(claim: &Claim, parts: &Parts) -> Result<()> {
    let signed: Vec<&str> = claim.signed_headers.split(';').collect();
    let amazons = parts.headers.keys().map(|name| name.as_str());
    let amazons = amazons.filter(|name| name.starts_with("x-amz-"));
    // Where it stands for X-Amz-Date. A URL has its time in a parameter.
    let is_by_date = claim.expires.is_none() && !parts.headers.contains_key("x-amz-date");
    for name in amazons.chain(["host"]).chain(is_by_date.then_some("date")) {
        if !signed.contains(&name) {
            let text = format!("'{name}' must be a 'SignedHeader' in the request.");
            return Err(mismatch(text));
        }
    }
    Ok(())
}

/// A path as it is signed: what stands encoded in it is encoded once more.
fn in_canonical_form(path: &str) -> String {
    path.split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// What a signature covers behind method and path.
fn what_is_signed(claim: &Claim, parts: &Parts, body: &[u8]) -> Result<String> {
    let mut pairs: Vec<_> = parameters(parts)
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    // By names first: `Name.1=` stands before `Name.10=`, though its text does not.
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in claim.signed_headers.split(';') {
        let values = parts.headers.get_all(name).into_iter();
        let values: Vec<_> = values
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        if values.is_empty() {
            let text = format!("The signed header '{name}' is not in the request.");
            return Err(mismatch(text));
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let hash = HEXLOWER.encode(&Sha256::digest(body));
    if let Some(claimed) = parts.headers.get("x-amz-content-sha256")
        && claimed.as_bytes() != hash.as_bytes()
    {
        let text = "The value passed in as x-amz-content-sha256 does not match the body's.";
        return Err(mismatch(text));
    }
    Ok(format!("{}\n{headers}\n{}\n{hash}", pairs.join("&"), claim.signed_headers))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// The parameters in the URL, decoded as they are for the request itself: a plus sign is a space.
fn parameters(parts: &Parts) -> Vec<(String, String)> {
    let decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    mac.chain_update(message)
}

fn mismatch(text: impl Into<String>) -> SqsError {
    SqsError::new(Code::SignatureDoesNotMatch, text)
}

fn unknown_token() -> SqsError {
    let text = "The security token included in the request is invalid.";
    SqsError::new(Code::InvalidClientTokenId, text)
}
