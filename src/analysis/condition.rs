//! CEL conditions on one number. They are checked when a run is made, not after its fifth
//! measurement: `result` is the only variable, the outcome is a boolean for every number, and it
//! depends on the number.

use cel::common::ast::{Expr, LiteralValue};
use cel::parser::Parser;
use cel::{Context, IdedExpr, Value};

/// Longest condition.
pub const LENGTH_MAX: usize = 1024;
/// Deepest nesting; beyond it nobody reads the condition any more.
const DEPTH_MAX: u16 = 48;
/// Operators and functions on numbers and booleans. None of them loops, so the cost of a condition
/// is its length.
const CALLS: [&str; 18] = [
    "_?_:_", "_&&_", "_||_", "!_", "_-_", "_+_", "_*_", "_/_", "_==_", "_!=_", "_>=_", "_<=_",
    "_>_", "_<_", "-_", "double", "int", "_%_",
];
/// Numbers that every condition is tried on, beside those that it names itself.
const PROBES: [f64; 13] = [
    0.5, 0.0, 1.0, -1.0, 2.0, -2.0, 1e-9, -1e-9, 100.0, 1e6, -1e6, 1e300, -1e300,
];

/// Why a condition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Too long.
    #[error("longer than the {LENGTH_MAX} characters that are allowed")]
    TooLong,
    /// Not CEL.
    #[error("is not CEL: {0}")]
    Syntax(String),
    /// A name that is not known.
    #[error("names {0:?}; the only variable is result, a number, as in result < 0.95")]
    Variable(String),
    /// Something that has no place in a condition on a number.
    #[error("uses {0}; allowed are numbers, result, arithmetic, comparisons, &&, ||, ! and ?:")]
    NotAllowed(String),
    /// It does not depend on the result.
    #[error("is the same for every result ({0}), so it would decide without looking")]
    Constant(bool),
    /// It is no boolean, or cannot be computed.
    #[error("cannot be held against the result {at}: {why}")]
    Fails {
        /// The number that was tried.
        at: String,
        /// What went wrong.
        why: String,
    },
}

/// A condition that has been checked.
#[derive(Debug)]
pub struct Condition {
    program: IdedExpr,
}

impl Condition {
    /// Reads and checks `source`.
    ///
    /// # Errors
    /// [`ConditionError`] for what is no condition on a number.
    pub fn compile(source: &str) -> Result<Self, ConditionError> {
        if source.chars().count() > LENGTH_MAX {
            return Err(ConditionError::TooLong);
        }
        let program = Parser::new()
            .max_recursion_depth(DEPTH_MAX)
            .parse(source)
            .map_err(|e| ConditionError::Syntax(first_line(&e.to_string())))?;
        let mut literals = Vec::new();
        let mut names_result = false;
        inspect(&program, &mut literals, &mut names_result)?;
        let condition = Self { program };
        if !names_result {
            return Err(ConditionError::Constant(condition.holds(0.0)?));
        }
        let around = literals.iter().flat_map(|n| {
            [1.0, -1.0]
                .map(|s| s * n)
                .into_iter()
                .flat_map(|n| [n, n * 0.999, n * 1.001, n - 1.0, n + 1.0])
        });
        let mut outcomes = [false; 2];
        for probe in PROBES.into_iter().chain(around).filter(|n| n.is_finite()) {
            if let Some(seen) = outcomes.get_mut(usize::from(condition.holds(probe)?)) {
                *seen = true;
            }
        }
        match outcomes {
            [true, true] => Ok(condition),
            [_, always] => Err(ConditionError::Constant(always)),
        }
    }

    /// Holds the condition against `result`, which must be finite.
    ///
    /// # Errors
    /// [`ConditionError::Fails`] where it cannot be computed (a division by zero of integers).
    pub fn holds(&self, result: f64) -> Result<bool, ConditionError> {
        let fails = |why: String| ConditionError::Fails {
            at: format!("{result:?}"),
            why,
        };
        let mut context = Context::default();
        context.add_variable_from_value("result", result);
        match Value::resolve(&self.program, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(fails(format!(
                "it is {}, not true or false",
                other.type_of()
            ))),
            Err(error) => Err(fails(hint(&first_line(&error.to_string())))),
        }
    }
}

