//! The documents of a file as values whose places are known: line and column of every field.
//!
//! A plain scalar means what it means to kubectl, which reads YAML 1.1: `Off` and `yes` are truth values,
//! `010` is eight. Nothing here knows what an object is.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

/// Deeper nesting is refused; definitions with schemas go to about sixty.
const DEPTH_MAX: usize = 200;
/// More values are refused, those that aliases stand for counted each time.
const NODES_MAX: usize = 2_000_000;

/// Where something stands, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    content: Content,
    /// How many values it is.
    size: usize,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar(Value),
    Mapping(Vec<Entry>),
    Sequence(Vec<Node>),
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    place: Place,
    value: Node,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The documents before the first place that cannot be read.
    pub documents: Vec<Node>,
    /// What is wrong with the text itself.
    pub faults: Vec<(Place, String)>,
}

/// Reads a text of any number of documents. JSON is YAML.
pub(super) fn read(text: &str) -> Stream {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let read = match event {
            Ok((event, span)) => {
                let place = Place {
                    line: span.start.line(),
                    column: span.start.col() + 1,
                };
                reader.event(event, place)
            }
            Err(e) => {
                let place = Place {
                    line: e.marker().line(),
                    column: e.marker().col() + 1,
                };
                Err((place, format!("no YAML: {}", e.info())))
            }
        };
        if let Err(fault) = read {
            reader.stream.faults.push(fault);
            break;
        }
    }
    reader.stream
}

