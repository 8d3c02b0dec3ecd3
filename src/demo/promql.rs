//! A small part of PromQL, evaluated honestly: vector and range selectors with all four matchers,
//! `sum` and `count` with or without `by` and their subqueries, `rate` and `increase` without extrapolation, numbers,
//! and the four operations between them. What is not in this part is refused, never guessed.

mod matcher;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::series::{Labels, Samples};
use crate::analysis::promql::{Token, tokens};
use matcher::Matcher;

/// Longest range that a query may ask for.
const RANGE_MAX_MS: i64 = 24 * 3600 * 1000;
/// Most moments of a subquery.
const MOMENTS_MAX: i64 = 11_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 20;
/// What this evaluator knows, for its refusals.
const KNOWN: &str = "this small Prometheus knows selectors, ranges, sum, count, rate, increase, \
                     vector, numbers and + - * /";

/// What a query comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number.
    Scalar(f64),
    /// One value for each series.
    Vector(Vec<(Labels, f64)>),
    /// Raw samples for each series; times in milliseconds.
    Matrix(Vec<(Labels, Vec<(i64, f64)>)>),
}

impl Answer {
    /// The `data` of a Prometheus answer at `at` (milliseconds).
    #[must_use]
    pub fn data(&self, at: i64) -> Value {
        match self {
            Self::Scalar(value) => json!({"resultType": "scalar", "result": pair(at, *value)}),
            Self::Vector(all) => {
                let result: Vec<Value> = all
                    .iter()
                    .map(|(labels, value)| json!({"metric": labels, "value": pair(at, *value)}))
                    .collect();
                json!({"resultType": "vector", "result": result})
            }
            Self::Matrix(all) => {
                let result: Vec<Value> = all
                    .iter()
                    .map(|(labels, samples)| {
                        let values: Vec<Value> = samples
                            .iter()
                            .map(|(at, value)| pair(*at, *value))
                            .collect();
                        json!({"metric": labels, "values": values})
                    })
                    .collect();
                json!({"resultType": "matrix", "result": result})
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this century are exact in f64"
)]
fn pair(at: i64, value: f64) -> Value {
    let text = if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    };
    json!([at as f64 / 1000.0, text])
}

/// Evaluates `query` at `at` (Unix milliseconds).
///
/// # Errors
/// What is wrong with the query, or that it is beyond this evaluator.
pub fn evaluate(samples: &Samples, query: &str, at: i64) -> Result<Answer, String> {
    let tokens = tokens(query).map_err(|error| error.to_string())?;
    let mut parser = Parser {
        samples,
        at,
        tokens: &tokens,
        next: 0,
        depth: 0,
    };
    let answer = parser.sum_of_products()?;
    match parser.peek() {
        None => Ok(answer),
        Some(token) => Err(format!("unexpected {token:?}; {KNOWN}")),
    }
}

struct Parser<'a> {
    samples: &'a Samples,
    at: i64,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(&Token::Sign(sign));
        if there {
            self.next += 1;
        }
        there
    }

    fn need(&mut self, sign: char) -> Result<(), String> {
        if self.take(sign) {
            return Ok(());
        }
        match self.peek() {
            Some(token) => Err(format!("expected {sign:?} before {token:?}; {KNOWN}")),
            None => Err(format!("expected {sign:?} at the end; {KNOWN}")),
        }
    }

    fn sum_of_products(&mut self) -> Result<Answer, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        let mut left = self.product()?;
        loop {
            let sign = if self.take('+') {
                '+'
            } else if self.take('-') {
                '-'
            } else {
                break;
            };
            left = operate(sign, &left, &self.product()?)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn product(&mut self) -> Result<Answer, String> {
        let mut left = self.value()?;
        loop {
            let sign = if self.take('*') {
                '*'
            } else if self.take('/') {
                '/'
            } else {
                return Ok(left);
            };
            left = operate(sign, &left, &self.value()?)?;
        }
    }

    fn value(&mut self) -> Result<Answer, String> {
        if self.take('(') {
            let inner = self.sum_of_products()?;
            self.need(')')?;
            return Ok(inner);
        }
        match self.peek() {
            Some(Token::Word(word)) => {
                if let Some(number) = self.number() {
                    return Ok(Answer::Scalar(number));
                }
                self.next += 1;
                match word.as_str() {
                    "sum" | "count" => self.moments(word),
                    "rate" | "increase" => self.growth(word),
                    "vector" => self.vector(),
                    _ if self.peek() == Some(&Token::Sign('(')) => {
                        Err(format!("{word} is not known here; {KNOWN}"))
                    }
                    _ => self.selector(Some(word)),
                }
            }
            Some(Token::Sign('{')) => self.selector(None),
            Some(token) => Err(format!("unexpected {token:?}; {KNOWN}")),
            None => Err(format!("the query ends too early; {KNOWN}")),
        }
    }

    fn number(&mut self) -> Option<f64> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        let number = word
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| word.parse().ok())??;
        self.next += 1;
        Some(number)
    }

    fn vector(&mut self) -> Result<Answer, String> {
        self.need('(')?;
        let inner = self.sum_of_products()?;
        self.need(')')?;
        match inner {
            Answer::Scalar(value) => Ok(Answer::Vector(vec![(Labels::new(), value)])),
            _ => Err("vector() takes a number".to_owned()),
        }
    }

    /// An aggregate, or a subquery of it: the same at moments that are multiples of the step.
    fn moments(&mut self, how: &str) -> Result<Answer, String> {
        let (begin, at) = (self.next, self.at);
        let now = self.aggregate(how)?;
        if !self.take('[') {
            return Ok(now);
        }
        let text = self.bracketed()?;
        let (range, step) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?}: a range of {how}() needs a step, as in 10m:15s"))?;
        let (range, step) = (duration(range)?, duration(step)?);
        if range / step > MOMENTS_MAX {
            return Err(format!("{text:?} are more than {MOMENTS_MAX} moments"));
        }
        let end = self.next;
        let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        let mut moment = (at - range).div_euclid(step) * step + step;
        while moment <= at {
            (self.next, self.at) = (begin, moment);
            if let Answer::Vector(all) = self.aggregate(how)? {
                for (labels, value) in all {
                    series.entry(labels).or_default().push((moment, value));
                }
            }
            moment += step;
        }
        (self.next, self.at) = (end, at);
        Ok(Answer::Matrix(series.into_iter().collect()))
    }

    fn aggregate(&mut self, how: &str) -> Result<Answer, String> {
        let mut by = self.grouping()?;
        self.need('(')?;
        let inner = self.sum_of_products()?;
        self.need(')')?;
        if by.is_empty() {
            by = self.grouping()?;
        }
        let Answer::Vector(all) = inner else {
            return Err(format!("{how}() takes an instant vector"));
        };
        let mut groups: BTreeMap<Labels, f64> = BTreeMap::new();
        for (labels, value) in all {
            let group = labels.into_iter().filter(|(name, _)| by.contains(name));
            let term = if how == "sum" { value } else { 1.0 };
            *groups.entry(group.collect()).or_default() += term;
        }
        Ok(Answer::Vector(groups.into_iter().collect()))
    }

    fn grouping(&mut self) -> Result<Vec<String>, String> {
        if self.peek() != Some(&Token::Word("by".to_owned())) {
            return Ok(Vec::new());
        }
        self.next += 1;
        self.need('(')?;
        let mut names = Vec::new();
        while let Some(Token::Word(name)) = self.peek() {
            self.next += 1;
            names.push(name.clone());
            if !self.take(',') {
                break;
            }
        }
        self.need(')')?;
        Ok(names)
    }

    fn growth(&mut self, how: &str) -> Result<Answer, String> {
        self.need('(')?;
        let inner = self.sum_of_products()?;
        self.need(')')?;
        let Answer::Matrix(all) = inner else {
            return Err(format!(
                "{how}() takes a range, such as requests_total[30s]"
            ));
        };
        let grown = all.into_iter().filter_map(|(mut labels, samples)| {
            labels.remove("__name__");
            let (first, last) = (samples.first()?, samples.last()?);
            let mut increase = 0.0;
            for (before, after) in samples.iter().zip(samples.iter().skip(1)) {
                // A counter that falls was reset to zero in between.
                increase += if after.1 < before.1 {
                    after.1
                } else {
                    after.1 - before.1
                };
            }
            if samples.len() < 2 {
                return None;
            }
            #[expect(clippy::cast_precision_loss, reason = "a few minutes in milliseconds")]
            let seconds = (last.0 - first.0) as f64 / 1000.0;
            let value = if how == "rate" {
                increase / seconds
            } else {
                increase
            };
            Some((labels, value))
        });
        Ok(Answer::Vector(grown.collect()))
    }

    fn selector(&mut self, name: Option<&str>) -> Result<Answer, String> {
        let mut matchers = Vec::new();
        if let Some(name) = name {
            matchers.push(Matcher::new("__name__", "=", name)?);
        }
        if self.take('{') {
            while !self.take('}') {
                matchers.push(self.matcher()?);
                if !self.take(',') {
                    self.need('}')?;
                    break;
                }
            }
        }
        if matchers.iter().all(Matcher::takes_nothing) {
            return Err(
                "a selector needs at least one matcher that does not match the empty \
                        string"
                    .to_owned(),
            );
        }
        let select = |labels: &Labels| matchers.iter().all(|m| m.takes(labels));
        if self.take('[') {
            let range = self.range()?;
            return Ok(Answer::Matrix(self.samples.range(
                self.at - range,
                self.at,
                select,
            )));
        }
        match self.peek() {
            Some(Token::Word(word)) if word == "offset" => {
                Err(format!("offset is not known here; {KNOWN}"))
            }
            _ => Ok(Answer::Vector(self.samples.instant(self.at, select))),
        }
    }

    /// What stands in brackets, such as `2m` or `1m30s`, with the closing bracket.
    fn range(&mut self) -> Result<i64, String> {
        let text = self.bracketed()?;
        duration(&text)
    }

    fn bracketed(&mut self) -> Result<String, String> {
        let mut text = String::new();
        while !self.take(']') {
            match self.peek() {
                Some(Token::Word(word)) => text.push_str(word),
                Some(Token::Sign(':')) => text.push(':'),
                other => return Err(format!("unexpected {other:?} in a range; {KNOWN}")),
            }
            self.next += 1;
        }
        Ok(text)
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let Some(Token::Word(label) | Token::Text(label)) = self.peek() else {
            return Err(format!("a label is missing in the braces; {KNOWN}"));
        };
        self.next += 1;
        let mut operator = String::new();
        while let Some(Token::Sign(sign @ ('=' | '!' | '~'))) = self.peek() {
            self.next += 1;
            operator.push(*sign);
        }
        let Some(Token::Text(value)) = self.peek() else {
            return Err(format!("label {label} needs a quoted value"));
        };
        self.next += 1;
        Matcher::new(label, &operator, value)
    }
}

