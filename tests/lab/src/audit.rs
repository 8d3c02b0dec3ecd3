//! What was written to the API server, by whom and when, from its audit log.

use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads an audit log; every line once, however often it is asked.
#[derive(Clone)]
pub struct Audit {
    log: PathBuf,
    read: Arc<Mutex<ReadSoFar>>,
}

#[derive(Default)]
struct ReadSoFar {
    bytes: u64,
    requests: Vec<Request>,
}

/// A request to write.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// The object's namespace; empty where it has none.
    pub namespace: String,
    /// `verb resource[/subresource]`, for instance `patch rollouts/status`.
    pub action: String,
    /// The object's name; empty where the server chose it.
    pub name: String,
    /// The answer's status code.
    pub code: u16,
    /// When the API server got the request.
    pub received: Timestamp,
    /// When it had answered.
    pub answered: Timestamp,
}

impl Request {
    /// Whether something was written.
    pub fn is_granted(&self) -> bool {
        self.code < 400
    }
}

/// Writes by `verb resource[/subresource]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes(pub BTreeMap<String, u64>);

impl Writes {
    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those of some kinds.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let wanted = self.0.iter().filter(|(action, _)| wanted(action));
        Self(
            wanted
                .map(|(action, count)| (action.clone(), *count))
                .collect(),
        )
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
struct Line {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Answer>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
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
    #[serde(default)]
    name: String,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    code: u16,
}

impl Audit {
    /// Reads this file.
    pub fn of(log: PathBuf) -> Self {
        Self {
            log,
            read: Arc::default(),
        }
    }

    /// What a user wrote in a namespace and was granted.
    pub fn writes(&self, user: &str, namespace: &str) -> Writes {
        let mut writes = Writes::default();
        for request in self.requests(user, namespace) {
            if request.is_granted() {
                *writes.0.entry(request.action).or_default() += 1;
            }
        }
        writes
    }

    /// What a user tried to write in a namespace, in the order of the answers.
    pub fn requests(&self, user: &str, namespace: &str) -> Vec<Request> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.go_on(&self.log);
        let wanted = |request: &&Request| request.user == user && request.namespace == namespace;
        read.requests.iter().filter(wanted).cloned().collect()
    }
}

impl ReadSoFar {
    fn go_on(&mut self, log: &PathBuf) {
        let mut file = File::open(log).unwrap();
        file.seek(SeekFrom::Start(self.bytes)).unwrap();
        let mut new = Vec::new();
        file.read_to_end(&mut new).unwrap();
        // The last line may still be on its way.
        let whole = new
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.bytes += whole as u64;
        let text = String::from_utf8_lossy(&new[..whole]);
        self.requests.extend(text.lines().filter_map(request));
    }
}

fn request(line: &str) -> Option<Request> {
    let line: Line = serde_json::from_str(line).ok()?;
    let object = line.object_ref?;
    let resource = match object.subresource {
        Some(subresource) => format!("{}/{subresource}", object.resource),
        None => object.resource,
    };
    Some(Request {
        user: line.user.username,
        namespace: object.namespace,
        action: format!("{} {resource}", line.verb),
        name: object.name,
        code: line.response_status?.code,
        received: line.request_received_timestamp,
        answered: line.stage_timestamp,
    })
}

#[test]
fn granted_writes_are_counted_by_user_namespace_verb_and_resource() {
    let line = |user: &str, verb: &str, namespace: &str, rest: &str, code: u16| {
        format!(
            r#"{{"verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"namespace":"{namespace}",{rest}}},"responseStatus":{{"code":{code}}},"requestReceivedTimestamp":"2026-11-21T10:00:00.100000Z","stageTimestamp":"2026-11-21T10:00:00.250000Z"}}
"#
        )
    };
    let status = r#""resource":"rollouts","subresource":"status","name":"shop""#;
    let sets = r#""resource":"replicasets""#;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let begun = [
        line("tidegate", "patch", "shop", status, 200),
        line("tidegate", "create", "shop", sets, 201),
        line("tidegate", "create", "shop", sets, 409),
        line("tidegate", "create", "other", sets, 201),
        line("somebody", "create", "shop", sets, 201),
        r#"{"verb":"pa"#.to_owned(),
    ]
    .concat();
    std::fs::write(&log, &begun).unwrap();
    let audit = Audit::of(log.clone());
    let count = || audit.writes("tidegate", "shop");
    let expected = |statuses: u64| {
        Writes(
            [
                ("create replicasets".to_owned(), 1),
                ("patch rollouts/status".to_owned(), statuses),
            ]
            .into(),
        )
    };
    assert_eq!((count(), count()), (expected(1), expected(1)));
    let first = count();

    let half = r#"{"verb":"pa"#.len();
    let rest = line("tidegate", "patch", "shop", status, 200);
    std::fs::write(&log, format!("{begun}{}", &rest[half..])).unwrap();
    assert_eq!(count(), expected(2));
    assert_eq!((count().total(), count().since(&first).total()), (3, 1));
    assert_eq!(
        count().only(|action| action.contains("rollouts")).total(),
        2
    );
    let last = audit.requests("tidegate", "shop").pop().unwrap();
    assert_eq!(last.name, "shop");
    let took = last.answered.duration_since(last.received);
    assert_eq!(took.as_millis(), 150);
}
