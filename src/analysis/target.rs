//! What a series was scraped from, as its labels tell it.

use std::fmt;

use super::labels::Labels;

/// A scraped target: the job, instance, namespace and pod that its series name. What they do not name is
/// empty, for all of them alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target<'a> {
    job: &'a str,
    instance: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl<'a> Target<'a> {
    /// The target of a series with these labels.
    pub fn of(labels: &'a Labels) -> Self {
        let mut target = Self::default();
        for (name, value) in labels.iter() {
            match name {
                "job" => target.job = value,
                "instance" => target.instance = value,
                "namespace" => target.namespace = value,
                "pod" => target.pod = value,
                _ => {}
            }
        }
        target
    }
}

/// Its parts with `/` in between; nothing, if none is named.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        let Self {
            job,
            instance,
            namespace,
            pod,
        } = self;
        write!(f, "{job}/{instance}/{namespace}/{pod}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_by_four_labels() {
        for (labels, shown) in [
            (vec![], ""),
            (vec![("code", "200")], ""),
            (vec![("pod", "a")], "///a"),
            (vec![("job", "shop"), ("le", "1"), ("pod", "a")], "shop///a"),
            (
                vec![
                    ("job", "j"),
                    ("instance", "i"),
                    ("namespace", "n"),
                    ("pod", "p"),
                ],
                "j/i/n/p",
            ),
        ] {
            let labels: Labels = labels.into_iter().collect();
            assert_eq!(Target::of(&labels).to_string(), shown);
        }
        let of = |job: &'static str, instance| Labels::from([("job", job), ("instance", instance)]);
        let (one, other) = (of("a/b", "c"), of("a", "b/c"));
        assert_ne!(Target::of(&one), Target::of(&other));
    }
}
