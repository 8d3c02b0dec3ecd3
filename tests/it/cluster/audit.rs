//! What was written to the API server and by whom, from its audit log.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Counts writes from an audit log.
#[derive(Clone)]
pub struct Audit {
    log: PathBuf,
}

/// Writes by `verb resource[/subresource]`, for instance `patch rollouts/status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes(pub BTreeMap<String, u64>);

impl Writes {
    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// What came after an earlier count.
    pub fn since(&self, earlier: &Self) -> Self {
        let later = |(key, count): (&String, &u64)| {
            let count = count - earlier.0.get(key).copied().unwrap_or_default();
            (count > 0).then(|| (key.clone(), count))
        };
        Self(self.0.iter().filter_map(later).collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Answer>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    namespace: String,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    code: u16,
}

impl Audit {
    /// Reads this file.
    pub fn of(log: PathBuf) -> Self {
        Self { log }
    }

    /// What a user wrote in a namespace and was granted.
    pub fn writes(&self, user: &str, namespace: &str) -> Writes {
        self.count(user, namespace, |code| code < 400)
    }

    /// What a user tried to write in a namespace and was refused, for want of a right.
    pub fn forbidden(&self, user: &str, namespace: &str) -> Writes {
        self.count(user, namespace, |code| code == 403)
    }

    fn count(&self, user: &str, namespace: &str, counts: impl Fn(u16) -> bool) -> Writes {
        let text = std::fs::read_to_string(&self.log).unwrap();
        count(&text, user, namespace, counts)
    }
}

fn count(log: &str, user: &str, namespace: &str, counts: impl Fn(u16) -> bool) -> Writes {
    let mut writes = Writes::default();
    // The last line may still be on its way.
    let entries = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    for entry in entries.filter(|entry| entry.user.username == user) {
        let Some(object) = entry
            .object_ref
            .filter(|object| object.namespace == namespace)
        else {
            continue;
        };
        if entry
            .response_status
            .is_some_and(|answer| counts(answer.code))
        {
            let resource = match object.subresource {
                Some(subresource) => format!("{}/{subresource}", object.resource),
                None => object.resource,
            };
            *writes
                .0
                .entry(format!("{} {resource}", entry.verb))
                .or_default() += 1;
        }
    }
    writes
}

#[test]
fn granted_writes_are_counted_by_user_namespace_verb_and_resource() {
    let line = |user: &str, verb: &str, namespace: &str, rest: &str, code: u16| {
        format!(
            r#"{{"verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"namespace":"{namespace}",{rest}}},"responseStatus":{{"code":{code}}}}}"#
        )
    };
    let log = [
        line(
            "tidegate",
            "patch",
            "shop",
            r#""resource":"rollouts","subresource":"status""#,
            200,
        ),
        line(
            "tidegate",
            "patch",
            "shop",
            r#""resource":"rollouts","subresource":"status""#,
            200,
        ),
        line(
            "tidegate",
            "create",
            "shop",
            r#""resource":"replicasets""#,
            201,
        ),
        line(
            "tidegate",
            "create",
            "shop",
            r#""resource":"replicasets""#,
            409,
        ),
        line(
            "tidegate",
            "create",
            "other",
            r#""resource":"replicasets""#,
            201,
        ),
        line(
            "somebody",
            "create",
            "shop",
            r#""resource":"replicasets""#,
            201,
        ),
        r#"{"verb":"cre"#.to_owned(),
    ]
    .join("\n");
    let writes = count(&log, "tidegate", "shop", |code| code < 400);
    let expected = [
        ("create replicasets".to_owned(), 1),
        ("patch rollouts/status".to_owned(), 2),
    ];
    assert_eq!(writes, Writes(expected.into()));
    assert_eq!(writes.total(), 3);
}
