//! What a dry run is about: the template, from the cluster or from a file, frozen as the controller
//! freezes it, with the two versions that it is to tell apart.
//!
//! Who the versions are is said by a Rollout, by selectors, or by the template itself; where none of
//! them says it, that is refused by name, and nothing is guessed.

mod template;
mod versions;

use std::collections::BTreeMap;

use super::args::{Study, check_name};
use super::client::Session;
use super::error::CliError;
use crate::analysis::problem::Problem;
use crate::analysis::template::{NamedTemplate, freeze, share};
use crate::api::analysis::AnalysisRunSpec;
use crate::core::spec::Spec;
use template::needed;
use versions::{OfRollout, arms, names, needs_rollout, stand_in, the_one_that_uses, told_apart};

/// Which versions there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Both.
    Both,
    /// The stable one: a new one is made up.
    Stable,
    /// None: nothing is asked of any series.
    Neither,
}

/// A template that is frozen, and whose versions are known.
#[derive(Debug)]
pub struct Subject {
    /// `AnalysisTemplate golden-signals`.
    pub template: String,
    /// The Rollout, where one says who the versions are.
    pub rollout: Option<(String, Spec)>,
    /// How the versions are told apart, for people.
    pub versions: String,
    /// The frozen run, without its times.
    pub spec: AnalysisRunSpec,
}

/// Finds and freezes.
///
/// # Errors
/// Everything that is missing or wrong, by name.
pub async fn resolve(
    session: Result<&Session, &CliError>,
    namespace: Option<&str>,
    study: &Study,
    sides: Sides,
) -> Result<Subject, CliError> {
    let named = match &study.rollout {
        Some(name) => {
            check_name("the Rollout's name", name).map_err(CliError::Usage)?;
            Some(needed(session, "--rollout")?.rollout(name).await?)
        }
        None => None,
    };
    let found = template::find(session, study, named.as_ref()).await?;
    let by_selector = study.stable.is_some();
    let rollout = match named {
        Some(rollout) => Some(rollout),
        None if sides == Sides::Neither => None,
        None if needs_rollout(&found.spec, by_selector) => match session {
            Ok(session) => Some(the_one_that_uses(session, &found, sides).await?),
            // Without a cluster nobody can say more than what was typed; freezing says what lacks.
            Err(_) if by_selector => None,
            Err(_) => return Err(told_apart(&found, "and no cluster says whose they are")),
        },
        None => None,
    };
    let of = rollout.as_ref().map(OfRollout::read).transpose()?;
    let mut args: BTreeMap<String, String> = BTreeMap::new();
    if let Some(of) = &of {
        let declared = |name: &str| found.spec.args.iter().any(|a| a.name == name);
        let request = of.spec.analyses().find(|r| names(r, &found));
        let given = request.into_iter().flat_map(|r| r.args.iter().cloned());
        args.extend(given.filter(|(name, _)| declared(name)));
    }
    args.extend(study.args.iter().cloned());
    let mut filled = found.spec.clone();
    let mut builtins = of
        .as_ref()
        .map(|of| of.builtins.clone())
        .unwrap_or_default();
    if builtins.namespace.is_empty() {
        let of_session = session.ok().map(|s| s.namespace.as_str());
        builtins.namespace = namespace.or(of_session).unwrap_or_default().to_owned();
    }
    if sides == Sides::Stable && builtins.canary_hash.is_empty() {
        builtins.canary_hash = "placebo".to_owned();
    }
    if sides == Sides::Neither {
        stand_in(&mut builtins);
    }
    let versions = arms(&mut filled, study, of.as_ref(), &builtins, sides, &found)?;
    let named = NamedTemplate {
        name: &found.name,
        spec: &filled,
    };
    let template = format!("{} {}", found.kind, found.name);
    let mut frozen =
        freeze(&[named], &args, &builtins).map_err(|found| problems(&template, &found))?;
    if let Some(of) = &of {
        // The rate is the whole rollout's, as it is for the runs of the Rollout itself.
        let runs = u32::try_from(of.spec.analyses().count()).unwrap_or(u32::MAX);
        frozen.false_abort_rate = share(&frozen.false_abort_rate, runs);
    }
    let spec = AnalysisRunSpec {
        canary_hash: builtins.canary_hash,
        stable_hash: builtins.stable_hash,
        ..frozen.into_spec()
    };
    Ok(Subject {
        template,
        rollout: of.map(|of| (of.name, of.spec)),
        versions,
        spec,
    })
}

/// Problems of a spec that froze well: they come from what was typed beside it.
#[must_use]
pub fn problems(template: &str, problems: &[Problem]) -> CliError {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    CliError::Refused(format!(
        "{template} cannot be used as it is: {}",
        all.join("; ")
    ))
}
