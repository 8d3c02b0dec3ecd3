//! YAML text as a tree whose nodes know which bytes they stand on.
//!
//! The parser is a library's; here its events become nodes, and its spans (in characters, and past
//! the end of quoted scalars) become exact byte ranges. Nothing is resolved or normalised: who
//! wants to write bytes back has to know what stands there. JSON is YAML.

use std::collections::BTreeSet;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper nesting than this is no manifest: Kubernetes' own objects stay below 30.
const DEPTH_MAX: usize = 64;

/// More nodes than this are refused. A file of the largest size that is read, with one scalar on
/// every second byte, has twice as many.
const NODES_MAX: usize = 262_144;

/// Why a text is not taken as YAML that can be edited safely. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It does not parse.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// The same key twice in one mapping: which of them counts depends on the reader.
    #[error("line {line}: the key {key:?} stands twice in one mapping; remove one of them")]
    DuplicateKey {
        /// Where the second one stands.
        line: usize,
        /// The key.
        key: String,
    },
    /// A key that is itself a mapping or a list, as an unquoted `{{ … }}` of a template is.
    #[error("line {line}: a key that is not a scalar; a template with {{{{ … }}}} is not YAML")]
    ComplexKey {
        /// Where.
        line: usize,
    },
    /// Nested too deeply.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Too many nodes.
    #[error("more than {NODES_MAX} values")]
    TooMany,
}

/// A value with the bytes that it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub content: Content,
    /// From the first byte (tag and anchor included) to the last. Empty for an absent value.
    pub span: Range<usize>,
    /// The tag as written, e.g. `!!str`.
    pub tag: Option<String>,
    /// The parser's number of the anchor on this node.
    pub anchor: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Scalar { text: String, plain: bool },
    Alias(usize),
    Mapping { entries: Vec<Entry>, flow: bool },
    Sequence { items: Vec<Node>, flow: bool },
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    /// The first byte after the colon.
    pub after_colon: usize,
    pub value: Node,
}

/// The documents of one file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub documents: Vec<Node>,
    /// Anchors that some alias refers to.
    pub aliased: BTreeSet<usize>,
}

/// Parses `text`; a file without a document gives an empty tree.
pub(super) fn parse(text: &str) -> Result<Tree, TreeError> {
    let mut builder = Builder::new(text);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| TreeError::Syntax {
            line: e.marker().line(),
            column: e.marker().col() + 1,
            message: e.info().to_owned(),
        })?;
        builder.event(event, span)?;
    }
    Ok(Tree {
        documents: builder.documents,
        aliased: builder.aliased,
    })
}

enum Frame {
    Mapping {
        start: Start,
        flow: bool,
        entries: Vec<Entry>,
        keys: BTreeSet<String>,
        key: Option<(String, Range<usize>)>,
    },
    Sequence {
        start: Start,
        flow: bool,
        items: Vec<Node>,
    },
}

struct Start {
    at: usize,
    tag: Option<String>,
    anchor: Option<usize>,
}

