//! Curves over time as inline SVG. Everything in it is a number or a word of this program's own.

use std::fmt::Write as _;

use super::words;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
/// Room for words on the left, at the top, on the right and at the bottom.
const LEFT: f64 = 64.0;
const TOP: f64 = 36.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Marks on the axis of time.
const MARKS: u32 = 6;

/// Points of minutes and values.
pub struct Curve {
    /// Its word in the legend.
    pub name: &'static str,
    /// Its colour, by a class of the style.
    pub class: &'static str,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// What lies between two curves.
pub struct Band {
    /// Below.
    pub lower: Vec<(f64, f64)>,
    /// Above.
    pub upper: Vec<(f64, f64)>,
}

/// A plot.
pub struct Plot {
    /// What it shows.
    pub title: &'static str,
    /// The lowest value.
    pub low: f64,
    /// The highest one.
    pub high: f64,
    /// Values with a line and a word.
    pub marks: Vec<(f64, String)>,
    /// The curves.
    pub curves: Vec<Curve>,
    /// A band behind them.
    pub band: Option<Band>,
}

impl Plot {
    /// Counts: from 0 to the highest of them.
    pub fn from_zero(title: &'static str, curves: Vec<Curve>) -> Self {
        let all = curves.iter().flat_map(|c| &c.points).map(|(_, y)| *y);
        let high = all.filter(|y| y.is_finite()).fold(1.0, f64::max);
        Self {
            title,
            low: 0.0,
            high,
            marks: [0.0, high / 2.0, high]
                .map(|y| (y, words::digits(y)))
                .to_vec(),
            curves,
            band: None,
        }
    }

    fn times(&self) -> (f64, f64) {
        let all = self.curves.iter().flat_map(|c| &c.points).map(|(x, _)| *x);
        let (first, last) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
            (a.min(x), b.max(x))
        });
        if first < last {
            (first.min(0.0), last)
        } else {
            (0.0, last.max(1.0))
        }
    }

    /// The element.
    pub fn svg(&self) -> String {
        let (first, last) = self.times();
        let x = |minutes: f64| LEFT + (minutes - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| {
            let part = (value - self.low) / (self.high - self.low);
            HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
        };
        let path = |points: &mut dyn Iterator<Item = &(f64, f64)>| {
            let at = points.filter(|(a, b)| a.is_finite() && b.is_finite());
            let at: Vec<String> = at
                .map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b)))
                .collect();
            at.join(" ")
        };
        let title = self.title;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <text x=\"{LEFT}\" y=\"14\">{title}</text>\n"
        );
        // A String takes everything.
        for (value, word) in &self.marks {
            let at = y(*value);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0
            );
        }
        for i in 0..=MARKS {
            let minutes = first + (last - first) * f64::from(i) / f64::from(MARKS);
            let word = words::length((minutes * 60.0).round() as i64);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{word}</text>",
                x(minutes),
                HEIGHT - 8.0
            );
        }
        if let Some(band) = &self.band {
            let around = path(&mut band.lower.iter().chain(band.upper.iter().rev()));
            let _ = writeln!(svg, "<polygon class=\"band\" points=\"{around}\"/>");
        }
        let mut legend = LEFT;
        for curve in &self.curves {
            let (name, class) = (curve.name, curve.class);
            let points = path(&mut curve.points.iter());
            let _ = writeln!(
                svg,
                "<polyline class=\"curve {class}\" points=\"{points}\"/>\
                 <text class=\"{class}\" x=\"{legend:.0}\" y=\"29\">{name}</text>"
            );
            legend += 14.0 + 7.0 * name.len() as f64;
        }
        svg.push_str("</svg>\n");
        svg
    }
}
