//! How long a campaign goes on, as an argument.

use std::time::Duration;

/// Minutes, also parts of them: 10, 0.5.
pub(super) fn minutes(text: &str) -> Result<Duration, String> {
    let expected = "expected a number of minutes above 0, such as 10 or 0.5";
    let minutes: f64 = text.parse().map_err(|_| expected.to_owned())?;
    match Duration::try_from_secs_f64(minutes * 60.0) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_have_fractions_and_are_more_than_none() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        assert_eq!(minutes("10"), Ok(Duration::from_secs(600)));
        for wrong in ["", "0", "-1", "NaN", "inf", "1e300", "5m", "1e-99"] {
            assert!(minutes(wrong).is_err_and(|text| text.starts_with("expected")), "{wrong}");
        }
    }
}