struct Builder<'a> {
    text: &'a str,
    /// Byte offset of each character; empty where all are one byte long.
    offsets: Vec<usize>,
    stack: Vec<Frame>,
    documents: Vec<Node>,
    aliased: BTreeSet<usize>,
    nodes: usize,
    /// Where the last scalar, alias or flow bracket ended.
    last_end: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Builder<'a> {
        let offsets = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices()
                .map(|(i, _)| i)
                .chain([text.len()])
                .collect()
        };
        Builder {
            text,
            offsets,
            stack: Vec::new(),
            documents: Vec::new(),
            aliased: BTreeSet::new(),
            nodes: 0,
            last_end: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), TreeError> {
        let at = self.byte(span.start.index());
        let end = self.byte(span.end.index());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let range = self.scalar_range(style, at, end);
                self.last_end = range.end.max(self.last_end);
                self.attach(Node {
                    content: Content::Scalar {
                        text: text.into_owned(),
                        plain: style == ScalarStyle::Plain,
                    },
                    span: range,
                    tag: tag.map(|t| t.to_string()),
                    anchor: anchor_id(anchor),
                })
            }
            Event::Alias(anchor) => {
                self.aliased.insert(anchor);
                self.last_end = end;
                self.attach(Node {
                    content: Content::Alias(anchor),
                    span: at..end,
                    tag: None,
                    anchor: None,
                })
            }
            Event::MappingStart(anchor, tag) => {
                let start = Start {
                    at,
                    tag: tag.map(|t| t.to_string()),
                    anchor: anchor_id(anchor),
                };
                let flow = self.opens(at, b'{');
                self.open(Frame::Mapping {
                    start,
                    flow,
                    entries: Vec::new(),
                    keys: BTreeSet::new(),
                    key: None,
                })
            }
            Event::SequenceStart(anchor, tag) => {
                let start = Start {
                    at,
                    tag: tag.map(|t| t.to_string()),
                    anchor: anchor_id(anchor),
                };
                let flow = self.opens(at, b'[');
                self.open(Frame::Sequence {
                    start,
                    flow,
                    items: Vec::new(),
                })
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(end),
            _ => Ok(()),
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), TreeError> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), TreeError> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (content, start, flow) = match frame {
            Frame::Mapping {
                start,
                flow,
                entries,
                ..
            } => (Content::Mapping { entries, flow }, start, flow),
            Frame::Sequence { start, flow, items } => {
                (Content::Sequence { items, flow }, start, flow)
            }
        };
        if flow {
            self.last_end = end;
        }
        let span = start.at.min(self.last_end)..self.last_end;
        self.attach(Node {
            content,
            span,
            tag: start.tag,
            anchor: start.anchor,
        })
    }

    /// Puts a finished node where it belongs: as a key, a value, an item or a document.
    fn attach(&mut self, node: Node) -> Result<(), TreeError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(TreeError::TooMany);
        }
        let text = self.text;
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping {
                entries,
                keys,
                key: pending,
                ..
            }) => match pending.take() {
                None => {
                    let start = node.span.start;
                    let Content::Scalar { text: key, .. } = node.content else {
                        return Err(TreeError::ComplexKey {
                            line: line_of(text, start),
                        });
                    };
                    if !keys.insert(key.clone()) {
                        return Err(TreeError::DuplicateKey {
                            line: line_of(text, start),
                            key,
                        });
                    }
                    *pending = Some((key, node.span));
                }
                Some((key, key_span)) => {
                    let after_colon = after_colon(text, key_span.end);
                    let mut value = node;
                    if value.span.is_empty() {
                        // The parser puts an absent value before the colon.
                        value.span = after_colon..after_colon;
                        self.last_end = self.last_end.max(after_colon);
                    }
                    entries.push(Entry {
                        key,
                        key_span,
                        after_colon,
                        value,
                    });
                }
            },
        }
        Ok(())
    }

    fn byte(&self, character: usize) -> usize {
        let end = self.text.len();
        if self.offsets.is_empty() {
            character.min(end)
        } else {
            self.offsets.get(character).copied().unwrap_or(end)
        }
    }

    fn opens(&self, at: usize, bracket: u8) -> bool {
        let start = skip_properties(self.text.as_bytes(), at);
        self.text.as_bytes().get(start) == Some(&bracket)
    }

    /// The bytes of a scalar. The parser's end is right for plain ones only, and for block scalars
    /// its start is behind the header.
    fn scalar_range(&self, style: ScalarStyle, at: usize, end: usize) -> Range<usize> {
        let bytes = self.text.as_bytes();
        match style {
            ScalarStyle::Plain => at..end.max(at),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let quote = skip_properties(bytes, at);
                at..closing_quote(bytes, quote).unwrap_or(end)
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let header = block_header(bytes, self.last_end, at).unwrap_or(at);
                let first_line = bytes.get(header..).unwrap_or_default();
                let first_line = first_line.split(|b| *b == b'\n').next().unwrap_or_default();
                let keeps = first_line
                    .split(|b| *b == b' ' || *b == b'#')
                    .next()
                    .is_some_and(|indicator| indicator.contains(&b'+'));
                let mut last = end.max(header);
                if !keeps {
                    while last > header && bytes.get(last - 1).is_some_and(u8::is_ascii_whitespace)
                    {
                        last -= 1;
                    }
                }
                header..last
            }
        }
    }
}

fn anchor_id(anchor: usize) -> Option<usize> {
    (anchor > 0).then_some(anchor)
}

/// Line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(at)
        .filter(|b| **b == b'\n')
        .count()
}

/// The first byte after the colon that follows the key ending at `key_end`; a JSON key may have
/// white space before it.
fn after_colon(text: &str, key_end: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = key_end;
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    if bytes.get(at) == Some(&b':') {
        at + 1
    } else {
        key_end
    }
}

/// Behind the tag and the anchor that may stand before a value.
fn skip_properties(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(bytes.get(at), Some(b'&' | b'!')) {
        while bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace()) {
            at += 1;
        }
        at = skip_space_and_comments(bytes, at);
    }
    at
}

fn skip_space_and_comments(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match bytes.get(at) {
            Some(b) if b.is_ascii_whitespace() => at += 1,
            Some(b'#') => {
                while bytes.get(at).is_some_and(|b| *b != b'\n') {
                    at += 1;
                }
            }
            _ => return at,
        }
    }
}

/// Behind the quote that closes the scalar opened at `open`.
fn closing_quote(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = *bytes.get(open)?;
    let mut at = open + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            b if b == quote => {
                if quote == b'\'' && bytes.get(at + 1) == Some(&quote) {
                    at += 2;
                } else {
                    return Some(at + 1);
                }
            }
            _ => at += 1,
        }
    }
}

/// The `|` or `>` between the end of what came before and the content of a block scalar, or the
/// tag or anchor before it.
fn block_header(bytes: &[u8], from: usize, content: usize) -> Option<usize> {
    let mut at = from;
    let mut properties = None;
    loop {
        at = skip_space_and_comments(bytes, at);
        if at > content {
            return None;
        }
        match *bytes.get(at)? {
            b'|' | b'>' => return Some(properties.unwrap_or(at)),
            b'&' | b'!' => {
                properties.get_or_insert(at);
                at = skip_properties(bytes, at);
            }
            b'-' if bytes.get(at..at + 3) == Some(b"---") => at += 3,
            b'-' | b':' | b'?' => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
