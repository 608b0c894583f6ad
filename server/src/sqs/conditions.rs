//! Conditions of a policy's statements, as IAM has them: what else must be so for a statement to be about a
//! request.
//!
//! ```json
//! {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}, "StringNotLike": {"aws:UserAgent": "*bot*"}}
//! ```
//!
//! All operators and all keys must hold; of the values of a key one is enough, or where the operator is
//! negated, none may match. A key that a request does not have holds where the operator is negated or says
//! `IfExists`.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::credentials::{Case, matches};
use super::policy::several;

/// Compares a value of a policy with what the request has.
type Test = fn(&str, &str) -> bool;

/// Whether a condition holds, where `of_request` says what the request has for a key, in lower case. `None`:
/// that cannot be said, because an operator is not known.
pub(super) fn hold(condition: &Value, of_request: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    let mut all = true;
    for (operator, keys) in condition.as_object()? {
        for (key, values) in keys.as_object()? {
            all &= holds(operator, of_request(&key.to_lowercase()), values)?;
        }
    }
    Some(all)
}

fn holds(operator: &str, found: Option<String>, values: &Value) -> Option<bool> {
    let values = || {
        several(values).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    if operator == "Null" {
        let is_absent = found.is_none().to_string();
        return Some(values().any(|value| value.eq_ignore_ascii_case(&is_absent)));
    }
    let (name, is_optional) = match operator.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (operator, false),
    };
    let (test, is_negated) = test(name)?;
    Some(match found {
        None => is_negated || is_optional,
        Some(found) => values().any(|value| test(&value, &found)) != is_negated,
    })
}

/// What an operator does, and whether it is negated.
fn test(name: &str) -> Option<(Test, bool)> {
    Some(match name {
        "StringEquals" => (|value, found| value == found, false),
        "StringNotEquals" => (|value, found| value == found, true),
        "StringEqualsIgnoreCase" => (is_same_ignoring_case, false),
        "StringNotEqualsIgnoreCase" => (is_same_ignoring_case, true),
        "StringLike" => (|value, found| matches(value, found, Case::Respected), false),
        "StringNotLike" => (|value, found| matches(value, found, Case::Respected), true),
        "ArnEquals" | "ArnLike" => (is_arn_like, false),
        "ArnNotEquals" | "ArnNotLike" => (is_arn_like, true),
        "Bool" => (|value, found| value.eq_ignore_ascii_case(found), false),
        "IpAddress" => (is_in_network, false),
        "NotIpAddress" => (is_in_network, true),
        "NumericEquals" | "DateEquals" => (|v, f| order(v, f) == Some(Ordering::Equal), false),
        "NumericNotEquals" | "DateNotEquals" => (|v, f| order(v, f) == Some(Ordering::Equal), true),
        "NumericLessThan" | "DateLessThan" => (|v, f| order(v, f) == Some(Ordering::Less), false),
        "NumericLessThanEquals" | "DateLessThanEquals" => {
            (|v, f| order(v, f).is_some_and(Ordering::is_le), false)
        }
        "NumericGreaterThan" | "DateGreaterThan" => {
            (|v, f| order(v, f) == Some(Ordering::Greater), false)
        }
        "NumericGreaterThanEquals" | "DateGreaterThanEquals" => {
            (|v, f| order(v, f).is_some_and(Ordering::is_ge), false)
        }
        _ => return None,
    })
}

fn is_same_ignoring_case(value: &str, found: &str) -> bool {
    value.to_lowercase() == found.to_lowercase()
}

/// Each of the six parts of an ARN is compared by itself.
fn is_arn_like(value: &str, found: &str) -> bool {
    let (mut values, mut parts) = (value.splitn(6, ':'), found.splitn(6, ':'));
    loop {
        match (values.next(), parts.next()) {
            (None, None) => return true,
            (Some(value), Some(part)) if matches(value, part, Case::Respected) => {}
            _ => return false,
        }
    }
}

/// Whether an address is one, or in a network: `10.0.0.0/8`.
fn is_in_network(value: &str, found: &str) -> bool {
    let (network, bits) = value.split_once('/').map_or((value, None), |(n, bits)| (n, Some(bits)));
    let (Ok(network), Ok(address)) = (network.parse::<IpAddr>(), found.parse::<IpAddr>()) else {
        return false;
    };
    let (network, address, bits_max) = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let bits = bits.map_or(Some(bits_max), |bits| bits.parse::<u32>().ok());
    bits.and_then(|bits| bits_max.checked_sub(bits)).is_some_and(|host_bits| {
        // All of an address may be the host's.
        let of_network = |address: u128| address.checked_shr(host_bits).unwrap_or(0);
        of_network(network) == of_network(address)
    })
}

