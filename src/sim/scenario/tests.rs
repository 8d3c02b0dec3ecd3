//! What is refused, and in which words; and that an expectation that is not met is found.

use super::*;

const GOOD: &str = "\
title: A good version goes out
source: argoproj/argo-rollouts#1
cases: [F01]
invariants: [I1]
given:
  versions: {v2: {}}
timeline:
  - at: 40s
    name: the new version
    apply: v2
expect:
  - within: 10m
    of: the new version
    that: {phase: Healthy, stable: v2}
";

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse("a.yaml", text).map_err(|error| error.to_string())
}

#[test]
fn malformed_scenarios_are_refused_with_line_field_value_and_what_is_allowed() {
    assert!(parse(GOOD).is_ok(), "{:?}", parse(GOOD).err());
    // what is replaced, by what, and what the message has
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "title: A good",
            "titel: A good",
            &["a.yaml:1", "titel", "title"],
        ),
        (
            "cases: [F01]",
            "cases: [F75]",
            &["cases", "F75", "F01 to F74"],
        ),
        ("cases: [F01]", "cases: [1]", &["cases", "F01 to F74"]),
        ("[I1]", "[I31]", &["invariants", "I31", "I1 to I30"]),
        ("apply: v2", "aply: v2", &["a.yaml:10", "aply", "apply"]),
        (
            "apply: v2",
            "apply: v3",
            &["a.yaml:8", "timeline[0].apply", "v3", "v1, v2"],
        ),
        (
            "apply: v2",
            "commit: v2",
            &["timeline[0].commit", "given.gitops"],
        ),
        (
            "    apply: v2\n",
            "",
            &["timeline[0]", "nothing happens", "exactly one"],
        ),
        (
            "apply: v2",
            "apply: v2\n    scale: 3",
            &["timeline[0]", "apply, scale", "exactly one"],
        ),
        (
            "at: 40s",
            "at: soon",
            &["a.yaml:8", "soon", "a span of time"],
        ),
        (
            "at: 40s",
            "at: 40s\n    for: 10s",
            &["timeline[0].for", "apply", "fault"],
        ),
        (
            "at: 40s",
            "at: 40s\n    every: 10s",
            &["timeline[0]", "every", "times"],
        ),
        ("at: 40s", "after: 40s", &["timeline[0]", "at", "when"]),
        ("at: 40s", "when: {phase: Helthy}", &["Helthy", "Healthy"]),
        ("at: 40s", "when: {}", &["timeline[0].when", "no fact"]),
        (
            "apply: v2",
            "rollout: shop\n    apply: v2",
            &["timeline[0].rollout", "shop", "web"],
        ),
        (
            "apply: v2",
            "clock: {controller: 3, ahead: 1h}",
            &["timeline[0].clock", "3", "0 to 0"],
        ),
        (
            "apply: v2",
            "fault: twoLeaders",
            &["twoLeaders", "given.controllers"],
        ),
        (
            "apply: v2",
            "fault: rain",
            &["rain", "gatewayAcceptsNothing"],
        ),
        ("apply: v2", "podsFail: {version: v2}", &["number"]),
        ("apply: v2", "apiErrors: {share: 2}", &["2", "0% to 100%"]),
        (
            "apply: v2",
            "apiErrors: {share: 20%, kind: Pod}",
            &["Pod", "ReplicaSet"],
        ),
        (
            "apply: v2",
            "resetWeight: {to: 101, by: someone}",
            &["101", "0 to 100"],
        ),
        (
            "{v2: {}}",
            "{v2: {pods: ready soon}}",
            &["ready soon", "never ready"],
        ),
        ("{v2: {}}", "{v2: {metrics: fine}}", &["fine", "unclear"]),
        (
            "{v2: {}}",
            "{v2: {}}\n  controllers: 9",
            &["given.controllers", "9", "1 to 5"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  dataPlaneLag: 6s",
            &["given.dataPlaneLag", "given.settle"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  rollouts: {web: {spec: {replica: 3}}}",
            &["given.rollouts.web.spec", "replica"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  rollouts: {web: {spec: {replicas: three}}}",
            &["given.rollouts.web.spec", "three"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  autoscalers: {web: {min: 0, max: 3, every: 15s}}",
            &["given.autoscalers.web", "min from 1"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  strangers: [{version: v9}]",
            &["given.strangers[0]", "v9"],
        ),
        (
            "{v2: {}}",
            "{v2: {values: {tag: v2}}}",
            &["given.versions.v1.values", "not there", "every version"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  templates: {own: {metrics: 3}}",
            &["given.templates.own", "AnalysisTemplate"],
        ),
        (
            "{v2: {}}",
            "{v2: {}}\n  objects: {HTTPRoute shop: {}}",
            &["given.objects", "HTTPRoute shop", "Service of a Rollout"],
        ),
        (
            "apply: v2",
            "edit: {object: HTTPRoute web, by: anna, patch: {}}",
            &["timeline[0].edit", "HTTPRoute web", "given.objects"],
        ),
        ("apply: v2", "pushes: late", &["late", "answerLost"]),
        (
            "of: the new version",
            "of: the newest version",
            &["expect[0].of", "the newest version", "the new version"],
        ),
        (
            "    of: the new version\n",
            "",
            &["a.yaml:12", "expect[0]", "within, of and that"],
        ),
        ("phase: Healthy,", "phse: Healthy,", &["phse", "phase"]),
        (
            "stable: v2",
            "stable: v4",
            &["expect[0]", "v4", "given.versions"],
        ),
        ("stable: v2", "ready: {v2: => 3}", &["=> 3", ">= 5"]),
        (
            "that: {phase: Healthy, stable: v2}",
            "that: {}",
            &["expect[0]", "no fact"],
        ),
        (
            "within: 10m",
            "within: 10m\n    from: 5s",
            &["expect[0]", "from or until"],
        ),
        (
            "title: A good version goes out",
            "title: ''",
            &["title", "one sentence"],
        ),
        (
            "cases: [F01]",
            "cases: [F01]\nlasts: 900h",
            &["lasts", "900"],
        ),
    ];
    for (replaced, by, words) in rows {
        assert!(GOOD.contains(replaced), "{replaced}");
        let message = match parse(&GOOD.replacen(replaced, by, 1)) {
            Ok(_) => panic!("{by} is accepted"),
            Err(message) => message,
        };
        for word in *words {
            assert!(
                message.contains(word),
                "{by}: {word:?} is not in: {message}"
            );
        }
    }
    let nothing = GOOD.split_once("expect:").unwrap().0.to_owned() + "expect: []\n";
    assert!(
        parse(&nothing)
            .unwrap_err()
            .contains("at least one expectation")
    );
}

#[test]
fn what_is_expected_is_looked_for() {
    // what is expected, and what is seen instead; none: it is met
    let rows = [
        (
            "within: 10m\n    of: the new version\n    that: {phase: Healthy, stable: v2}",
            None,
        ),
        (
            "within: 5s\n    of: the new version\n    that: {phase: Healthy, stable: v2}",
            Some("phase: Progressing"),
        ),
        (
            "after: 5m\n    of: 40s\n    that: {selects: {stable: v2}, share: {v2: 100, v1: 0}}",
            None,
        ),
        (
            "after: 1s\n    of: 40s\n    that: {selects: {stable: v2}}",
            Some("Service stable selects: v1"),
        ),
        (
            "at: 39s\n    that: {phase: Healthy, stable: v1, ready: {v1: 4}}",
            None,
        ),
        (
            "at: 39s\n    that: {ready: {v1: 5}}",
            Some("ready pods of v1: 4"),
        ),
        ("always: {allReady: '>= 4'}", None),
        ("always: {share: {v2: '<= 20'}}", Some("share of v2: ")),
        ("always: {share: {v2: '<= 20'}}\n    until: {step: 2}", None),
        ("never: {made: switch Service web-stable v2 -> v1}", None),
        (
            "never: {made: switch Service web-stable v1 -> v2}",
            Some("it was so"),
        ),
        ("whenever: {step: 1}\n    that: {weight: 20}", None),
        (
            "whenever: {step: 1}\n    that: {weight: 60}",
            Some("weight: 20"),
        ),
        (
            "whenever: {phase: Aborted}\n    that: {weight: 0}",
            Some("it never came to that"),
        ),
        ("atEveryWrite: {statusBytes: <= 65536}", None),
        (
            "atTheEnd: {stable: v2, pods: {v1: 0, v2: 4}, writes: {any: <= 40}}",
            None,
        ),
        ("atTheEnd: {stable: v1}", Some("stable: v2")),
        (
            "within: 1s\n    of: {phase: Aborted}\n    that: {weight: 0}",
            Some("it never came to that"),
        ),
    ];
    for (expected, seen) in rows {
        let before = GOOD.split_once("  - within").unwrap().0;
        let scenario = parse(&format!("{before}  - {expected}\n")).unwrap();
        let outcome = play(&scenario, 1, None, false);
        assert_eq!(outcome.broken, None, "{expected}");
        match (seen, outcome.unmet.as_slice()) {
            (None, []) => {}
            (Some(seen), [unmet]) if unmet.seen.contains(seen) => {
                assert_eq!(unmet.line, 12, "{expected}");
            }
            (_, unmet) => panic!("{expected}: {unmet:?}"),
        }
    }
}