/// Milliseconds of a duration such as `2m` or `1m30s`.
fn duration(text: &str) -> Result<i64, String> {
    let mut total = 0_i64;
    let mut number = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            number.push(c);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let (unit, length) = match (rest.starts_with("ms"), c) {
            (true, _) => (1, 2),
            (_, 's') => (1000, 1),
            (_, 'm') => (60_000, 1),
            (_, 'h') => (3_600_000, 1),
            (_, 'd') => (86_400_000, 1),
            _ => return Err(format!("{text:?} is not a duration")),
        };
        let count: i64 = number
            .parse()
            .map_err(|_| format!("{text:?} is not a duration"))?;
        total = total.saturating_add(count.saturating_mul(unit));
        number.clear();
        rest = rest.get(length..).unwrap_or_default();
    }
    if !number.is_empty() || total <= 0 || total > RANGE_MAX_MS {
        return Err(format!("{text:?} is not a range from 1ms to 24h"));
    }
    Ok(total)
}

fn operate(sign: char, left: &Answer, right: &Answer) -> Result<Answer, String> {
    let of = |a: f64, b: f64| match sign {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    };
    let unnamed = |labels: &Labels| {
        let kept = labels.iter().filter(|(name, _)| *name != "__name__");
        kept.map(|(n, v)| (n.clone(), v.clone()))
            .collect::<Labels>()
    };
    match (left, right) {
        (Answer::Scalar(a), Answer::Scalar(b)) => Ok(Answer::Scalar(of(*a, *b))),
        (Answer::Vector(all), Answer::Scalar(b)) => {
            let each = all.iter().map(|(l, a)| (unnamed(l), of(*a, *b)));
            Ok(Answer::Vector(each.collect()))
        }
        (Answer::Scalar(a), Answer::Vector(all)) => {
            let each = all.iter().map(|(l, b)| (unnamed(l), of(*a, *b)));
            Ok(Answer::Vector(each.collect()))
        }
        (Answer::Vector(all), Answer::Vector(other)) => {
            let right: BTreeMap<Labels, f64> =
                other.iter().map(|(l, b)| (unnamed(l), *b)).collect();
            let each = all.iter().filter_map(|(l, a)| {
                let labels = unnamed(l);
                let b = right.get(&labels)?;
                Some((labels, of(*a, *b)))
            });
            Ok(Answer::Vector(each.collect()))
        }
        _ => Err(format!("{sign} does not take a range")),
    }
}

#[cfg(test)]
mod tests;
