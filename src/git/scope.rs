//! Which of the leaves that changed between two versions belong to a workload.
//!
//! A commit may change many services, and two of them may go from the same old to the same new
//! value. A leaf belongs when its old and new value are those of the pod template, whole or as
//! part of an image, and when what stands around it speaks for this workload more than for any
//! other. Of a leaf that nothing names after the workload or its image that is not said, even if it is
//! the only one: another team's version may have gone the same way. Only the file that the source
//! itself names needs no such word. Where that does not settle it, nothing is chosen. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::revert::TemplateChange;

use super::image::{Image, is_part_of_change};
use super::leaf::{DocumentId, File, Path, Segment, Value};

/// Keys whose leaves together make one image in a mapping that has a tag or a digest.
const IMAGE_KEYS: [&str; 8] = [
    "registry",
    "repository",
    "image",
    "name",
    "newName",
    "tag",
    "newTag",
    "digest",
];
/// Keys that make a mapping an image of several leaves.
const IMAGE_MARKS: [&str; 3] = ["tag", "newTag", "digest"];
/// Keys beside a tag that name the repository.
const REPOSITORY_KEYS: [&str; 3] = ["newName", "repository", "image"];

/// A value shorter than this says little about where it came from.
const TELLING_LENGTH: usize = 4;

/// What speaks for a leaf, as bits: the stronger evidence outweighs all weaker.
mod evidence {
    /// The leaf's path ends with the path of the change in the pod template.
    pub const PATH: u8 = 16;
    /// The last key is the same.
    pub const KEY: u8 = 8;
    /// A key on the way, an item or the document has the workload's or the image's name.
    pub const NAME: u8 = 4;
    /// The leaf beside it names the image's repository.
    pub const REPOSITORY: u8 = 2;
    /// The file or a folder on the way has the workload's or the image's name.
    pub const FILE: u8 = 1;
    /// Something has the workload's or the image's name.
    pub const NAMED: u8 = NAME | REPOSITORY | FILE;
}

/// A workload and how its pod template changed.
#[derive(Debug, Clone, Copy)]
pub struct Workload<'a> {
    /// The Rollout's name.
    pub name: &'a str,
    /// The path that the source names: a file of this path is the workload's own.
    pub source_path: &'a str,
    /// The scalars in which the two templates differ.
    pub changes: &'a [TemplateChange],
    /// Whether an override that came or went may explain a value that changed. It may where the
    /// stable version's commit is known; where it is searched for, the value itself has to be seen.
    pub overrides: bool,
}

/// The stable and the bad version of one file. A file that is not there is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub path: &'a str,
    pub good: &'a File,
    pub bad: &'a File,
}

/// A leaf that differs between the stable and the bad version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Changed<'a> {
    /// Index of the file.
    pub file: usize,
    pub path: &'a Path,
    pub old: Option<&'a Value>,
    pub new: Option<&'a Value>,
}

/// What belongs to the workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// Indices of the leaves.
    pub leaves: BTreeSet<usize>,
    /// Those among them that say which image runs.
    pub images: BTreeSet<usize>,
    /// Indices of the template's changes that no leaf accounts for.
    pub unmatched: BTreeSet<usize>,
}

/// It is not certain which leaf is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unclear {
    /// Path of the change in the pod template.
    pub change: String,
    /// Indices of the leaves that could be it.
    pub candidates: Vec<usize>,
    /// Whether something says that they are this workload's: then there are several of them.
    pub named: bool,
}

/// All leaves in which the versions of the files differ.
pub(super) fn changed<'a>(files: &[Pair<'a>]) -> Vec<Changed<'a>> {
    let mut out = Vec::new();
    for (file, pair) in files.iter().enumerate() {
        let (good, bad) = (pair.good.leaves(), pair.bad.leaves());
        let paths: BTreeSet<&'a Path> = good.keys().chain(bad.keys()).collect();
        for path in paths {
            let (old, new) = (
                good.get(path).map(|l| &l.value),
                bad.get(path).map(|l| &l.value),
            );
            if old != new {
                out.push(Changed {
                    file,
                    path,
                    old,
                    new,
                });
            }
        }
    }
    out
}

