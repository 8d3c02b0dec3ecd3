//! Whether a pod template has what it takes to lose no request while its pods come and go: a
//! readiness probe, time to drain, and a grace period that is longer than the drain. It is advice:
//! nothing is refused for it, and nothing waits for it.

use serde_json::Value;

use crate::api::conditions::ConditionStatus;

/// What Kubernetes takes where the template says nothing.
const GRACE_DEFAULT_S: i64 = 30;

/// The condition of a template: its status, its reason in a word, and what to do.
pub(super) fn of(template: &Value) -> (ConditionStatus, &'static str, String) {
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let containers = spec.get("containers").and_then(Value::as_array);
    let containers: Vec<&Value> = containers.into_iter().flatten().collect();
    let grace = spec.get("terminationGracePeriodSeconds");
    let grace = grace.and_then(Value::as_i64).unwrap_or(GRACE_DEFAULT_S);
    if !containers.iter().any(|c| is_set(c, "/readinessProbe")) {
        return (
            ConditionStatus::False,
            "NoReadinessProbe",
            "spec.template.spec.containers: none has a readinessProbe, so a pod gets requests as soon \
             as it runs: add one that fails until the application can answer"
                .to_owned(),
        );
    }
    let hooks = containers
        .iter()
        .filter(|container| is_set(container, "/lifecycle/preStop"));
    let longest = hooks
        .clone()
        .max_by_key(|container| pre_stop_seconds(container));
    let Some(container) = longest else {
        return (
            ConditionStatus::Unknown,
            "NoPreStop",
            "spec.template.spec.containers: none has a preStop hook; routers send a pod requests for a \
             moment after it was told to end: let it sleep first (lifecycle.preStop.sleep.seconds: 5), \
             unless the application itself goes on answering after SIGTERM"
                .to_owned(),
        );
    };
    let name = container.get("name").and_then(Value::as_str);
    let name = name.unwrap_or_default();
    match pre_stop_seconds(container) {
        Some(seconds) if seconds >= grace => (
            ConditionStatus::False,
            "GraceTooShort",
            format!(
                "spec.template.spec.terminationGracePeriodSeconds: {grace}, and the preStop hook of \
                 container {name} alone takes {seconds} s: allow that and the time of the longest \
                 request"
            ),
        ),
        _ => (
            ConditionStatus::True,
            "ProbedAndDrained",
            "the template has a readiness probe and a preStop hook within its grace period"
                .to_owned(),
        ),
    }
}

fn is_set(container: &Value, pointer: &str) -> bool {
    container.pointer(pointer).is_some_and(|v| !v.is_null())
}

/// How long a container's preStop hook sleeps, where that can be seen: `sleep.seconds`, or a command
/// that ends with `sleep N`.
fn pre_stop_seconds(container: &Value) -> Option<i64> {
    let hook = container.pointer("/lifecycle/preStop")?;
    if let Some(seconds) = hook.pointer("/sleep/seconds").and_then(Value::as_i64) {
        return Some(seconds);
    }
    let command = hook.pointer("/exec/command")?.as_array()?;
    let words: Vec<&str> = command
        .iter()
        .filter_map(Value::as_str)
        .flat_map(|part| part.split([' ', ';', '&', '\n']))
        .filter(|word| !word.is_empty())
        .collect();
    let sleep = words
        .iter()
        .rposition(|word| word.rsplit('/').next() == Some("sleep"))?;
    let seconds: f64 = words.get(sleep + 1)?.trim_end_matches('s').parse().ok()?;
    (0.0..1e9).contains(&seconds).then(|| seconds.ceil() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_template_says_what_is_missing() {
        use ConditionStatus::{False, True, Unknown};
        let probe = json!({"httpGet": {"port": 80}});
        let hook = |hook: Value| json!([{"name": "app", "readinessProbe": probe, "lifecycle": {"preStop": hook}}]);
        let sleep = |seconds: i64| hook(json!({"sleep": {"seconds": seconds}}));
        let exec = |command: Value| hook(json!({"exec": {"command": command}}));
        let bare = json!([{"name": "app"}]);
        let probed = json!([{"name": "app", "readinessProbe": probe}]);
        let beside = json!([{"name": "proxy", "lifecycle": {"preStop": {"sleep": {"seconds": 9}}}},
            {"name": "app", "readinessProbe": probe}]);
        let rows = [
            (json!([]), None, False, "NoReadinessProbe"),
            (bare, None, False, "NoReadinessProbe"),
            (
                json!([{"name": "app", "readinessProbe": null}]),
                None,
                False,
                "NoReadinessProbe",
            ),
            (probed, None, Unknown, "NoPreStop"),
            (beside, None, True, "ProbedAndDrained"),
            (sleep(5), None, True, "ProbedAndDrained"),
            (sleep(30), None, False, "GraceTooShort"),
            (sleep(30), Some(60), True, "ProbedAndDrained"),
            (sleep(5), Some(0), False, "GraceTooShort"),
            (exec(json!(["sleep", "10"])), None, True, "ProbedAndDrained"),
            (
                exec(json!(["/bin/sh", "-c", "nginx -s quit; /bin/sleep 45s"])),
                None,
                False,
                "GraceTooShort",
            ),
            (exec(json!(["/drain"])), Some(1), True, "ProbedAndDrained"),
            (
                hook(json!({"httpGet": {"path": "/quit", "port": 80}})),
                None,
                True,
                "ProbedAndDrained",
            ),
        ];
        for (containers, grace, status, reason) in rows {
            let mut template = json!({"spec": {"containers": containers}});
            if let Some(grace) = grace {
                template["spec"]["terminationGracePeriodSeconds"] = json!(grace);
            }
            let (is, why, advice) = of(&template);
            assert_eq!((is, why), (status, reason), "{template}");
            assert!(
                is == True || advice.starts_with("spec.template.spec."),
                "{advice}"
            );
        }
    }
}
