//! Numbers and times as people read them. Pure.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Evidence above this is past any limit; more digits say nothing.
const EVIDENCE_MAX: f64 = 1e6;

/// A length of time with two digits that matter: `95s`, `9m40s`, `2h5m`, `3d4h`, `40d`.
#[must_use]
pub fn length(seconds: i64) -> String {
    let s = seconds.max(0);
    let two = |big: i64, b: char, small: i64, s: char| match small {
        0 => format!("{big}{b}"),
        small => format!("{big}{b}{small}{s}"),
    };
    if s < 2 * MINUTE {
        format!("{s}s")
    } else if s < 10 * MINUTE {
        two(s / MINUTE, 'm', s % MINUTE, 's')
    } else if s < 2 * HOUR {
        format!("{}m", s / MINUTE)
    } else if s < DAY {
        two(s / HOUR, 'h', s % HOUR / MINUTE, 'm')
    } else if s < 8 * DAY {
        two(s / DAY, 'd', s % DAY / HOUR, 'h')
    } else {
        format!("{}d", s / DAY)
    }
}

/// How long ago `then` was; a moment in the future counts as now.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> String {
    length(now.duration_since(then).as_secs())
}

/// How long it is until `then`, rounded up so that it is never less than what is left.
#[must_use]
pub fn until(then: Timestamp, now: Timestamp) -> String {
    let left = then.duration_since(now);
    length(left.as_secs() + i64::from(left.subsec_nanos() > 0))
}

/// A whole number with commas: `12,345`.
#[must_use]
pub fn count(number: f64) -> String {
    if !number.is_finite() {
        return "?".to_owned();
    }
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if number <= -0.5 {
        format!("-{out}")
    } else {
        out
    }
}

/// A share in percent with two digits that matter: `0.24 %`, `12 %`, `100 %`.
#[must_use]
pub fn percent(part: f64, whole: f64) -> String {
    if !(whole > 0.0 && part.is_finite() && whole.is_finite()) {
        return "no share yet".to_owned();
    }
    let share = 100.0 * part / whole;
    format!("{} %", digits(share))
}

/// A number with about two digits that matter.
#[must_use]
pub fn digits(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        "?".to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if size < 0.001 {
        format!("{number:.1e}")
    } else if size < 0.1 {
        format!("{number:.3}")
    } else if size < 9.95 {
        format!("{number:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    } else {
        count(number)
    }
}

/// Evidence as odds: an e-value from its natural logarithm. 1 says nothing, the limit decides.
#[must_use]
pub fn odds(log: f64) -> String {
    let odds = log.exp();
    if odds.is_nan() || odds < 1.0 {
        "<1".to_owned()
    } else if odds > EVIDENCE_MAX {
        format!(">{}", count(EVIDENCE_MAX))
    } else if odds < 9.95 {
        format!("{odds:.1}")
    } else {
        count(odds)
    }
}

/// A bar of ten cells, as full as the evidence on its way from nothing to the limit.
#[must_use]
pub fn meter(log: f64, limit: f64) -> String {
    const CELLS: usize = 10;
    let part = if limit > 0.0 && log.is_finite() {
        (log / limit).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let full = (1..=CELLS)
        .filter(|cell| part * 10.0 + 1e-9 >= *cell as f64)
        .count();
    format!("{}{}", "▰".repeat(full), "▱".repeat(CELLS - full))
}

/// A number with its noun: `1 pod`, `1,900 requests`.
#[must_use]
pub fn plural(number: i64, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {one}{s}", count(number as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (95, "95s"),
            (120, "2m"),
            (580, "9m40s"),
            (600, "10m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (7_500, "2h5m"),
            (86_400, "1d"),
            (100_000, "1d3h"),
            (700_000, "8d"),
            (4_000_000, "46d"),
        ] {
            assert_eq!(length(seconds), text, "{seconds}");
        }
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            since(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:05:30.9Z")),
            "5m30s"
        );
        assert_eq!(
            until(at("2026-11-21T10:00:10Z"), at("2026-11-21T10:00:00.1Z")),
            "10s"
        );
        assert_eq!(
            until(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:10Z")),
            "0s"
        );
    }

    #[test]
    fn numbers() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(999.4), "999");
        assert_eq!(count(1_900.0), "1,900");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(-1_234.0), "-1,234");
        assert_eq!(count(f64::NAN), "?");
        assert_eq!(percent(23.0, 9_400.0), "0.24 %");
        assert_eq!(percent(1.0, 8.0), "12 %");
        assert_eq!(percent(1.0, 100_000.0), "0.001 %");
        assert_eq!(percent(0.0, 10.0), "0 %");
        assert_eq!(percent(1.0, 0.0), "no share yet");
        assert_eq!(plural(1, "pod"), "1 pod");
        assert_eq!(plural(1_900, "request"), "1,900 requests");
    }

    #[test]
    fn evidence_reads_as_odds_against_a_limit() {
        let hundred = 100f64.ln();
        assert_eq!(odds(0.0), "1.0");
        assert_eq!(odds(-3.0), "<1");
        assert_eq!(odds(f64::NAN), "<1");
        assert_eq!(odds(37f64.ln()), "37");
        assert_eq!(odds(hundred), "100");
        assert_eq!(odds(1_000.0), ">1,000,000");
        assert_eq!(meter(0.0, hundred), "▱▱▱▱▱▱▱▱▱▱");
        assert_eq!(meter(hundred / 2.0, hundred), "▰▰▰▰▰▱▱▱▱▱");
        assert_eq!(meter(hundred, hundred), "▰▰▰▰▰▰▰▰▰▰");
        assert_eq!(meter(999.0, hundred), "▰▰▰▰▰▰▰▰▰▰");
        assert_eq!(meter(1.0, 0.0), "▱▱▱▱▱▱▱▱▱▱");
    }
}
