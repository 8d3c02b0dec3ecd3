//! Gateway API: the ways to the canary beside the weights, as an HTTPRoute has them: header routes
//! as rules ([`super::header_rules`]), the mirror route as a filter ([`super::mirror`]).

use serde_json::Value;

use super::{header_rules, mirror};
use crate::core::spec::{Problem, SideRoute, Spec};

/// The side routes that a Rollout's steps ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideRoutes {
    /// All of them.
    pub known: Vec<SideRoute>,
    /// How many header routes there are at a time, at most.
    pub most_headers: usize,
}

impl SideRoutes {
    /// Those of `spec`.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let mut all = Self::default();
        for step in 0..spec.steps.len() {
            let standing = spec.side_routes_at(step);
            let headers = standing.iter().filter(|side| !side.is_mirror()).count();
            all.most_headers = all.most_headers.max(headers);
            for side in standing {
                if !all.known.contains(&side) {
                    all.known.push(side);
                }
            }
        }
        all
    }

    /// Whether there is a mirror route among them, and whether one that copies a part of the requests.
    #[must_use]
    pub fn mirrors(&self) -> Option<mirror::Share> {
        let copies = self.known.iter().filter(|side| side.is_mirror());
        let least = copies.map(SideRoute::copies).min()?;
        Some(match least {
            100 => mirror::Share::All,
            _ => mirror::Share::Part,
        })
    }
}

/// Which of the `known` side routes an HTTPRoute has; `None`: there are rules or filters of ours that
/// are not as they should be. `all` are its rules, `weighted` those with weights, and `beside` what
/// these should be.
pub(super) fn standing(
    known: &[SideRoute],
    all: &[Value],
    (weighted, beside): (&[&Value], &[&Value]),
    canary: &str,
) -> Option<Vec<SideRoute>> {
    let mut found = header_rules::standing(all, known, beside, canary)?;
    found.extend(mirror::standing(known, weighted, canary)?);
    Some(found)
}

/// What keeps a route with `others` besides our rules from having these side routes.
pub(super) fn obstacle(
    route: &Value,
    others: usize,
    sides: &SideRoutes,
    weighted: &[&Value],
    features: &mirror::Features,
) -> Option<Problem> {
    header_rules::obstacle(route, others, sides, weighted)
        .or_else(|| mirror::obstacle(route, sides.mirrors()?, weighted, features))
}
