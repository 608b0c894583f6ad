//! Numbers and durations as arguments: what is none is refused with what was expected.

use crate::duration::duration;

/// A duration in milliseconds: `500ms`, `30s`, `1h30m`.
pub(super) fn duration_ms(text: &str) -> Result<u64, String> {
    let duration = duration(text).map_err(|wrong| wrong.to_string())?;
    // The greatest number stands for "not given" in the protocol.
    let ms = u64::try_from(duration.as_millis()).ok().filter(|ms| *ms < u64::MAX);
    ms.ok_or_else(|| "longer than can be counted in milliseconds".to_owned())
}

/// A number of things.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(count) if is_number => Ok(count),
        _ if is_number => Err(format!("expected at most {}", u64::MAX)),
        _ => Err("expected a whole number, digits only: 120000".to_owned()),
    }
}

/// What is wrong with the port of an address `host:port`, if it is the port.
pub(super) fn wrong_port(text: &str) -> Option<String> {
    let (_, port) = text.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && port.parse::<u16>().is_err())
        .then(|| format!("port {port}, expected 0 to {}", u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_quantity_is_refused_with_what_was_expected() {
        assert_eq!(duration_ms("1h30m"), Ok(5_400_000));
        assert!(
            duration_ms("5").is_err_and(|text| text.contains("expected a number and its unit"))
        );
        assert!(duration_ms("400000000000y").is_err_and(|text| text.starts_with("longer")));
        assert_eq!(count("120000"), Ok(120_000));
        for text in ["", "120,000", "+1", "1e3", "12 "] {
            assert!(count(text).is_err_and(|text| text.contains("digits only")), "{text}");
        }
        assert!(count("99999999999999999999").is_err_and(|text| text.contains("at most")));
        assert_eq!(wrong_port("[::1]:99999"), Some("port 99999, expected 0 to 65535".to_owned()));
        assert_eq!(wrong_port("127.0.0.1:7480").or(wrong_port("host")).or(wrong_port("a:b")), None);
    }
}
