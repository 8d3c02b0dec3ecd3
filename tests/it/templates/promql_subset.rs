//! As much of PromQL as the templates' thresholds use: aggregations without labels, `rate` and `increase`,
//! arithmetic and `or`.

use std::iter::Peekable;
use std::vec::IntoIter;

use tidegate::analysis::promql::{self, Selector, Token, quoted};

/// What is computed.
#[derive(Debug, Clone)]
pub enum Expression {
    Number(f64),
    /// A selector, with its range in seconds.
    Select(Selector, Option<i64>),
    Call(String, Box<Self>),
    Binary(Box<Self>, String, Box<Self>),
}

/// A number, or the values of a vector.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Scalar(f64),
    Vector(Vec<f64>),
}

/// Samples by selector and time: `(seconds, value)`, for each series.
pub type Samples<'a> = dyn Fn(&Selector, i64, i64) -> Vec<Vec<(i64, f64)>> + 'a;

/// So far back an instant selector looks.
const LOOKBACK_S: i64 = 300;

impl Expression {
    /// Reads a query.
    pub fn read(query: &str) -> Self {
        let mut tokens = promql::tokens(query).unwrap().into_iter().peekable();
        let read = alternatives(&mut tokens);
        assert!(tokens.next().is_none(), "not read to the end: {query}");
        read
    }

    /// Its selectors, in the order in which they stand there.
    pub fn selectors(&self) -> Vec<&Selector> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Select(selector, _) => vec![selector],
            Self::Call(_, inner) => inner.selectors(),
            Self::Binary(left, _, right) => {
                let mut all = left.selectors();
                all.extend(right.selectors());
                all
            }
        }
    }

    /// The values of its answer at a time, in seconds.
    pub fn at(&self, at: i64, samples: &Samples<'_>) -> Vec<f64> {
        match self.value(at, samples) {
            Value::Scalar(number) => vec![number],
            Value::Vector(all) => all,
        }
    }

    fn value(&self, at: i64, samples: &Samples<'_>) -> Value {
        match self {
            Self::Number(number) => Value::Scalar(*number),
            Self::Select(selector, None) => {
                let all = samples(selector, at, LOOKBACK_S).into_iter();
                Value::Vector(all.filter_map(|s| Some(s.last()?.1)).collect())
            }
            Self::Select(_, Some(_)) => panic!("a range without rate or increase"),
            Self::Call(name, inner) => call(name, inner, at, samples),
            Self::Binary(left, operator, right) => binary(
                &left.value(at, samples),
                operator,
                &right.value(at, samples),
            ),
        }
    }
}

fn call(name: &str, inner: &Expression, at: i64, samples: &Samples<'_>) -> Value {
    if let ("rate" | "increase", Expression::Select(selector, Some(range))) = (name, inner) {
        let of = |series: Vec<(i64, f64)>| {
            let ((from, first), (to, last)) = (series.first()?, series.last()?);
            let rate = (last - first) / (to - from) as f64;
            let times = if name == "rate" { 1.0 } else { *range as f64 };
            (to > from).then_some(rate * times)
        };
        let all = samples(selector, at, *range).into_iter();
        return Value::Vector(all.filter_map(of).collect());
    }
    let Value::Vector(all) = inner.value(at, samples) else {
        panic!("{name} of a scalar");
    };
    if all.is_empty() {
        return Value::Vector(all);
    }
    let sum: f64 = all.iter().sum();
    let number = all.len() as f64;
    Value::Vector(vec![match name {
        "sum" => sum,
        "avg" => sum / number,
        "count" => number,
        "max" => all.iter().copied().fold(f64::MIN, f64::max),
        "min" => all.iter().copied().fold(f64::MAX, f64::min),
        other => panic!("{other} is not known here"),
    }])
}

fn binary(left: &Value, operator: &str, right: &Value) -> Value {
    let of = |l: f64, r: f64| match operator {
        "+" => l + r,
        "-" => l - r,
        "*" => l * r,
        "/" => l / r,
        other => panic!("{other} is not known here"),
    };
    match (left, operator, right) {
        (Value::Vector(l), "or", r) if l.is_empty() => r.clone(),
        (l, "or", _) => l.clone(),
        (Value::Scalar(l), _, Value::Scalar(r)) => Value::Scalar(of(*l, *r)),
        (Value::Scalar(l), _, Value::Vector(r)) => {
            Value::Vector(r.iter().map(|r| of(*l, *r)).collect())
        }
        (Value::Vector(l), _, Value::Scalar(r)) => {
            Value::Vector(l.iter().map(|l| of(*l, *r)).collect())
        }
        (Value::Vector(l), _, Value::Vector(r)) => {
            assert!(
                l.len() < 2 && r.len() < 2,
                "aggregate both sides of {operator}"
            );
            Value::Vector(l.iter().zip(r).map(|(l, r)| of(*l, *r)).collect())
        }
    }
}

type Tokens = Peekable<IntoIter<Token>>;

fn alternatives(tokens: &mut Tokens) -> Expression {
    let mut left = sums(tokens);
    while tokens.next_if(|t| *t == Token::Word("or".into())).is_some() {
        left = Expression::Binary(Box::new(left), "or".into(), Box::new(sums(tokens)));
    }
    left
}

fn sums(tokens: &mut Tokens) -> Expression {
    chain(tokens, &['+', '-'], products)
}

fn products(tokens: &mut Tokens) -> Expression {
    chain(tokens, &['*', '/'], operand)
}

fn chain(tokens: &mut Tokens, signs: &[char], inner: fn(&mut Tokens) -> Expression) -> Expression {
    let mut left = inner(tokens);
    while let Some(Token::Sign(sign)) =
        tokens.next_if(|t| matches!(t, Token::Sign(c) if signs.contains(c)))
    {
        left = Expression::Binary(Box::new(left), sign.to_string(), Box::new(inner(tokens)));
    }
    left
}

fn sign(tokens: &mut Tokens, sign: char) {
    assert_eq!(tokens.next(), Some(Token::Sign(sign)));
}

fn operand(tokens: &mut Tokens) -> Expression {
    let name = match tokens.next() {
        Some(Token::Word(word)) => word,
        Some(Token::Sign('(')) => {
            let inner = alternatives(tokens);
            sign(tokens, ')');
            return inner;
        }
        other => panic!("{other:?} at the beginning of something"),
    };
    if let Ok(number) = name.parse() {
        return Expression::Number(number);
    }
    if tokens.next_if(|t| *t == Token::Sign('(')).is_some() {
        let inner = alternatives(tokens);
        sign(tokens, ')');
        return Expression::Call(name, Box::new(inner));
    }
    let mut text = name;
    if tokens.peek() == Some(&Token::Sign('{')) {
        loop {
            let token = tokens.next().unwrap();
            match &token {
                Token::Word(word) => text.push_str(word),
                Token::Text(value) => text.push_str(&format!("\"{}\"", quoted(value, '"'))),
                Token::Sign(sign) => text.push(*sign),
            }
            if token == Token::Sign('}') {
                break;
            }
        }
    }
    let range = tokens.next_if(|t| *t == Token::Sign('[')).map(|_| {
        let Some(Token::Word(minutes)) = tokens.next() else {
            panic!("a range in minutes");
        };
        sign(tokens, ']');
        minutes.strip_suffix('m').unwrap().parse::<i64>().unwrap() * 60
    });
    Expression::Select(promql::selector(&text).unwrap(), range)
}
