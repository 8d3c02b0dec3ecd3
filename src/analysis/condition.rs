//! CEL conditions on one number: the part of CEL that speaks of numbers and booleans, with the same
//! meaning (a test compares it with a CEL library). It is read here because a condition comes from
//! anybody who may write a template: the general parsers recurse so deeply that ten nested
//! parentheses fill a megabyte of stack. Nothing in here loops, so a condition costs its length.
//!
//! They are checked when a run is made, not after its fifth measurement: `result` is the only
//! variable, the outcome is a boolean for every number, and it depends on the number.

mod parser;

/// Longest condition.
pub const LENGTH_MAX: usize = 1024;
/// Deepest nesting; beyond it nobody reads the condition any more.
pub const DEPTH_MAX: usize = 16;
/// Numbers that every condition is tried on, beside those that it names itself.
const PROBES: [f64; 13] = [
    0.5, 0.0, 1.0, -1.0, 2.0, -2.0, 1e-9, -1e-9, 100.0, 1e6, -1e6, 1e300, -1e300,
];

/// Why a condition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Too long.
    #[error("is longer than the {LENGTH_MAX} characters that are allowed")]
    TooLong,
    /// Too deep.
    #[error(
        "is more than {DEPTH_MAX} levels deep or has more than 64 operators, which is not allowed"
    )]
    TooDeep,
    /// Not a condition in CEL.
    #[error(
        "is not a condition in CEL: expected {expected}, found {found}; write for example result < 0.95"
    )]
    Syntax {
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A name that is not known.
    #[error("names {0:?}; there is only result, the number that the query returned")]
    Name(String),
    /// Something that has no place in a condition on a number.
    #[error(
        "uses {0}; allowed are result, numbers, true, false, + - * /, comparisons, && || ! and ?:"
    )]
    NotAllowed(&'static str),
    /// Numbers where booleans should be, or the other way round.
    #[error("needs {needed} for {of}")]
    Kind {
        /// What is needed.
        needed: &'static str,
        /// The operator or place.
        of: &'static str,
    },
    /// It does not depend on the result.
    #[error("is {0} for every result, so it would decide without looking")]
    Constant(bool),
    /// It cannot be computed.
    #[error("cannot be computed for the result {at}: {why}")]
    Fails {
        /// The number that was tried.
        at: String,
        /// What went wrong.
        why: &'static str,
    },
}

/// A condition that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    root: Node,
}

