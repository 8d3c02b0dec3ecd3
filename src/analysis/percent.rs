//! Percentages as people write them in the resources: `0.05%`, `10%`.

/// Why a text is not a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a percentage: write a number and a percent sign, as in 0.05% or 10%")]
pub struct PercentError(pub String);

/// Reads `text` as a fraction: `"5%"` is 0.05. Digits with at most one point, then `%`.
///
/// # Errors
/// [`PercentError`] when the text has another form.
pub fn parse(text: &str) -> Result<f64, PercentError> {
    let error = || PercentError(text.to_owned());
    let number = text.strip_suffix('%').ok_or_else(error)?;
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let edges = number.bytes().next().zip(number.bytes().last());
    if !plain || number.len() > 12 || edges.is_none_or(|(a, z)| a == b'.' || z == b'.') {
        return Err(error());
    }
    number
        .parse::<f64>()
        .map(|n| n / 100.0)
        .map_err(|_| error())
}

/// Writes a fraction as [`parse`] reads it, with at most six decimals and at least the smallest
/// percentage that can be written.
#[must_use]
pub fn format(fraction: f64) -> String {
    let text = format!("{:.6}", (fraction * 100.0).max(0.000_001));
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_percentage() {
        assert_eq!(parse("5%"), Ok(0.05));
        assert_eq!(parse("0.05%"), Ok(0.0005));
        assert_eq!(parse("100%"), Ok(1.0));
        for bad in [
            "", "%", "5", ".5%", "5.%", "-5%", "1e3%", "1.2.3%", " 5%", "5 %", "inf%", "½%",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for fraction in [0.01, 0.005, 0.1, 0.000_012_5, 1.0] {
            assert_eq!(parse(&format(fraction)), Ok(fraction));
        }
        assert_eq!(format(0.0), "0.000001%");
        assert_eq!(format(0.1), "10%");
    }
}
