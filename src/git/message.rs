//! The commit message: what was taken back, why, on what evidence, and who may look it up. Pure;
//! the same Revert and plan give the same text, so that a repeated run makes the same commit.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::api::revert::{RevertSpec, RevertVersion};

use super::answers::Oid;
use super::image::Image;
use super::redact::cut;
use super::repo::Identity;
use super::revert::LeafChange;
use super::source::{Branch, Remote};

/// The trailer by which a revert is found again, by us and by a writer in another cluster.
pub const ID_TRAILER: &str = "Rollout-Revert-Id";

/// Longest subject: what forges show in one line.
const SUBJECT_BYTES_MAX: usize = 100;

/// Most leaves that are listed; all of them are in the diff.
const LEAVES_LISTED_MAX: usize = 20;

/// What a commit message is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub namespace: &'a str,
    pub spec: &'a RevertSpec,
    pub leaves: &'a [LeafChange],
    pub id: &'a str,
    /// The commit that brought the bad version, where it is known.
    pub reverts: Option<&'a Oid>,
    pub identity: &'a Identity,
}

/// The revert's identity: repository, branch, leaves with both values, attempt. Not the cluster:
/// of two that follow one path, the second finds the first one's commit.
pub(super) fn revert_id(
    remote: &Remote,
    branch: &Branch,
    leaves: &[LeafChange],
    attempt: i32,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    };
    add(remote.key());
    add(branch.name());
    add(&attempt.to_string());
    let mut sorted: Vec<&LeafChange> = leaves.iter().collect();
    sorted.sort_by_key(|l| (&l.file, &l.path));
    for leaf in sorted {
        for text in [
            Some(&leaf.file),
            Some(&leaf.path),
            leaf.old.as_ref(),
            leaf.new.as_ref(),
        ] {
            add(if text.is_some() { "is" } else { "absent" });
            add(text.map_or("", String::as_str));
        }
    }
    let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{digest}")
}

/// The line that carries the identity.
pub(super) fn id_line(id: &str) -> String {
    format!("{ID_TRAILER}: {id}")
}

/// The whole message.
pub(super) fn compose(context: &Context<'_>) -> String {
    let spec = context.spec;
    let cluster = spec.cluster.as_deref();
    let (new, old) = versions(spec);
    let mut subject = format!(
        "revert({}): {} {new} -> {old} (rollout aborted: {})",
        one_line(cluster.unwrap_or(context.namespace)),
        one_line(&spec.rollout.name),
        one_line(spec.message.as_deref().unwrap_or(spec.reason.as_str())),
    );
    cut(&mut subject, SUBJECT_BYTES_MAX);

    let mut text = format!(
        "{subject}\n\nRollout {}/{}",
        context.namespace, spec.rollout.name
    );
    if let Some(cluster) = cluster {
        let _ = write!(text, " in cluster {cluster}");
    }
    text.push_str(" was aborted");
    if let (Some(step), Some(steps)) = (spec.step, spec.steps) {
        let _ = write!(text, " at step {}/{steps}", (step + 1).min(steps));
    }
    if let Some(weight) = spec.weight {
        let _ = write!(text, " with {weight} % of the traffic");
    }
    let second =
        jiff::Timestamp::from_second(spec.aborted_at.as_second()).unwrap_or(spec.aborted_at);
    let _ = writeln!(text, " at {second}: {}.", spec.reason.as_str());
    if let Some(run) = &spec.analysis_run {
        let _ = writeln!(text, "Analysis run: {}", one_line(run));
    }
    if let Some(message) = &spec.message {
        let _ = writeln!(text, "Evidence: {}", one_line(message));
    }
    text.push_str("\nChanged back:\n");
    for leaf in context.leaves.iter().take(LEAVES_LISTED_MAX) {
        let _ = writeln!(
            text,
            "- {}: {} {} -> {}",
            one_line(&leaf.file),
            one_line(&leaf.path),
            shown(leaf.new.as_deref()),
            shown(leaf.old.as_deref())
        );
    }
    if context.leaves.len() > LEAVES_LISTED_MAX {
        let _ = writeln!(
            text,
            "- and {} more",
            context.leaves.len() - LEAVES_LISTED_MAX
        );
    }
    text.push('\n');
    text.push_str(&trailers(context));
    text
}

fn trailers(context: &Context<'_>) -> String {
    let spec = context.spec;
    let mut text = id_line(context.id) + "\n";
    if let Some(commit) = context.reverts {
        let _ = writeln!(text, "Reverts-Commit: {commit}");
    }
    let place = spec
        .cluster
        .as_deref()
        .map(|c| format!("{c}/"))
        .unwrap_or_default();
    let name = one_line(&spec.rollout.name);
    let _ = writeln!(text, "Rollout: {place}{}/{name}", context.namespace);
    for image in spec
        .bad
        .images
        .iter()
        .filter(|image| !spec.stable.images.contains(image))
    {
        let _ = writeln!(text, "Rejected-Image: {}", one_line(image));
    }
    let who = context.identity;
    let _ = writeln!(
        text,
        "Signed-off-by: {} <{}>",
        one_line(&who.name),
        one_line(&who.email)
    );
    text
}

/// What the bad and the stable version are called: by the first image that differs, else by
/// revision.
fn versions(spec: &RevertSpec) -> (String, String) {
    let label = |image: &str| {
        let image = Image::parse(image)?;
        let digest = || {
            image
                .digest
                .map(|d| d.chars().take("sha256:".len() + 8).collect())
        };
        image.tag.map(str::to_owned).or_else(digest)
    };
    let pairs = spec.bad.images.iter().zip(&spec.stable.images);
    let differing = pairs
        .filter(|(bad, stable)| bad != stable)
        .find_map(|(bad, stable)| Some((label(bad)?, label(stable)?)))
        .filter(|(bad, stable)| bad != stable);
    let revision = |version: &RevertVersion| format!("revision {}", version.revision);
    differing.unwrap_or_else(|| (revision(&spec.bad), revision(&spec.stable)))
}

fn shown(value: Option<&str>) -> String {
    let mut text = value.map_or_else(|| "(absent)".to_owned(), |v| format!("{v:?}"));
    cut(&mut text, 120);
    text
}

/// Without line breaks and control characters: nobody writes trailers of his own into a message.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests;
