//! What the controller takes of the machine, read off the kubelet's `/metrics/resource`. Pure.

use std::collections::BTreeMap;

use tidegate_lab::NAMESPACE;

/// The controller's container.
const CONTAINER: &str = "controller";

/// What one of its pods has used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processor time since it began.
    pub cpu_seconds: f64,
    /// Its working set now, in MiB.
    pub memory_mib: f64,
}

/// By pod.
#[must_use]
pub fn read(metrics: &str) -> BTreeMap<String, Usage> {
    let mut found = BTreeMap::<String, Usage>::new();
    for line in metrics.lines() {
        let Some((series, values)) = line.split_once("} ") else {
            continue;
        };
        let label = |name: &str| {
            let (_, rest) = series.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let value = values.split(' ').next().and_then(|v| v.parse::<f64>().ok());
        let (Some(pod), Some(value)) = (label("pod"), value) else {
            continue;
        };
        if label("namespace") != Some(NAMESPACE) || label("container") != Some(CONTAINER) {
            continue;
        }
        let usage = found.entry(pod.to_owned()).or_default();
        if series.starts_with("container_cpu_usage_seconds_total") {
            usage.cpu_seconds = value;
        } else if series.starts_with("container_memory_working_set_bytes") {
            usage.memory_mib = value / 1024.0 / 1024.0;
        }
    }
    found
}

/// What was used between two looks, if the processes were the same all the time: processor time of
/// all of them, and the largest working set at the end. A process that began anew in the same pod
/// counts from nothing.
#[must_use]
pub fn between(before: &BTreeMap<String, Usage>, after: &BTreeMap<String, Usage>) -> Option<Usage> {
    let mut pairs = before.iter().zip(after);
    let same =
        pairs.all(|((was, then), (is, now))| was == is && now.cpu_seconds >= then.cpu_seconds);
    if before.is_empty() || before.len() != after.len() || !same {
        return None;
    }
    let cpu = |usage: &BTreeMap<String, Usage>| usage.values().map(|u| u.cpu_seconds).sum::<f64>();
    let memory = after.values().map(|usage| usage.memory_mib);
    Some(Usage {
        cpu_seconds: cpu(after) - cpu(before),
        memory_mib: memory.fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP container_cpu_usage_seconds_total x
container_cpu_usage_seconds_total{container=\"controller\",namespace=\"tidegate-system\",pod=\"tidegate-a\"} 1.5 1700000000000
container_cpu_usage_seconds_total{container=\"writer\",namespace=\"tidegate-system\",pod=\"tidegate-b\"} 9 1700000000000
container_cpu_usage_seconds_total{container=\"controller\",namespace=\"shop\",pod=\"c\"} 9 1700000000000
container_memory_working_set_bytes{container=\"controller\",namespace=\"tidegate-system\",pod=\"tidegate-a\"} 2.097152e+06 1700000000000
node_cpu_usage_seconds_total 99 1700000000000
";

    #[test]
    fn only_the_controller_counts() {
        let used = Usage {
            cpu_seconds: 1.5,
            memory_mib: 2.0,
        };
        assert_eq!(
            read(METRICS),
            BTreeMap::from([("tidegate-a".to_owned(), used)])
        );
    }

    #[test]
    fn another_process_has_another_count() {
        let standby = METRICS.replace("tidegate-a", "tidegate-z");
        let both = read(&format!("{METRICS}{standby}"));
        let later = METRICS
            .replace(" 1.5 ", " 2.25 ")
            .replace("2.097152e+06", "4.194304e+06");
        let used = Usage {
            cpu_seconds: 0.75,
            memory_mib: 4.0,
        };
        let now = |text: &str| between(&both, &read(text));
        assert_eq!(now(&format!("{later}{standby}")), Some(used));
        assert_eq!(now(&later), None, "one is gone");
        let replaced = standby.replace("tidegate-z", "tidegate-y");
        assert_eq!(now(&format!("{later}{replaced}")), None, "one is another");
        let anew = standby.replace(" 1.5 ", " 0.1 ");
        assert_eq!(now(&format!("{later}{anew}")), None, "one began anew");
        assert_eq!(between(&read(""), &read("")), None);
    }
}
