//! Numbers as people read them in messages.

/// With thousands separated: `9,400`. Fractions of a request are rounded.
#[must_use]
pub fn count(n: f64) -> String {
    let digits = format!("{:.0}", n.max(0.0));
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A fraction as a percentage with two or three digits that say something.
#[must_use]
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let text = match percent {
        p if p >= 10.0 => format!("{p:.0}"),
        p if p >= 1.0 => format!("{p:.1}"),
        p if p >= 0.1 => format!("{p:.2}"),
        p if p >= 0.001 => format!("{p:.3}"),
        p if p > 0.0 => return "less than 0.001 %".to_owned(),
        _ => "0".to_owned(),
    };
    format!("{} %", plain(&text))
}

/// A multiple: `2.4`, `13`.
#[must_use]
pub fn times(n: f64) -> String {
    if n >= 10.0 {
        format!("{n:.0}")
    } else {
        plain(&format!("{n:.2}")).to_owned()
    }
}

/// Seconds: `45 s`, `3 min`, `2 h 5 min`.
#[must_use]
pub fn seconds(n: i64) -> String {
    match n {
        n if n < 90 => format!("{} s", n.max(0)),
        n if n < 5400 => format!("{} min", (n + 30) / 60),
        n => format!("{} h {} min", n / 3600, n % 3600 / 60),
    }
}

/// A latency in seconds: `250 ms`, `1.5 s`.
#[must_use]
pub fn latency(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", number(seconds * 1000.0))
    } else {
        format!("{} s", number(seconds))
    }
}

/// A measured value with at most five digits that say something.
#[must_use]
pub fn number(n: f64) -> String {
    if n.abs() >= 1e5 || (n.abs() < 1e-3 && n.abs() > 0.0) {
        return format!("{n:.3e}");
    }
    plain(&format!("{n:.4}")).to_owned()
}

fn plain(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// At most `max` bytes of `text`, cut between characters.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let counts = [
            (0.0, "0"),
            (999.4, "999"),
            (9400.0, "9,400"),
            (1_234_567.0, "1,234,567"),
        ];
        for (n, text) in counts {
            assert_eq!(count(n), text);
        }
        let percents = [
            (0.5, "50 %"),
            (0.021, "2.1 %"),
            (0.01, "1 %"),
            (0.0046, "0.46 %"),
            (0.0005, "0.05 %"),
            (0.0, "0 %"),
            (1e-7, "less than 0.001 %"),
        ];
        for (fraction, text) in percents {
            assert_eq!(percent(fraction), text);
        }
        assert_eq!(
            (times(2.4), times(13.2), times(1.0)),
            ("2.4".into(), "13".into(), "1".into())
        );
        assert_eq!(
            (seconds(45), seconds(180), seconds(7500)),
            ("45 s".into(), "3 min".into(), "2 h 5 min".into())
        );
        assert_eq!(cut("aäö", 5), "aäö");
        assert_eq!(cut("aäöü", 6), "aä…");
    }
}
