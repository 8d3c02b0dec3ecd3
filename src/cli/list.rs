//! `list`: a line for each Rollout of a namespace or of the cluster. They are read in pages, and each by
//! itself: one that this plugin cannot read hides no other.

pub mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, Resource};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::args::{List, Output, PhaseWord};
use super::client::{Asked, ROLLOUTS, Session, full_name};
use super::error::{CliError, Exit};
use super::objects::{Counts, REPLICA_SETS, controller_uid, hash_of};
use super::style::Tone;
use super::terminal::Terminal;
use super::tree::View;
use super::words;
use crate::api::revert::ROLLOUT_LABEL;
use crate::api::rollout::{BASELINE_LABEL, HASH_LABEL, Rollout};
use rows::{Item, Pods};

/// Objects in one answer of the API server: a few megabytes, of which only what a row shows is kept.
const PAGE: u32 = 250;
/// So often a list is begun at most, whose next page the API server has forgotten: it keeps them for
/// minutes.
const TRIES: u32 = 3;
/// Hashes in one selector, so that no URL is longer than 2 KiB.
const HASHES_MAX: usize = 100;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &List,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let place = match args.all_namespaces {
        true => "",
        false => session.namespace.as_str(),
    };
    let mut which = ListParams::default();
    if let Some(selector) = &args.selector {
        which = which.labels(selector);
    }
    let asked = asked(ROLLOUTS, place);
    let mut items = Box::pin(pages::<Rollout, Item>(session, &asked, which, Item::of)).await?;
    items.sort_by_cached_key(Item::place);
    let unreadable = items.iter().filter(|i| i.rollout().is_none()).count();
    items.retain(|item| args.phase.is_empty() || args.phase.contains(&item.phase()));
    let hidden = unreadable - items.iter().filter(|i| i.rollout().is_none()).count();

    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            let all: Vec<_> = items.iter().map(Item::document).collect();
            terminal.document(format, &json!({ "rollouts": all }))?;
        }
        Some(Output::Name) => {
            for item in &items {
                terminal.say(Tone::Plain, full_name(item.name()))?;
            }
        }
        None | Some(Output::Wide) => {
            let wide = output == Some(Output::Wide);
            let mut pods = None;
            if wide {
                match Box::pin(read_pods(session, place, &items)).await {
                    Ok(read) => pods = Some(read),
                    Err(e) => terminal.note(format!("ReplicaSets are not shown: {e}")),
                }
            }
            let view = View {
                now: Timestamp::now(),
                width: terminal.screen().width,
                wide,
            };
            if items.is_empty() {
                terminal.note(nothing(session, args, place));
            }
            for line in rows::lines(&items, pods.as_ref(), &view, args.all_namespaces) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
    }
    if let Some(note) = not_read(unreadable, hidden) {
        terminal.note(note);
    }
    Ok(Exit::Done)
}

fn asked(resource: &'static str, namespace: &str) -> Asked {
    Asked {
        verb: "list",
        resource,
        namespace: namespace.to_owned(),
    }
}

/// All objects of a kind, page by page; of each of them what `keep` makes of it.
async fn pages<K, T>(
    session: &Session,
    asked: &Asked,
    which: ListParams,
    keep: fn(DynamicObject) -> T,
) -> Result<Vec<T>, CliError>
where
    K: Resource<DynamicType = ()>,
{
    let kind = ApiResource::erase::<K>(&());
    let client = session.client.clone();
    let api: Api<DynamicObject> = match asked.namespace.as_str() {
        "" => Api::all_with(client, &kind),
        namespace => Api::namespaced_with(client, namespace, &kind),
    };
    let mut page = which.limit(PAGE);
    let mut tries = 1;
    let mut kept = Vec::new();
    loop {
        let request = async {
            match api.list(&page).await {
                // All pages are of one moment, and the API server has forgotten it.
                Err(kube::Error::Api(status)) if status.code == 410 && tries < TRIES => Ok(None),
                answer => answer.map(Some),
            }
        };
        let answer = session.ask(asked, Box::pin(request)).await?;
        let Some(list) = answer else {
            tries += 1;
            kept.clear();
            page.continue_token = None;
            continue;
        };
        kept.extend(list.items.into_iter().map(keep));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(kept),
        }
    }
}

/// The pods of the versions in play. Of a Rollout that is settled its status says it.
async fn read_pods(session: &Session, place: &str, items: &[Item]) -> Result<Pods, CliError> {
    // A hash is asked for as part of a selector: nothing else may get into it.
    let is_plain =
        |hash: &&str| !hash.is_empty() && hash.chars().all(|c| c.is_ascii_alphanumeric());
    let hashes: BTreeSet<&str> = items
        .iter()
        .flat_map(Item::hashes)
        .filter(is_plain)
        .collect();
    let hashes: Vec<&str> = hashes.into_iter().collect();
    let asked = asked(REPLICA_SETS, place);
    let mut pods = Pods::new();
    for some in hashes.chunks(HASHES_MAX) {
        let selector = format!("{ROLLOUT_LABEL},{HASH_LABEL} in ({})", some.join(","));
        let which = ListParams::default().labels(&selector);
        let read = pages::<ReplicaSet, _>(session, &asked, which, counted);
        pods.extend(read.await?.into_iter().flatten());
    }
    Ok(pods)
}

/// Whose pods a ReplicaSet has, of which version, and how many. A control group has none of a version's.
fn counted(object: DynamicObject) -> Option<((String, String), Counts)> {
    let read = serde_json::to_value(object).and_then(serde_json::from_value::<ReplicaSet>);
    let rs = read.ok()?;
    let is_baseline = rs.labels().contains_key(BASELINE_LABEL);
    let owner = controller_uid(&rs).filter(|_| !is_baseline)?;
    Some(((owner, hash_of(&rs)), Counts::of(&rs)))
}

/// What is said where there is no row: there are none, or none is meant.
fn nothing(session: &Session, args: &List, place: &str) -> String {
    let (context, here) = (&session.context, asked(ROLLOUTS, place).place());
    let mut filters: Vec<String> = Vec::new();
    if !args.phase.is_empty() {
        let phases: Vec<String> = args.phase.iter().map(|p| format!("{p:?}")).collect();
        filters.push(format!("--phase {}", phases.join(",")));
    }
    filters.extend(args.selector.as_ref().map(|s| format!("-l {s}")));
    if !filters.is_empty() {
        let filters = filters.join(" and ");
        return format!(
            "no Rollout {here} ({context}) meets {filters}: leave that out to see the others"
        );
    }
    if place.is_empty() {
        return format!(
            "there are no Rollouts {here} ({context}): apply one, or choose another cluster by --context"
        );
    }
    format!(
        "there are no Rollouts {here} ({context}): `kubectl tidegate list -A` shows those of all \
         namespaces, -n NAME those of another one"
    )
}

/// What is said of those that cannot be read.
fn not_read(unreadable: usize, hidden: usize) -> Option<String> {
    let number = i64::try_from(unreadable).unwrap_or(i64::MAX);
    let what = words::plural(number, "Rollout");
    let shown = match hidden {
        0 => String::new(),
        _ => format!(
            " and may be missing here (--phase {:?} shows what)",
            PhaseWord::Unreadable
        ),
    };
    (unreadable > 0).then(|| {
        format!(
            "{what} cannot be read by this plugin ({}){shown}. Plugin and installed resources are \
             probably of different versions: `kubectl tidegate version` compares them",
            env!("CARGO_PKG_VERSION")
        )
    })
}
