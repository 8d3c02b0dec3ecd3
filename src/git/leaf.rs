//! A YAML file as leaves: path, value, and the bytes that the value stands on.
//!
//! Paths survive what people do to files: documents are known by kind and name, list items by the
//! key that names them, so that a document or an item added elsewhere moves nothing. Pure; refuses
//! what cannot be edited safely instead of guessing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use super::yaml_tree::{self, Content, Node, Tree, TreeError};

/// The largest file that is read, in bytes. Manifests and values are far smaller; what is larger
/// was made by a machine and should be reverted where it is made.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Keys that name an item of a list, the best first. They are Kubernetes' own merge keys and what
/// Kustomize and Helm use.
const ITEM_KEYS: [&str; 6] = ["name", "id", "key", "mountPath", "containerPort", "kind"];

/// Why a file cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("{bytes} bytes, more than the {FILE_BYTES_MAX} that are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not text.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A pointer to a file in large file storage.
    #[error("a pointer to large file storage, not the file itself")]
    LargeFileStorage,
    /// Encrypted by SOPS: its checksum would no longer match.
    #[error("encrypted by SOPS; an edit would break its checksum")]
    Encrypted,
    /// Not YAML, or YAML that readers disagree on.
    #[error(transparent)]
    Yaml(#[from] TreeError),
    /// Two documents with the same kind and name.
    #[error("{0} stands twice in the file")]
    DuplicateDocument(Box<DocumentId>),
}

/// How a document is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentId {
    /// A Kubernetes object.
    Object {
        /// `apiVersion`, may be empty.
        api_version: String,
        /// `kind`.
        kind: String,
        /// `metadata.namespace`, may be empty.
        namespace: String,
        /// `metadata.name`.
        name: String,
    },
    /// Anything else, by its place among such documents: the `at`-th (from 0) of `of`.
    Position {
        /// Its place.
        at: usize,
        /// How many there are.
        of: usize,
    },
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentId::Object { kind, name, .. } => write!(f, "{kind}/{name}"),
            DocumentId::Position { at, .. } => write!(f, "document {}", at + 1),
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A key of a mapping.
    Key(String),
    /// The item of a list whose `field` is `value`.
    Item {
        /// The field that names the items.
        field: &'static str,
        /// This one's name.
        value: String,
    },
    /// The `at`-th (from 0) of `of` items that have no name. The length is part of the path: when
    /// it changes, it is not known which item is which.
    Index {
        /// Its place.
        at: usize,
        /// The list's length.
        of: usize,
    },
}

impl Segment {
    /// The key, the item's name or its place, as text.
    pub fn token(&self) -> String {
        match self {
            Segment::Key(key) => key.clone(),
            Segment::Item { value, .. } => value.clone(),
            Segment::Index { at, .. } => at.to_string(),
        }
    }
}

/// Where a leaf stands in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The document.
    pub document: DocumentId,
    /// The way from the document's root.
    pub segments: Vec<Segment>,
}

impl Path {
    /// The path without its last step; `None` at the root.
    pub fn parent(&self) -> Option<Path> {
        let (_, segments) = self.segments.split_last()?;
        Some(Path {
            document: self.document.clone(),
            segments: segments.to_vec(),
        })
    }

    /// The last key, where the path ends with one.
    pub fn key(&self) -> Option<&str> {
        match self.segments.last() {
            Some(Segment::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// Whether `self` is `other` or stands below it.
    pub fn starts_with(&self, other: &Path) -> bool {
        self.document == other.document && self.segments.starts_with(&other.segments)
    }
}

impl fmt::Display for Path {
    /// `Deployment/checkout spec.template.spec.containers[name=app].image`, or only the keys in a
    /// file that has one nameless document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document != (DocumentId::Position { at: 0, of: 1 }) {
            write!(f, "{} ", self.document)?;
        }
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => write!(f, "{}", quoted(key))?,
                Segment::Key(key) => write!(f, ".{}", quoted(key))?,
                Segment::Item { field, value } => write!(f, "[{field}={}]", quoted(value))?,
                Segment::Index { at, .. } => write!(f, "[{at}]")?,
            }
        }
        Ok(())
    }
}