/// Chooses the leaves that belong to the workload.
pub(super) fn select(
    files: &[Pair<'_>],
    leaves: &[Changed<'_>],
    workload: &Workload<'_>,
) -> Result<Selection, Unclear> {
    let mut selection = Selection::default();
    let place = |i: &usize| leaves.get(*i).map(|l| (l.file, &l.path.document));
    // A leaf that changed its value explains the template better than one that came or went.
    let whole = |i: &usize| {
        leaves
            .get(*i)
            .is_some_and(|l| l.old.is_some() && l.new.is_some())
    };
    let weighed: Vec<(Template<'_>, BTreeMap<usize, Weight>)> = workload
        .changes
        .iter()
        .map(|change| {
            let template = Template::new(change, workload);
            let weigh = |(i, leaf): (usize, &Changed<'_>)| {
                Some((i, template.weigh(leaf, files.get(leaf.file)?)?))
            };
            let candidates = leaves.iter().enumerate().filter_map(weigh).collect();
            (template, candidates)
        })
        .collect();
    // Where something is named after the workload, the rest of its change may stand unnamed.
    let homes: BTreeSet<_> = weighed
        .iter()
        .flat_map(|(_, candidates)| candidates)
        .filter(|(_, weight)| weight.named)
        .filter_map(|(i, _)| place(i))
        .collect();
    let mut strangers = None;
    for (index, (template, all)) in weighed.iter().enumerate() {
        let at_home = |i: &usize| place(i).is_some_and(|place| homes.contains(&place));
        let named = all.keys().any(at_home);
        let mut candidates: BTreeMap<usize, u8> = all
            .iter()
            .filter(|&(i, _)| !named || at_home(i))
            .map(|(i, weight)| (*i, weight.rank))
            .collect();
        let any_whole = candidates.keys().any(whole);
        candidates.retain(|i, _| !any_whole || whole(i));
        let Some(best) = candidates.values().max().copied() else {
            selection.unmatched.insert(index);
            continue;
        };
        let chosen: Vec<usize> = candidates
            .iter()
            .filter(|(_, rank)| **rank == best)
            .map(|(i, _)| *i)
            .collect();
        let change = template.change;
        let unclear = |candidates| Unclear {
            change: change.path.clone(),
            candidates,
            named,
        };
        if !named {
            // Of the image it would be half a revert; of anything else it is computed elsewhere.
            if template.images.is_some() {
                return Err(unclear(chosen));
            }
            strangers.get_or_insert(unclear(chosen));
            selection.unmatched.insert(index);
            continue;
        }
        let places: BTreeSet<_> = chosen.iter().filter_map(place).collect();
        let same_change = workload
            .changes
            .iter()
            .filter(|c| (&c.old, &c.new) == (&change.old, &change.new))
            .count();
        let unsupported = best <= evidence::FILE && chosen.len() > same_change;
        if places.len() > 1 || unsupported {
            return Err(unclear(chosen));
        }
        // The same change elsewhere in the same object, e.g. in its own labels, goes along.
        let object = places
            .first()
            .filter(|(_, id)| matches!(id, DocumentId::Object { .. }))
            .copied();
        let along = candidates
            .keys()
            .filter(|i| object.is_some() && place(i) == object)
            .copied();
        selection.leaves.extend(chosen.iter().copied().chain(along));
        if template.images.is_some() {
            selection.images.extend(chosen);
        }
    }
    match strangers {
        Some(unclear) if selection.leaves.is_empty() => Err(unclear),
        _ => {
            add_companions(files, leaves, &mut selection);
            Ok(selection)
        }
    }
}

/// The other parts of an image that was chosen by one of them.
fn add_companions(files: &[Pair<'_>], leaves: &[Changed<'_>], selection: &mut Selection) {
    let chosen: Vec<&Changed<'_>> = selection
        .leaves
        .iter()
        .filter_map(|i| leaves.get(*i))
        .collect();
    for (index, leaf) in leaves.iter().enumerate() {
        let Some(pair) = files.get(leaf.file) else {
            continue;
        };
        let versions = [pair.good, pair.bad];
        let companion =
            |c: &&Changed<'_>| c.file == leaf.file && same_image(versions, c.path, leaf.path);
        if chosen.iter().any(companion) {
            selection.leaves.insert(index);
            selection.images.insert(index);
        }
    }
}

/// Whether a leaf can be a part of an image, by its key.
pub(super) fn is_image_part(path: &Path) -> bool {
    path.key().is_some_and(|key| IMAGE_KEYS.contains(&key))
}

/// Whether two leaves are parts of one image: name, tag and digest in one mapping.
pub(super) fn same_image<const N: usize>(files: [&File; N], one: &Path, other: &Path) -> bool {
    if !is_image_part(one) || !is_image_part(other) {
        return false;
    }
    let Some(parent) = one.parent() else {
        return false;
    };
    other.parent().as_ref() == Some(&parent)
        && IMAGE_MARKS.iter().any(|mark| {
            let mut path = parent.clone();
            path.segments.push(Segment::Key((*mark).to_owned()));
            files.iter().any(|file| file.leaves().contains_key(&path))
        })
}

/// How well a leaf explains a change.
#[derive(Debug, Clone, Copy)]
struct Weight {
    /// The evidence, as bits.
    rank: u8,
    /// Whether anything says that it is this workload's.
    named: bool,
}

/// One change of the pod template, ready to be compared with leaves.
struct Template<'a> {
    change: &'a TemplateChange,
    tokens: Vec<String>,
    images: Option<(Image<'a>, Image<'a>)>,
    names: Vec<&'a str>,
    source_path: &'a str,
    overrides: bool,
}

impl<'a> Template<'a> {
    fn new(change: &'a TemplateChange, workload: &Workload<'a>) -> Template<'a> {
        let tokens = tokens(&change.path);
        let is_image = tokens
            .last()
            .is_some_and(|t| t == "image" || t == "reference");
        let images = match (&change.old, &change.new) {
            (Some(old), Some(new)) if is_image => Image::parse(old).zip(Image::parse(new)),
            _ => None,
        };
        let mut names = vec![workload.name];
        names.extend(
            images
                .iter()
                .flat_map(|(old, new)| [old.base_name(), new.base_name()]),
        );
        Template {
            change,
            tokens,
            images,
            names,
            source_path: workload.source_path,
            overrides: workload.overrides,
        }
    }

    /// How much speaks for the leaf; `None` if it cannot be the change.
    fn weigh(&self, leaf: &Changed<'_>, pair: &Pair<'_>) -> Option<Weight> {
        let (old, new) = (leaf.old.map(Value::text), leaf.new.map(Value::text));
        let exact = (old, new) == (self.change.old.as_deref(), self.change.new.as_deref());
        let part = self
            .images
            .is_some_and(|(a, b)| is_part_of_change(a, b, old, new));
        // An override that came or went may explain a value that changed.
        let half = match (old, new) {
            (None, Some(new)) => self.change.new.as_deref() == Some(new),
            (Some(old), None) => self.change.old.as_deref() == Some(old),
            _ => false,
        };
        if !exact && !part && !half {
            return None;
        }
        let found = self.evidence(leaf, pair)?;
        let by_path = found >= evidence::KEY;
        let one_sided = old.is_none() || new.is_none();
        if one_sided && !exact && !self.overrides {
            return None;
        }
        let telling = |v: Option<&Value>| match v {
            Some(Value::Text(text)) => text.len() >= TELLING_LENGTH,
            Some(Value::Tagged { .. }) | None => true,
            _ => false,
        };
        let enough = if part {
            !one_sided || found >= evidence::REPOSITORY
        } else {
            by_path || (!one_sided && telling(leaf.old) && telling(leaf.new))
        };
        let says = |image: Image<'_>, leaf: Option<&str>| leaf.is_some_and(|l| image.is_said_by(l));
        let by_itself = self
            .images
            .is_some_and(|(a, b)| says(a, old) || says(b, new));
        let named = by_itself || found & evidence::NAMED != 0 || pair.path == self.source_path;
        enough.then_some(Weight { rank: found, named })
    }

    /// The evidence as bits; `None` where what stands beside the leaf speaks against it.
    fn evidence(&self, leaf: &Changed<'_>, pair: &Pair<'_>) -> Option<u8> {
        let mut found = 0;
        let steps: Vec<String> = leaf.path.segments.iter().map(Segment::token).collect();
        if !self.tokens.is_empty() && steps.ends_with(&self.tokens) {
            found |= evidence::PATH;
        }
        if telling_key(&steps)
            .is_some_and(|k| telling_key(&self.tokens).is_some_and(|t| alike(k, t)))
        {
            found |= evidence::KEY;
        }
        let named = |text: &str| self.names.iter().any(|name| alike(name, text));
        let document = match &leaf.path.document {
            DocumentId::Object { name, .. } => named(name),
            DocumentId::Position { .. } => false,
        };
        if document || steps.iter().any(|s| named(s)) {
            found |= evidence::NAME;
        }
        if file_words(pair.path).any(named) {
            found |= evidence::FILE;
        }
        if let Some((old, new)) = self.images
            && leaf
                .path
                .key()
                .is_some_and(|key| IMAGE_MARKS.contains(&key))
        {
            match repository_beside(leaf.path, pair) {
                Some(beside) if old.is_named(beside) || new.is_named(beside) => {
                    found |= evidence::REPOSITORY;
                }
                Some(_) => return None,
                None => {}
            }
        }
        Some(found)
    }
}

/// The repository that the mapping around a tag or digest names.
fn repository_beside<'a>(path: &Path, pair: &Pair<'a>) -> Option<&'a str> {
    let parent = path.parent()?;
    let beside = |key: &str| {
        let mut sibling = parent.clone();
        sibling.segments.push(Segment::Key(key.to_owned()));
        let leaf = pair
            .bad
            .leaves()
            .get(&sibling)
            .or_else(|| pair.good.leaves().get(&sibling))?;
        match &leaf.value {
            Value::Text(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        }
    };
    // In a kustomization the item's own name is the repository; elsewhere a name may be anything.
    let kustomization = path.key().is_some_and(|key| key == "newTag")
        || matches!(parent.segments.as_slice(), [Segment::Key(list), _] if list == "images");
    REPOSITORY_KEYS
        .iter()
        .find_map(|key| beside(key))
        .or_else(|| kustomization.then(|| beside("name")).flatten())
}

