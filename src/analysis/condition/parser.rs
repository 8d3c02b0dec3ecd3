//! Reads the part of CEL's grammar that conditions on a number need. Recursion is bounded by
//! [`DEPTH_MAX`](super::DEPTH_MAX), chains of operators are loops.

use super::{ConditionError, DEPTH_MAX, LENGTH_MAX, Node, Operator, Value};

pub(super) fn parse(source: &str) -> Result<Node, ConditionError> {
    if source.chars().count() > LENGTH_MAX {
        return Err(ConditionError::TooLong);
    }
    let mut parser = Parser {
        tokens: tokens(source)?,
        next: 0,
        depth: 0,
        height: 0,
    };
    let root = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(root),
        Token::Sign("[") => Err(ConditionError::NotAllowed(
            "an index; result is a number here, not a list: write result < 0.95, not result[0] < 0.95",
        )),
        Token::Sign("." | "{") => Err(ConditionError::NotAllowed("a field or a map")),
        Token::Sign("%") => Err(ConditionError::NotAllowed("a remainder")),
        found => Err(unexpected("an operator or the end", found)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Number(&'a str),
    Name(&'a str),
    Sign(&'a str),
    End,
}

fn unexpected(expected: &'static str, found: Token<'_>) -> ConditionError {
    let found = match found {
        Token::End => "the end".to_owned(),
        Token::Number(t) | Token::Name(t) | Token::Sign(t) => format!("{t:?}"),
    };
    ConditionError::Syntax { expected, found }
}

fn tokens(source: &str) -> Result<Vec<Token<'_>>, ConditionError> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let next = rest.chars().nth(1).unwrap_or(' ');
        let length = if c.is_whitespace() {
            c.len_utf8()
        } else if c.is_ascii_digit() || c == '.' && next.is_ascii_digit() {
            let length = number(rest);
            found.push(Token::Number(rest.get(..length).unwrap_or_default()));
            length
        } else if c.is_ascii_alphabetic() || c == '_' {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            found.push(Token::Name(rest.get(..length).unwrap_or_default()));
            length
        } else if matches!(c, '"' | '\'') {
            return Err(ConditionError::NotAllowed("a text"));
        } else {
            let two = matches!(
                (c, next),
                ('|', '|') | ('&', '&') | ('=' | '!' | '<' | '>', '=')
            );
            let length = c.len_utf8() + usize::from(two);
            found.push(Token::Sign(rest.get(..length).unwrap_or_default()));
            length
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(found)
}

/// Length of the number at the start: digits, a point with digits, an exponent.
fn number(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())
    };
    let at = |index: usize| text.as_bytes().get(index).copied().unwrap_or(b' ');
    let mut length = digits(0);
    if at(length) == b'.' && at(length + 1).is_ascii_digit() {
        length += 1 + digits(length + 1);
    }
    if matches!(at(length), b'e' | b'E') {
        let sign = usize::from(matches!(at(length + 1), b'+' | b'-'));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    /// Levels of the tree so far: chains make it deep without recursion here, but not when it is
    /// walked.
    height: usize,
}

/// Most operators of a condition, and so its tree's greatest height.
const HEIGHT_MAX: usize = 64;

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.next).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = self.peek() == Token::Sign(sign);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ConditionError> {
        match self.take() {
            Token::Sign(s) if s == sign => Ok(()),
            found => Err(unexpected(sign, found)),
        }
    }

    fn deeper(&mut self) -> Result<(), ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(ConditionError::TooDeep)
        } else {
            Ok(())
        }
    }

    fn choice(&mut self) -> Result<Node, ConditionError> {
        self.deeper()?;
        let condition = self.chain(0)?;
        let node = if self.sign("?") {
            let yes = self.chain(0)?;
            self.expect(":")?;
            Node::Choice(Box::new(condition), Box::new(yes), Box::new(self.choice()?))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    /// A chain of left-associative operators that bind as tightly as `floor` or tighter.
    fn chain(&mut self, floor: u8) -> Result<Node, ConditionError> {
        let mut left = self.unary()?;
        while let Token::Sign(sign) = self.peek()
            && let Some((operator, binds)) = operator(sign)
            && binds >= floor
        {
            self.next += 1;
            self.height += 1;
            if self.height > HEIGHT_MAX {
                return Err(ConditionError::TooDeep);
            }
            let right = self.chain(binds + 1)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, ConditionError> {
        if self.sign("!") {
            self.deeper()?;
            let of = self.unary()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(of)));
        }
        if self.sign("-") {
            self.deeper()?;
            let of = self.unary()?;
            self.depth -= 1;
            return Ok(Node::Negate(Box::new(of)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, ConditionError> {
        match self.take() {
            Token::Number(text) => literal(text),
            Token::Name("result") => Ok(Node::Result),
            Token::Name("true") => Ok(Node::Literal(Value::Bool(true))),
            Token::Name("false") => Ok(Node::Literal(Value::Bool(false))),
            Token::Name(name) => Err(ConditionError::Name(name.to_owned())),
            Token::Sign("(") => {
                let inner = self.choice()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[" | "{") => Err(ConditionError::NotAllowed("a list or a map")),
            found => Err(unexpected("result or a number", found)),
        }
    }
}

/// A binary operator and how tightly it binds.
fn operator(sign: &str) -> Option<(Operator, u8)> {
    Some(match sign {
        "||" => (Operator::Or, 0),
        "&&" => (Operator::And, 1),
        "<" => (Operator::Less, 2),
        "<=" => (Operator::LessOrEqual, 2),
        ">" => (Operator::Greater, 2),
        ">=" => (Operator::GreaterOrEqual, 2),
        "==" => (Operator::Equal, 2),
        "!=" => (Operator::NotEqual, 2),
        "+" => (Operator::Add, 3),
        "-" => (Operator::Subtract, 3),
        "*" => (Operator::Multiply, 4),
        "/" => (Operator::Divide, 4),
        _ => return None,
    })
}

fn literal(text: &str) -> Result<Node, ConditionError> {
    let wrong = || unexpected("a number that can be represented", Token::Number(text));
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .map(|n| Node::Literal(Value::Int(n)))
            .map_err(|_| wrong());
    }
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(Node::Literal(Value::Double(n))),
        _ => Err(wrong()),
    }
}