fn quoted(key: &str) -> String {
    let plain = |c: char| !c.is_control() && !['.', '[', ']', '"', ' '].contains(&c);
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

/// What a leaf holds. Two leaves are equal when a reader of YAML gets the same from both, however
/// they are quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number or boolean, as written.
    Other(String),
    /// Nothing, `~` or `null`.
    Null,
    /// A reference `*x` to an anchor.
    Alias(String),
    /// `{}`.
    EmptyMapping,
    /// `[]`.
    EmptySequence,
    /// A scalar with a tag of its own.
    Tagged {
        /// The tag.
        tag: String,
        /// The text after it.
        text: String,
    },
}

impl Value {
    /// The value as text, as a person would write it.
    pub fn text(&self) -> &str {
        match self {
            Value::Text(t) | Value::Other(t) | Value::Alias(t) => t,
            Value::Tagged { text, .. } => text,
            Value::Null => "null",
            Value::EmptyMapping => "{}",
            Value::EmptySequence => "[]",
        }
    }
}

/// A scalar, an alias, or an empty mapping or list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What it holds.
    pub value: Value,
    /// The bytes it stands on, with its quotes, tag and anchor.
    pub span: Range<usize>,
    /// The first byte after the colon before it, where a colon is.
    pub after_colon: Option<usize>,
    /// True when an alias elsewhere repeats it: an edit would change both places.
    pub shared: bool,
}

