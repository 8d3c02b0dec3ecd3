//! After a revert has landed: tells Argo CD or Flux at once what they would see by themselves after
//! their interval, and says what only a person can do.
//!
//! Best effort. Whatever is missing here (the tools, their definitions, the right to ask) is a
//! sentence in the condition `HandedOver`, never a failure, and the cluster is looked at all the same.
//! It must not force a sync, resume what is suspended, or touch a workload.

mod ask;
mod place;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::Value;

use crate::api::conditions::ConditionStatus;
use crate::api::revert::{Revert, RevertMode, RevertPhase};
use crate::api::rollout::Rollout;

use self::ask::{Ask, Landing, Said};
use self::place::{Kind, Place};
use super::outcome::{HANDED_OVER, LANDED, Outcome};
use super::writer::{CALL_TIMEOUT, FIELD_MANAGER};

/// How long after the landing a tool that did not answer is asked again: by then its own interval
/// has passed.
const ASK_LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// Most objects of Flux's behind one Rollout: a release, its Kustomization and their two sources.
const CHAIN_MAX: usize = 4;

/// Speaks to the objects of GitOps tools.
pub(super) struct HandOver {
    client: Client,
    /// Where Applications are that name no namespace.
    argo_cd_namespace: String,
}

impl HandOver {
    /// Applications that name no namespace are in this one.
    pub fn new(client: Client, argo_cd_namespace: String) -> HandOver {
        HandOver {
            client,
            argo_cd_namespace,
        }
    }

    /// Asks whatever manages the Rollout, and says what came of it; nothing if nothing manages it.
    pub async fn ask(&self, revert: &Revert, rollout: &Rollout) -> Option<Outcome> {
        let landing = Landing::of(revert)?;
        let mut said = Vec::new();
        for place in place::of(rollout, &self.argo_cd_namespace) {
            // The look at the cluster waits for this.
            let asking = self.ask_behind(&place, &landing);
            match tokio::time::timeout(CALL_TIMEOUT, asking).await {
                Ok(answers) => said.extend(answers),
                Err(_) => {
                    let words = format!("no answer within {} s", CALL_TIMEOUT.as_secs());
                    said.push(ask::refused(&place, "get and patch", None, &words));
                }
            }
        }
        ask::conclude(&said)
    }

    /// Asks an object, and before it those that it has its content from.
    async fn ask_behind(&self, start: &Place, landing: &Landing) -> Vec<Said> {
        let mut said = Vec::new();
        let mut found: Vec<(Place, Value)> = Vec::new();
        let mut todo = VecDeque::from([start.clone()]);
        while let Some(place) = todo.pop_front() {
            if found.len() == CHAIN_MAX {
                break;
            }
            if found.iter().any(|(known, _)| *known == place) {
                continue;
            }
            match self.read(&place).await {
                Ok(live) => {
                    todo.extend(place::before(&place, &live));
                    found.push((place, live));
                }
                Err(refused) => said.push(refused),
            }
        }
        for (place, live) in found.iter().rev() {
            let ask = match place.kind {
                Kind::Application => ask::application(place, live, landing),
                Kind::Kustomization | Kind::HelmRelease | Kind::GitRepository => {
                    ask::flux(place, live, landing)
                }
            };
            said.push(self.carry_out(place, ask).await);
        }
        said
    }

    async fn read(&self, place: &Place) -> Result<Value, Said> {
        let live = self.api(place).get(&place.name).await;
        let live = live.map_err(|error| refused(place, "get", &error))?;
        serde_json::to_value(live)
            .map_err(|error| ask::refused(place, "get", None, &error.to_string()))
    }

    async fn carry_out(&self, place: &Place, ask: Ask) -> Said {
        let Some(patch) = ask.patch else {
            return ask.said;
        };
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(place);
        let patched = api.patch(&place.name, &params, &Patch::Merge(patch)).await;
        match patched {
            Ok(_) => ask.said,
            Err(error) => refused(place, "patch", &error),
        }
    }

    fn api(&self, place: &Place) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.client.clone(),
            &place.namespace,
            &place.kind.resource(),
        )
    }
}

fn refused(place: &Place, verb: &str, error: &kube::Error) -> Said {
    let code = match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    };
    ask::refused(place, verb, code, &error.to_string())
}

/// Whether the tools are to be asked now: once per landing, while the cluster has not followed, and
/// again for a while where they did not answer. Pure.
pub(super) fn is_due(revert: &Revert, found: &Outcome, now: Timestamp) -> bool {
    let Some(status) = &revert.status else {
        return false;
    };
    let waits = matches!(
        found,
        Outcome::NotVerified {
            on_its_way: false,
            ..
        }
    );
    let condition = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_);
    let landed_at = condition(LANDED).map(|c| c.last_transition_time);
    let lately = landed_at.is_some_and(|at| now.duration_since(at) <= ASK_LIMIT);
    let open = match condition(HANDED_OVER) {
        None => true,
        Some(condition) => condition.status == ConditionStatus::Unknown && lately,
    };
    // A dry run asks nobody for anything, whoever put the branch right.
    let for_real = revert.spec.mode != RevertMode::DryRun;
    for_real && waits && open && status.phase == Some(RevertPhase::Landed)
}

/// Whether the answer is another one than that on record. Pure.
pub(super) fn is_news(revert: &Revert, asked: &Outcome) -> bool {
    let Outcome::HandedOver { value, reason, .. } = asked else {
        return true;
    };
    let conditions = revert.status.iter().flat_map(|s| &s.conditions);
    let mut same = conditions.filter(|c| c.type_ == HANDED_OVER);
    !same.any(|c| c.status == *value && c.reason == *reason)
}

#[cfg(test)]
mod tests;