/// Users write `result * 100`; CEL does not mix its two kinds of numbers in arithmetic.
fn hint(error: &str) -> String {
    if error.contains("overload") || error.contains("binary operator") {
        format!("{error}; result is a decimal number: write 100.0, not 100, in arithmetic with it")
    } else {
        error.to_owned()
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

fn inspect(
    node: &IdedExpr,
    literals: &mut Vec<f64>,
    names_result: &mut bool,
) -> Result<(), ConditionError> {
    let not = |what: &str| Err(ConditionError::NotAllowed(what.to_owned()));
    match &node.expr {
        Expr::Ident(name) if name == "result" => *names_result = true,
        Expr::Ident(name) => return Err(ConditionError::Variable(name.clone())),
        Expr::Literal(LiteralValue::Boolean(_)) => {}
        #[expect(clippy::cast_precision_loss, reason = "only a number to try")]
        Expr::Literal(LiteralValue::Int(n)) => literals.push(*n.inner() as f64),
        #[expect(clippy::cast_precision_loss, reason = "only a number to try")]
        Expr::Literal(LiteralValue::UInt(n)) => literals.push(*n.inner() as f64),
        Expr::Literal(LiteralValue::Double(n)) => literals.push(*n.inner()),
        Expr::Literal(_) => return not("a text or null"),
        Expr::Call(call) => {
            if !CALLS.contains(&call.func_name.as_str()) || call.target.is_some() {
                let is_index = call.func_name == "_[_]";
                let name = if is_index {
                    "result[0]: result is a number here, not a list"
                } else {
                    &call.func_name
                };
                return not(name);
            }
            for argument in &call.args {
                inspect(argument, literals, names_result)?;
            }
        }
        Expr::Comprehension(_) => return not("a macro such as all() or exists()"),
        Expr::Select(_) => return not("a field"),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => return not("a list or a map"),
        Expr::Unspecified => return not("nothing"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(source: &str, says: &str) {
        let error = Condition::compile(source).expect_err(source).to_string();
        assert!(error.contains(says), "{source}: {error}");
    }

    #[test]
    fn a_condition_is_held_against_a_number() {
        let holds = |source: &str, result: f64| Condition::compile(source).unwrap().holds(result);
        assert_eq!(holds("result < 0.8", 0.5), Ok(true));
        assert_eq!(holds("result < 1", 1.5), Ok(false));
        assert_eq!(holds("result >= 0.9 && !(result > 1)", 0.95), Ok(true));
        assert_eq!(holds("result != 7.0", 7.0), Ok(false));
        assert_eq!(holds("result * 100.0 < 5.0", 0.04), Ok(true));
        assert_eq!(holds("result == 1", 1.0), Ok(true));
        assert_eq!(
            holds("(result < 0.0 ? -result : result) <= 3.5", -3.0),
            Ok(true)
        );
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        refused("result[0] >", "is not CEL");
        refused("result[0] > 1.0", "a number here, not a list");
        refused("", "is not CEL");
        for constant in ["true", "1 == 1", "false", "1.0 < 2.0"] {
            refused(constant, "the same for every result");
        }
        for constant in [
            "result == result",
            "result > 1.0 || true",
            "result < 1.0 && result > 2.0",
        ] {
            refused(constant, "the same for every result");
        }
        refused("value < 1.0", "\"value\"");
        refused("result", "not true or false");
        refused("result * 100 < 5.0", "write 100.0");
        refused("result < 'a'", "a text");
        refused("[1,2].all(x, x < 3)", "macro");
        refused("[result].exists(x, x > 1.0)", "macro");
        refused("result.foo < 1", "a field");
        refused("size('a') > 1", "size");
        refused(
            &format!("result < 1.0 {}", "|| result < 1.0".repeat(100)),
            "longer",
        );
        refused(
            &format!("{}result < 1.0{}", "(".repeat(200), ")".repeat(200)),
            "is not CEL",
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn anything_is_read_without_a_panic(text in "([a-z0-9 ()<>=!&|?:.+*/%-]|result){0,60}") {
            let _ = Condition::compile(&text);
        }
    }
}