/// The last step of a path that says what it is about: `value` of an environment variable is
/// called by the variable's name.
fn telling_key(steps: &[String]) -> Option<&str> {
    steps
        .iter()
        .rev()
        .map(String::as_str)
        .find(|s| *s != "value")
}

/// Whether two names are the same but for case, dashes, underscores and dots.
fn alike(one: &str, other: &str) -> bool {
    let bare = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let one = bare(one);
    !one.is_empty() && one == bare(other)
}

/// The folders of a path, its file name without extension, and that name's head and tail.
fn file_words(path: &str) -> impl Iterator<Item = &str> {
    let stem = path
        .rsplit('/')
        .next()
        .and_then(|name| name.split('.').next())
        .unwrap_or("");
    let head = stem.rsplit_once('-').map(|(head, _)| head);
    let tail = stem.split_once('-').map(|(_, tail)| tail);
    path.split('/').chain([stem]).chain(head).chain(tail)
}

/// The steps of a path of the pod template: `spec.containers[app].image`; a name in double quotes
/// may hold anything.
fn tokens(path: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut current = String::new();
    let mut quoted = false;
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => current.extend(chars.next()),
            '"' => quoted = !quoted,
            '.' | '[' | ']' if !quoted => {
                if !current.is_empty() {
                    out.push(std::mem::take(&mut current));
                }
            }
            c => current.push(c),
        }
    }
    if !current.is_empty() {
        out.push(current);
    }
    out
}

#[cfg(test)]
mod tests;
