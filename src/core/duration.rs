//! Durations as people write them in the resources: `30s`, `10m`, `1h30m`, `2d`.

use jiff::SignedDuration;

/// The longest duration that is accepted: 30 days. A wait longer than that is a mistake.
pub const MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a list of number and unit.
    #[error("{0:?} is not a duration: write a number and a unit s, m, h or d, as in 30s or 1h30m")]
    Malformed(String),
    /// Longer than [`MAX`].
    #[error("{0:?} is longer than the 30 days that are allowed")]
    TooLong(String),
}

/// Reads `text`: one or more of number and unit (`s`, `m`, `h`, `d`), up to 30 days in all.
///
/// # Errors
/// [`DurationError`] when the text has another form or is too long.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut total: i64 = 0;
    let mut number: Option<i64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let n = number.unwrap_or(0);
            number = Some(
                n.checked_mul(10)
                    .and_then(|n| n.checked_add(digit.into()))
                    .ok_or_else(too_long)?,
            );
            continue;
        }
        let unit: i64 = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(malformed()),
        };
        let seconds = number
            .take()
            .ok_or_else(malformed)?
            .checked_mul(unit)
            .ok_or_else(too_long)?;
        total = total.checked_add(seconds).ok_or_else(too_long)?;
    }
    if number.is_some() || text.is_empty() {
        return Err(malformed());
    }
    let duration = SignedDuration::from_secs(total);
    if duration > MAX {
        Err(too_long())
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_duration() {
        let seconds = |t: &str| parse(t).map(|d| d.as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("0s"), Ok(0));
        assert_eq!(seconds("30d"), Ok(30 * 86_400));
        for bad in ["", "5", "-5s", "1y", "s", "5 s", "1h30", "½m"] {
            assert!(
                matches!(parse(bad), Err(DurationError::Malformed(_))),
                "{bad}"
            );
        }
        for long in ["31d", "9999999999999999999s", "9223372036854775807d"] {
            assert!(
                matches!(parse(long), Err(DurationError::TooLong(_))),
                "{long}"
            );
        }
    }
}