/// How what was found stands to a number or a time; `None`: one of them is none.
fn order(value: &str, found: &str) -> Option<Ordering> {
    number(found)?.partial_cmp(&number(value)?)
}

/// A number, or a time in seconds since 1970.
fn number(text: &str) -> Option<f64> {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let seconds = |time: OffsetDateTime| time.unix_timestamp_nanos() as f64 / 1e9;
    let is_time = || time(text).or_else(|| time(&format!("{text}T00:00:00Z"))).map(seconds);
    text.parse().ok().or_else(is_time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_request(key: &str) -> Option<String> {
        let value = match key {
            "aws:sourceip" => "10.1.2.3",
            "aws:securetransport" => "false",
            "aws:currenttime" => "2026-11-26T12:00:00Z",
            "aws:epochtime" => "1795694400",
            "aws:principalarn" => "arn:aws:iam::111111111111:user/ada",
            "aws:useragent" => "boto3/1.40",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn a_condition_holds_as_in_iam() {
        for (condition, expected) in [
            (json!({}), Some(true)),
            (json!({"StringEquals": {"aws:UserAgent": "boto3/1.40"}}), Some(true)),
            (json!({"StringEquals": {"aws:UserAgent": ["x", "boto3/1.40"]}}), Some(true)),
            (json!({"StringEquals": {"aws:UserAgent": "Boto3/1.40"}}), Some(false)),
            (json!({"StringEqualsIgnoreCase": {"AWS:useragent": "BOTO3/1.40"}}), Some(true)),
            (json!({"StringNotEquals": {"aws:UserAgent": ["x", "boto3/1.40"]}}), Some(false)),
            (json!({"StringLike": {"aws:UserAgent": "boto?/*"}}), Some(true)),
            (json!({"StringNotLike": {"aws:UserAgent": "boto?/*"}}), Some(false)),
            (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/a*"}}), Some(true)),
            (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:*:user/a*"}}), Some(false)),
            (json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::*:user/b"}}), Some(true)),
            (json!({"Bool": {"aws:SecureTransport": false}}), Some(true)),
            (json!({"Bool": {"aws:SecureTransport": "True"}}), Some(false)),
            (json!({"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"]}}), Some(true)),
            (json!({"IpAddress": {"aws:SourceIp": "10.1.2.3"}}), Some(true)),
            (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), Some(true)),
            (json!({"IpAddress": {"aws:SourceIp": "10.1.2.0/31"}}), Some(false)),
            (json!({"IpAddress": {"aws:SourceIp": "10.1.2.3/33"}}), Some(false)),
            (json!({"IpAddress": {"aws:SourceIp": "::/0"}}), Some(false)),
            (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), Some(false)),
            (json!({"DateLessThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}}), Some(true)),
            (json!({"DateGreaterThan": {"aws:CurrentTime": "2027-01-01"}}), Some(false)),
            (json!({"DateGreaterThanEquals": {"aws:CurrentTime": "1795694400"}}), Some(true)),
            (json!({"NumericLessThanEquals": {"aws:EpochTime": 1_795_694_399}}), Some(false)),
            (json!({"NumericEquals": {"aws:EpochTime": "x"}}), Some(false)),
            // Keys that the request does not have.
            (json!({"StringEquals": {"aws:SourceArn": "*"}}), Some(false)),
            (json!({"StringEqualsIfExists": {"aws:SourceArn": "x"}}), Some(true)),
            (json!({"StringNotEquals": {"aws:SourceArn": "x"}}), Some(true)),
            (json!({"Null": {"aws:SourceArn": "true"}}), Some(true)),
            (json!({"Null": {"aws:UserAgent": true}}), Some(false)),
            // All must hold.
            (
                json!({
                    "Bool": {"aws:SecureTransport": "false"},
                    "StringLike": {"aws:UserAgent": "*", "aws:PrincipalArn": "x"},
                }),
                Some(false),
            ),
            (json!({"ForAllValues:StringEquals": {"aws:TagKeys": "x"}}), None),
            (json!({"StringEquals": "x"}), None),
            (json!("x"), None),
        ] {
            assert_eq!(hold(&condition, &of_request), expected, "{condition}");
        }
    }
}