impl Node {
    /// The value alone.
    pub fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(items) => items.iter().map(Node::value).collect(),
            Content::Mapping(entries) => {
                let fields = entries.iter().map(|e| (e.key.clone(), e.value.value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// What stands under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Where the field of a path such as `spec.metrics[errors].ratio` or `spec.steps[0]` stands, or the
    /// nearest one above it that is there. Keys may have dots.
    pub fn place_of(&self, path: &str) -> Place {
        let (mut node, mut place, mut rest) = (self, self.place, path);
        loop {
            rest = rest.trim_start_matches('.');
            let next = match &node.content {
                Content::Scalar(_) => None,
                Content::Mapping(entries) => {
                    let ends = |r: &str| r.is_empty() || r.starts_with(['.', '[']);
                    let after = |e: &Entry| rest.strip_prefix(e.key.as_str()).filter(|r| ends(r));
                    let named = entries.iter().filter(|e| !e.key.is_empty());
                    named
                        .filter_map(|e| after(e).map(|r| (e.place, &e.value, r)))
                        .min_by_key(|(_, _, r)| r.len())
                }
                Content::Sequence(items) => {
                    let parts = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
                    parts.and_then(|(which, after)| {
                        let item = match which.parse::<usize>() {
                            Ok(at) => items.get(at),
                            Err(_) => items.iter().find(|item| item.is_named(which)),
                        };
                        item.map(|item| (item.place, item, after))
                    })
                }
            };
            match next {
                Some((at, inner, after)) => (place, node, rest) = (at, inner, after),
                None => return place,
            }
        }
    }

    fn is_named(&self, name: &str) -> bool {
        let own = self.get("name").map(|n| &n.content);
        matches!(own, Some(Content::Scalar(Value::String(text))) if text == name)
    }
}

enum Frame {
    Mapping {
        place: Place,
        anchor: usize,
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
    },
    Sequence {
        place: Place,
        anchor: usize,
        items: Vec<Node>,
    },
}

#[derive(Default)]
struct Reader {
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    stream: Stream,
}

type Fault = (Place, String);

impl Reader {
    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = Content::Scalar(scalar(&text, style, tag.as_deref()));
                self.attach(Node::new(place, content), anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err((place, "an alias of what it stands in".to_owned()));
                };
                // Before the copy is made: ten aliases of ten aliases are many.
                self.nodes += node.size;
                if self.nodes > NODES_MAX {
                    return Err((place, format!("more than {NODES_MAX} values")));
                }
                let node = Node {
                    place,
                    ..node.clone()
                };
                self.attach(node, 0)
            }
            Event::MappingStart(anchor, _) => self.open(Frame::Mapping {
                place,
                anchor,
                entries: Vec::new(),
                key: None,
            }),
            Event::SequenceStart(anchor, _) => self.open(Frame::Sequence {
                place,
                anchor,
                items: Vec::new(),
            }),
            Event::MappingEnd | Event::SequenceEnd => match self.stack.pop() {
                Some(Frame::Mapping {
                    place,
                    anchor,
                    entries,
                    ..
                }) => self.attach(Node::new(place, Content::Mapping(merged(entries))), anchor),
                Some(Frame::Sequence {
                    place,
                    anchor,
                    items,
                }) => self.attach(Node::new(place, Content::Sequence(items)), anchor),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.stack.len() >= DEPTH_MAX {
            let (Frame::Mapping { place, .. } | Frame::Sequence { place, .. }) = frame;
            return Err((place, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Puts a finished node where it belongs: as a key, a value, an item or a document.
    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err((node.place, format!("more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.stream.documents.push(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping { entries, key, .. }) => match key.take() {
                Some((name, place)) => {
                    if name != "<<" && entries.iter().any(|e| e.key == name) {
                        let text = format!("key {name:?} already set in map: remove one of them");
                        self.stream.faults.push((place, text));
                    }
                    entries.push(Entry {
                        key: name,
                        place,
                        value: node,
                    });
                }
                None => *key = Some((key_text(&node)?, node.place)),
            },
        }
        Ok(())
    }
}

impl Node {
    fn new(place: Place, content: Content) -> Self {
        let inner: usize = match &content {
            Content::Scalar(_) => 0,
            Content::Mapping(entries) => entries.iter().map(|e| e.value.size).sum(),
            Content::Sequence(items) => items.iter().map(|i| i.size).sum(),
        };
        Self {
            place,
            content,
            size: inner + 1,
        }
    }
}

fn key_text(node: &Node) -> Result<String, Fault> {
    match &node.content {
        Content::Scalar(Value::String(text)) => Ok(text.clone()),
        Content::Scalar(other) => Ok(other.to_string()),
        _ => Err((node.place, "a key that is a mapping or a list".to_owned())),
    }
}

/// With what `<<` names in the place of that key; what stands there itself is kept.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == "<<");
    for merge in merges {
        let sources = match merge.value.content {
            Content::Sequence(items) => items,
            content => vec![Node::new(merge.place, content)],
        };
        for source in sources {
            if let Content::Mapping(entries) = source.content {
                for entry in entries {
                    if own.iter().all(|e| e.key != entry.key) {
                        own.push(entry);
                    }
                }
            }
        }
    }
    own
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => Some((16, digits.get(2..)?)),
        Some("0o" | "0O") => Some((8, digits.get(2..)?)),
        Some("0b" | "0B") => Some((2, digits.get(2..)?)),
        _ if digits.len() > 1 && digits.chars().all(|c| ('0'..='7').contains(&c)) => {
            digits.strip_prefix('0').map(|octal| (8, octal))
        }
        _ => None,
    };
    if let Some((radix, digits)) = radix {
        let whole = i64::from_str_radix(digits, radix).ok()?;
        return Some(Number::from(if negative { -whole } else { whole }));
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(Number::from(whole));
    }
    if let Ok(whole) = plain.parse::<u64>() {
        return Some(Number::from(whole));
    }
    let is_float = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !digits.chars().all(is_float) {
        return None;
    }
    Number::from_f64(plain.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Vec<Value> {
        let stream = read(text);
        assert!(stream.faults.is_empty(), "{text}: {:?}", stream.faults);
        stream.documents.iter().map(Node::value).collect()
    }

    #[test]
    fn scalars_are_what_they_are_to_kubectl() {
        for (written, read) in [
            ("Off", json!(false)),
            ("'Off'", json!("Off")),
            ("yes", json!(true)),
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("010", json!(8)),
            ("0x10", json!(16)),
            ("33.3", json!(33.3)),
            ("3e9", json!(3e9)),
            ("5m", json!("5m")),
            ("1.2.3", json!("1.2.3")),
            ("!!str 5", json!("5")),
            ("~", json!(null)),
            (".inf", json!(".inf")),
        ] {
            assert_eq!(
                values(&format!("a: {written}\n")),
                [json!({"a": read})],
                "{written}"
            );
        }
    }

    #[test]
    fn documents_aliases_and_merges_are_read() {
        let text = "a: &x {b: 1}\nc: *x\n---\n- d: {<<: {e: 2, f: 3}, e: 4}\n";
        assert_eq!(
            values(text),
            [
                json!({"a": {"b": 1}, "c": {"b": 1}}),
                json!([{"d": {"e": 4, "f": 3}}])
            ]
        );
        assert_eq!(values("{\"a\": [1, \"b\"]}"), [json!({"a": [1, "b"]})]);
    }

    #[test]
    fn a_path_leads_to_its_line() {
        let stream = read(
            "spec:\n  metrics:\n    - name: errors\n      ratio: {bad: x}\n  labels:\n    a.b/c: d\n",
        );
        let at = |path: &str| {
            let place = stream.documents[0].place_of(path);
            (place.line, place.column)
        };
        assert_eq!(at("spec"), (1, 1));
        assert_eq!(at("spec.metrics[0].ratio.bad"), (4, 15));
        assert_eq!(at("spec.metrics[errors].ratio"), (4, 7));
        assert_eq!(at("spec.labels.a.b/c"), (6, 5));
        assert_eq!(at("spec.metrics[0].nothing"), (3, 7));
        assert_eq!(at("status"), (1, 1));
    }

    #[test]
    fn what_is_before_a_fault_is_kept_and_a_bomb_is_refused() {
        let stream = read("a: 1\n---\nb: [1\nc: 2\n");
        assert_eq!(stream.documents.len(), 1);
        assert_eq!(stream.faults.len(), 1);
        assert!(stream.faults[0].0.line >= 3);

        let twice = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(twice.faults[0].0, Place { line: 3, column: 1 });
        assert!(twice.faults[0].1.contains("\"a\" already set"));

        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let list = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        assert!(read(&bomb).faults[0].1.contains("more than"));
        assert!(
            read(&"[".repeat(DEPTH_MAX + 1)).faults[0]
                .1
                .contains("deeper")
        );
    }
}
