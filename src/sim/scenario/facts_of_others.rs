//! What may be said of what others have: Deployments, fields of objects that they write as well, the
//! questions of analyses that are made of shared templates, and what the API server answered to them.

use super::facts::{Facts, NONE, claim, number};
use super::sight::Sight;
use crate::sim::invariants::has;

impl Facts {
    /// What others have.
    pub(super) fn of_others(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        if let Some(expected) = &self.refused {
            let seen = sight.0.refused.get(rollout);
            let seen = seen.map(|refused| refused.why.as_str());
            let so = match seen {
                Some(why) => why.contains(expected.as_str()),
                None => expected == NONE,
            };
            claim(so, "refused", || seen.unwrap_or(NONE).to_owned())?;
        }
        for (object, expected) in &self.objects {
            let seen = sight.0.manifests.live.get(object);
            let so = seen.is_some_and(|seen| has(seen, expected));
            claim(so, object, || match seen {
                Some(seen) => seen.to_string(),
                None => NONE.to_owned(),
            })?;
        }
        for (name, expected) in &self.deployments {
            let what = format!("pods of Deployment {name}");
            number(&what, Some(expected), sight.deployment(name).0)?;
        }
        for (name, expected) in &self.deployments_ready {
            let what = format!("ready pods of Deployment {name}");
            number(&what, Some(expected), Some(sight.deployment(name).1))?;
        }
        if let Some(expected) = &self.asks {
            let seen = sight.questions(rollout);
            let so = |question: &String| question.contains(expected.as_str());
            let all = !seen.is_empty() && seen.iter().all(so);
            claim(all, "asks", || format!("{seen:?}"))?;
        }
        Ok(())
    }
}
