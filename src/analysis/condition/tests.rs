use super::*;
use proptest::prelude::*;

#[track_caller]
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
    assert_eq!(holds("result * 100 < 5", 0.04), Ok(true));
    assert_eq!(holds("result == 1", 1.0), Ok(true));
    assert_eq!(
        holds("result < 1 / 2", 0.25),
        Ok(false),
        "whole numbers divide as in CEL"
    );
    assert_eq!(
        holds("(result < .0e1 ? -result : result) <= 3.5", -3.0),
        Ok(true)
    );
    assert!(matches!(
        holds("result < 1.0", f64::NAN),
        Err(ConditionError::Fails { .. })
    ));
}

#[test]
fn what_is_no_condition_is_refused() {
    refused("result[0] >", "not a list");
    refused("result >", "expected result or a number, found the end");
    refused("result[0] > 1.0", "a number here, not a list");
    refused("", "found the end");
    for constant in [
        "true",
        "1 == 1",
        "1.0 < 2.0",
        "result == result",
        "result > 1.0 || true",
    ] {
        refused(constant, "is true for every result");
    }
    for constant in ["false", "result < 1.0 && result > 2.0"] {
        refused(constant, "is false for every result");
    }
    refused("value < 1.0", "names \"value\"");
    refused("result", "needs a comparison for the whole condition");
    refused("result < 'a'", "a text");
    refused("[1,2].all(x, x < 3)", "a list");
    refused("result.foo < 1", "a field");
    refused("size(3) > 1", "names \"size\"");
    refused("result < 1.0 < 2.0", "numbers on both sides");
    refused("result % 2 == 0", "a remainder");
    refused("result && true", "comparisons on both sides");
    refused("result < 99999999999999999999", "can be represented");
    refused("result < 1e999", "can be represented");
    refused("result > 1 / 0", "a division by zero");
    refused("result < 1.0; true", "an operator or the end");
    refused(&"result < 1.0 || ".repeat(100), "longer than the 1024");
    let deep = |n| format!("{}result < 1.0{}", "(".repeat(n), ")".repeat(n));
    refused(&deep(200), "more than 16 levels");
    refused(
        &format!("result < 1.0 == {}true", "!".repeat(200)),
        "levels deep",
    );
    assert!(Condition::compile(&deep(14)).is_ok());
}

/// The worst that is let through, on a quarter of a thread's usual stack.
#[test]
fn what_is_let_through_does_not_overflow_the_stack() {
    let deep = DEPTH_MAX - 2;
    let sources = [
        format!("{}result < 1.0{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}result{} < 1", "(".repeat(deep), "+1)".repeat(deep)),
        format!("result < {}1{}", "(1+".repeat(deep), ")".repeat(deep)),
        format!("result{} < 1", "+1".repeat(62)),
        format!("result < {}1", "-".repeat(deep)),
        "result < 1 ? true : ".repeat(deep) + "result > 2",
    ];
    let run = move || {
        for source in &sources {
            let condition = Condition::compile(source).expect(source);
            condition.holds(0.5).expect(source);
        }
    };
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    small.spawn(run).unwrap().join().unwrap();
}

/// A number or a condition, as text, that CEL's types allow.
fn expression(levels: u32) -> BoxedStrategy<(String, String)> {
    let number = prop_oneof![
        Just("result".to_owned()),
        (-20i32..20).prop_map(|n| format!("{}.{}", n / 4, (n.abs() % 4) * 25)),
    ];
    let condition = prop_oneof![Just("true".to_owned()), Just("false".to_owned())];
    let leaf = (number, condition).boxed();
    if levels == 0 {
        return leaf;
    }
    let below = expression(levels - 1);
    let two = (below.clone(), below);
    let arithmetic = prop::sample::select(vec!["+", "-", "*", "/"]);
    let comparison = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let logic = prop::sample::select(vec!["&&", "||"]);
    (two, arithmetic, comparison, logic, 0..4_u8)
        .prop_map(|(((a, p), (b, q)), arithmetic, comparison, logic, shape)| {
            let number = match shape {
                0 => format!("({a} {arithmetic} {b})"),
                1 => format!("({p} ? {a} : {b})"),
                2 => format!("-({a})"),
                _ => format!("{a} {arithmetic} {b}"),
            };
            let condition = match shape {
                0 => format!("{p} {logic} {q}"),
                1 => format!("!({q})"),
                2 => format!("({a} {comparison} {b})"),
                _ => format!("({p} {logic} ({a} {comparison} {b}))"),
            };
            (number, condition)
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The same source means the same here and in a CEL library.
    #[test]
    fn it_means_what_cel_means((_, source) in expression(3), result in -5.0..5.0_f64) {
        let Ok(root) = parser::parse(&source) else {
            return Err(TestCaseError::reject("too deep"));
        };
        let ours = Condition { root }.holds(result);
        let theirs = {
            let source = source.clone();
            // Its parser needs far more stack than a test's thread has.
            let run = move || {
                let program = cel::Program::compile(&source).expect("it is CEL");
                let mut context = cel::Context::default();
                context.add_variable_from_value("result", result);
                program.execute(&context)
            };
            let large = std::thread::Builder::new().stack_size(64 << 20);
            large.spawn(run).expect("a thread").join().expect("no panic")
        };
        // 0.0 / 0.0: the library has no order for NaN, where CEL's definition says false.
        let Ok(theirs) = theirs else {
            return Err(TestCaseError::reject("the library does not compare NaN"));
        };
        prop_assert_eq!(ours.map(cel::Value::Bool), Ok(theirs), "{}", source);
    }

    #[test]
    fn anything_is_read_without_a_panic(text in "([a-z0-9 ()<>=!&|?:.+*/%-]|result){0,80}") {
        let _ = Condition::compile(&text);
    }
}