/// A file's text, tree and leaves.
#[derive(Debug, Clone)]
pub struct File {
    pub(super) text: String,
    pub(super) tree: Tree,
    pub(super) ids: Vec<Option<DocumentId>>,
    leaves: BTreeMap<Path, Leaf>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LeafError`] when it is not YAML that can be edited safely.
    pub fn parse(bytes: &[u8]) -> Result<File, LeafError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(LeafError::TooLarge { bytes: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LeafError::NotUtf8)?;
        if text.contains('\0') {
            return Err(LeafError::NotUtf8);
        }
        if text.starts_with("version https://git-lfs.github.com/spec/") {
            return Err(LeafError::LargeFileStorage);
        }
        let tree = yaml_tree::parse(text)?;
        let ids = document_ids(&tree)?;
        let mut file = File {
            text: text.to_owned(),
            tree,
            ids,
            leaves: BTreeMap::new(),
        };
        let mut leaves = BTreeMap::new();
        for (node, id) in file.tree.documents.iter().zip(&file.ids) {
            if let Some(id) = id {
                let mut path = Path {
                    document: id.clone(),
                    segments: Vec::new(),
                };
                file.collect(node, None, false, &mut path, &mut leaves);
            }
        }
        file.leaves = leaves;
        Ok(file)
    }

    /// The leaves by path.
    pub fn leaves(&self) -> &BTreeMap<Path, Leaf> {
        &self.leaves
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of a leaf as they stand in the file.
    pub fn raw(&self, leaf: &Leaf) -> &str {
        self.text.get(leaf.span.clone()).unwrap_or_default()
    }

    fn collect(
        &self,
        node: &Node,
        after_colon: Option<usize>,
        shared: bool,
        path: &mut Path,
        out: &mut BTreeMap<Path, Leaf>,
    ) {
        let shared = shared || node.anchor.is_some_and(|a| self.tree.aliased.contains(&a));
        match &node.content {
            Content::Mapping { entries, .. } if !entries.is_empty() => {
                for entry in entries {
                    path.segments.push(Segment::Key(entry.key.clone()));
                    self.collect(&entry.value, Some(entry.after_colon), shared, path, out);
                    path.segments.pop();
                }
            }
            Content::Sequence { items, .. } if !items.is_empty() => {
                for (item, segment) in items.iter().zip(item_segments(items)) {
                    path.segments.push(segment);
                    self.collect(item, None, shared, path, out);
                    path.segments.pop();
                }
            }
            _ => {
                let value = self.value(node);
                let leaf = Leaf {
                    value,
                    span: node.span.clone(),
                    after_colon,
                    shared,
                };
                out.insert(path.clone(), leaf);
            }
        }
    }

    fn value(&self, node: &Node) -> Value {
        let (text, plain) = match &node.content {
            Content::Scalar { text, plain } => (text, *plain),
            Content::Alias(_) => {
                return Value::Alias(
                    self.text
                        .get(node.span.clone())
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
            Content::Mapping { .. } => return Value::EmptyMapping,
            Content::Sequence { .. } => return Value::EmptySequence,
        };
        if let Some(tag) = &node.tag {
            return Value::Tagged {
                tag: tag.clone(),
                text: text.clone(),
            };
        }
        match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
            other if plain && !is_text(other) => Value::Other(text.clone()),
            _ => Value::Text(text.clone()),
        }
    }
}

/// How each item of a list is known: by the first key that names them all, else by place.
pub(super) fn item_segments(items: &[Node]) -> Vec<Segment> {
    for field in ITEM_KEYS {
        let names: Vec<Option<&str>> = items.iter().map(|item| scalar_at(item, field)).collect();
        let distinct: BTreeSet<&str> = names.iter().flatten().copied().collect();
        if distinct.len() == items.len() {
            return names
                .into_iter()
                .flatten()
                .map(|value| Segment::Item {
                    field,
                    value: value.to_owned(),
                })
                .collect();
        }
    }
    (0..items.len())
        .map(|at| Segment::Index {
            at,
            of: items.len(),
        })
        .collect()
}

/// The text of the scalar under `key`.
pub(super) fn scalar_at<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &child(node, key)?.content {
        Content::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// The value under `key`.
pub(super) fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.content {
        Content::Mapping { entries, .. } => entries.iter().find(|e| e.key == key).map(|e| &e.value),
        _ => None,
    }
}

/// The identity of each document; `None` for one without content.
fn document_ids(tree: &Tree) -> Result<Vec<Option<DocumentId>>, LeafError> {
    let mut ids: Vec<Option<DocumentId>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut nameless = 0;
    for document in &tree.documents {
        if child(document, "sops").is_some_and(|sops| child(sops, "mac").is_some()) {
            return Err(LeafError::Encrypted);
        }
        let metadata = child(document, "metadata");
        let name = metadata.and_then(|m| scalar_at(m, "name"));
        let id = match (scalar_at(document, "kind"), name) {
            _ if is_absent(document) => None,
            (Some(kind), Some(name)) => Some(DocumentId::Object {
                api_version: scalar_at(document, "apiVersion")
                    .unwrap_or_default()
                    .to_owned(),
                kind: kind.to_owned(),
                namespace: metadata
                    .and_then(|m| scalar_at(m, "namespace"))
                    .unwrap_or_default()
                    .to_owned(),
                name: name.to_owned(),
            }),
            _ => {
                nameless += 1;
                Some(DocumentId::Position {
                    at: nameless - 1,
                    of: 0,
                })
            }
        };
        if let Some(id) = &id
            && !seen.insert(id.clone())
        {
            return Err(LeafError::DuplicateDocument(Box::new(id.clone())));
        }
        ids.push(id);
    }
    for id in ids.iter_mut().flatten() {
        if let DocumentId::Position { of, .. } = id {
            *of = nameless;
        }
    }
    Ok(ids)
}

fn is_absent(node: &Node) -> bool {
    matches!(&node.content, Content::Scalar { text, plain: true } if text.is_empty())
}

/// Whether a plain scalar is text. What either YAML 1.1 (which Kubernetes' tools read) or 1.2
/// takes for a boolean or a number is not; quoted it would be another value.
fn is_text(plain: &str) -> bool {
    const WORDS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    if WORDS.iter().any(|w| plain.eq_ignore_ascii_case(w)) {
        return false;
    }
    let body = plain.trim_start_matches(['+', '-']);
    if [".inf", ".nan"]
        .iter()
        .any(|w| body.eq_ignore_ascii_case(w))
    {
        return false;
    }
    let digits = body.replace('_', "");
    let radix = |prefix: &str, base| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(base)))
    };
    let number =
        body.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.parse::<f64>().is_ok();
    !(number || radix("0x", 16) || radix("0o", 8) || radix("0b", 2))
}

#[cfg(test)]
mod tests;