impl Condition {
    /// Reads and checks `source`.
    ///
    /// # Errors
    /// [`ConditionError`] for what is no condition on a number.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        let root = parser::parse(source)?;
        if root.kind()? != Kind::Bool {
            return Err(ConditionError::Kind {
                needed: "a comparison",
                of: "the whole condition",
            });
        }
        let condition = Self { root };
        let mut seen = [false; 2];
        for probe in condition.probes() {
            if let Some(seen) = seen.get_mut(usize::from(condition.holds(probe)?)) {
                *seen = true;
            }
        }
        match seen {
            [true, true] => Ok(condition),
            [_, always] => Err(ConditionError::Constant(always)),
        }
    }

    /// Numbers on both sides of everything that the condition names.
    fn probes(&self) -> Vec<f64> {
        let mut literals = Vec::new();
        self.root.literals(&mut literals);
        let near = |n: f64| [n, -n, n * 0.999, n * 1.001, n - 1.0, n + 1.0];
        let named = literals.into_iter().flat_map(near);
        PROBES
            .into_iter()
            .chain(named)
            .filter(|n| n.is_finite())
            .collect()
    }

    /// Holds the condition against `result`.
    ///
    /// # Errors
    /// [`ConditionError::Fails`] where whole numbers overflow or are divided by zero, and for a
    /// result that is not finite.
    pub fn holds(&self, result: f64) -> Result<bool, ConditionError> {
        let fails = |why| ConditionError::Fails {
            at: format!("{result:?}"),
            why,
        };
        if !result.is_finite() {
            return Err(fails("it is not a finite number"));
        }
        match self.root.value(result).map_err(fails)? {
            Value::Bool(holds) => Ok(holds),
            Value::Int(_) | Value::Double(_) => Err(fails("it is a number, not true or false")),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Result,
    Literal(Value),
    Negate(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Node {
    /// What kind of value it has, whatever the result is.
    fn kind(&self) -> Result<Kind, ConditionError> {
        use Operator as O;
        let wrong = |needed, of| Err(ConditionError::Kind { needed, of });
        Ok(match self {
            Node::Result => Kind::Double,
            Node::Literal(Value::Bool(_)) => Kind::Bool,
            Node::Literal(Value::Int(_)) => Kind::Int,
            Node::Literal(Value::Double(_)) => Kind::Double,
            Node::Negate(of) => match of.kind()? {
                Kind::Bool => return wrong("a number", "-"),
                number => number,
            },
            Node::Not(of) => match of.kind()? {
                Kind::Bool => Kind::Bool,
                _ => return wrong("a comparison", "!"),
            },
            Node::Binary(operator, left, right) => match (operator, left.kind()?, right.kind()?) {
                (O::Or | O::And, Kind::Bool, Kind::Bool) => Kind::Bool,
                (O::Or | O::And, ..) => return wrong("comparisons on both sides", "&& and ||"),
                (O::Equal | O::NotEqual, Kind::Bool, Kind::Bool) => Kind::Bool,
                (_, Kind::Bool, _) | (_, _, Kind::Bool) => {
                    return wrong("numbers on both sides", "arithmetic and comparisons");
                }
                (O::Add | O::Subtract | O::Multiply | O::Divide, Kind::Int, Kind::Int) => Kind::Int,
                (O::Add | O::Subtract | O::Multiply | O::Divide, ..) => Kind::Double,
                _ => Kind::Bool,
            },
            Node::Choice(condition, yes, no) => {
                match (condition.kind()?, yes.kind()?, no.kind()?) {
                    (Kind::Bool, yes, no) if yes == no => yes,
                    (Kind::Bool, Kind::Int | Kind::Double, Kind::Int | Kind::Double) => {
                        Kind::Double
                    }
                    _ => return wrong("a comparison before ? and two of a kind after it", "?:"),
                }
            }
        })
    }

    fn value(&self, result: f64) -> Result<Value, &'static str> {
        const OVERFLOW: &str = "a whole number overflows";
        Ok(match self {
            Node::Result => Value::Double(result),
            Node::Literal(value) => *value,
            Node::Negate(of) => match of.value(result)? {
                Value::Int(n) => Value::Int(n.checked_neg().ok_or(OVERFLOW)?),
                value => Value::Double(-number(value)),
            },
            Node::Not(of) => Value::Bool(!truth(of.value(result)?)),
            Node::Choice(condition, yes, no) => {
                let chosen = if truth(condition.value(result)?) {
                    yes
                } else {
                    no
                };
                chosen.value(result)?
            }
            // As CEL has it, an error on one side does not matter where the other side decides.
            Node::Binary(operator @ (Operator::Or | Operator::And), left, right) => {
                let decides = *operator == Operator::Or;
                let left = left.value(result).map(truth);
                if left == Ok(decides) {
                    return Ok(Value::Bool(decides));
                }
                let right = truth(right.value(result)?);
                Value::Bool(if right == decides { right } else { left? })
            }
            Node::Binary(operator, left, right) => {
                binary(*operator, left.value(result)?, right.value(result)?)?
            }
        })
    }

    fn literals(&self, found: &mut Vec<f64>) {
        match self {
            Node::Result | Node::Literal(Value::Bool(_)) => {}
            Node::Literal(value) => found.push(number(*value)),
            Node::Negate(of) | Node::Not(of) => of.literals(found),
            Node::Binary(_, left, right) => {
                left.literals(found);
                right.literals(found);
            }
            Node::Choice(condition, yes, no) => {
                condition.literals(found);
                yes.literals(found);
                no.literals(found);
            }
        }
    }
}

fn binary(operator: Operator, left: Value, right: Value) -> Result<Value, &'static str> {
    use Operator as O;
    if let (Value::Bool(a), Value::Bool(b)) = (left, right) {
        return Ok(Value::Bool((a == b) == (operator == O::Equal)));
    }
    if let (Value::Int(a), Value::Int(b)) = (left, right) {
        let whole = match operator {
            O::Add => Some(a.checked_add(b)),
            O::Subtract => Some(a.checked_sub(b)),
            O::Multiply => Some(a.checked_mul(b)),
            O::Divide if b == 0 => return Err("a division by zero"),
            O::Divide => Some(a.checked_div(b)),
            _ => None,
        };
        if let Some(whole) = whole {
            return whole.map(Value::Int).ok_or("a whole number overflows");
        }
    }
    let (a, b) = (number(left), number(right));
    Ok(match operator {
        O::Less => Value::Bool(a < b),
        O::LessOrEqual => Value::Bool(a <= b),
        O::Greater => Value::Bool(a > b),
        O::GreaterOrEqual => Value::Bool(a >= b),
        O::Equal => Value::Bool(a == b),
        O::NotEqual => Value::Bool(a != b),
        O::Add => Value::Double(a + b),
        O::Subtract => Value::Double(a - b),
        O::Multiply => Value::Double(a * b),
        O::Divide => Value::Double(a / b),
        O::Or | O::And => return Err("an operator has the wrong kind of operands"),
    })
}

fn truth(value: Value) -> bool {
    matches!(value, Value::Bool(true))
}

fn number(value: Value) -> f64 {
    match value {
        Value::Bool(b) => f64::from(u8::from(b)),
        Value::Int(n) => n as f64,
        Value::Double(n) => n,
    }
}

#[cfg(test)]
mod tests;
