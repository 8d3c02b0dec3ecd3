//! What Tidegate does in some forty situations, written down in words (`golden/plans.txt`), to be read
//! by whoever changes the planner: a change of behaviour is a change of that file.
//! `cargo test --lib golden::write_down -- --ignored` writes it anew.

mod situations;

use super::world::World;
use crate::core::decide::decide;
use crate::core::observed::Observed;
use crate::core::plan::Plan;
use situations::situations;

/// Plans that follow one another at one moment, at most.
const PLANS_MAX: usize = 20;

/// What is done at this moment, plan after plan.
fn shown(mut world: World, otherwise: Option<fn(&mut Observed)>) -> String {
    let mut text = String::new();
    for _ in 0..PLANS_MAX {
        let plan = match otherwise {
            Some(otherwise) => {
                let mut observed = world.observe();
                otherwise(&mut observed);
                decide(&observed, world.now)
            }
            None => world.reconcile(),
        };
        text.push_str(&said(&plan));
        if plan.is_settled() || otherwise.is_some() || world.gone {
            let wait = plan
                .wake_at
                .map(|at| at.duration_since(world.now).as_secs());
            text.push_str(&match wait {
                _ if world.gone => "  it is gone\n".to_owned(),
                Some(wait) => format!("  looks again in {wait} s\n"),
                None => "  looks again when something changes\n".to_owned(),
            });
            return with_versions(&world, text);
        }
        text.push_str("  -\n");
    }
    panic!("no end:\n{text}");
}

fn said(plan: &Plan) -> String {
    let mut lines: Vec<String> = plan.writes.iter().map(ToString::to_string).collect();
    if let Some(status) = &plan.status {
        let phase = status.phase.map(|p| p.to_string()).unwrap_or_default();
        lines.push(format!("status {phase}: {}", status.message));
    }
    lines.extend(plan.afterwards.iter().map(|w| format!("afterwards {w}")));
    let events = plan.events.iter();
    lines.extend(events.map(|e| format!("event {}: {}", e.reason, e.note)));
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// With the versions' names in place of their hashes.
fn with_versions(world: &World, mut text: String) -> String {
    for version in ["v1", "v2", "v3"] {
        text = text.replace(&world.hash_of(&format!("r/a:{version}")), version);
    }
    text
}

/// All of it as it is now.
fn actual() -> String {
    let all = situations();
    assert!(all.len() >= 30, "{} situations", all.len());
    let texts = all.into_iter();
    let texts = texts
        .map(|(title, world, otherwise)| format!("=== {title}\n{}\n", shown(world(), otherwise)));
    texts.collect()
}

#[test]
fn what_is_done_is_what_is_written_down() {
    let (actual, expected) = (actual(), include_str!("golden/plans.txt"));
    let mut title = "";
    for (i, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        if actual.starts_with("===") {
            title = actual;
        }
        assert_eq!(actual, expected, "line {} of plans.txt, {title}", i + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count());
}

#[test]
#[ignore = "writes plans.txt anew, to be read before it is committed"]
fn write_down_what_is_done() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/core/tests/golden/plans.txt"
    );
    std::fs::write(file, actual()).unwrap();
}
