//! What lint says, and where: one line for people and editors, or one entry of a JSON list.

use serde::Serialize;

use super::document::{Node, Place};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It would be refused, or held as Invalid.
    Error,
    /// It is likely not meant.
    Warning,
    /// It cannot be told from these files.
    Note,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        }
    }
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub level: Level,
    /// `Rollout shop/checkout`; empty: it is about the file.
    pub object: String,
    /// Empty: it is about the whole object.
    pub field: String,
    pub text: String,
}

/// What a remark is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub file: String,
    pub object: String,
    pub node: Node,
}

impl Subject {
    /// A remark about a field; empty: about the object.
    pub fn finding(&self, level: Level, field: &str, text: impl Into<String>) -> Finding {
        Finding {
            object: self.object.clone(),
            field: field.to_owned(),
            ..in_file(&self.file, self.node.place_of(field), level, text)
        }
    }
}

/// A remark about a place in a file.
pub(super) fn in_file(file: &str, place: Place, level: Level, text: impl Into<String>) -> Finding {
    Finding {
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        level,
        object: String::new(),
        field: String::new(),
        text: text.into(),
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = self.level.word();
        write!(f, "{}:{}:{}: {word}: ", self.file, self.line, self.column)?;
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.text)
    }
}
