//! Who the two versions are: as a Rollout, selectors or the template itself say it.

use kube::ResourceExt;
use kube::api::ListParams;

use super::Sides;
use super::template::{Found, kind_of};
use crate::analysis::promql;
use crate::analysis::template::Builtins;
use crate::api::analysis::{AnalysisTemplateSpec, Arm, DEFAULT_ARM_LABEL};
use crate::api::rollout::Rollout;
use crate::cli::args::Study;
use crate::cli::client::{ROLLOUTS, Session};
use crate::cli::error::CliError;
use crate::core::naming;
use crate::core::spec::{self, AnalysisRequest, Means, Spec};

/// Placeholders that only a Rollout has values for.
const OF_A_ROLLOUT: [&str; 5] = [
    "$(rollout)",
    "$(canaryService)",
    "$(stableService)",
    "$(canaryHash)",
    "$(stableHash)",
];
/// How many Rollouts of a namespace are looked through for one that uses the template.
const ROLLOUTS_MAX: u32 = 500;
/// Matchers of nobody, for the side that has none.
const NOBODY: &str = "version=\"placebo\"";

/// Whether only a Rollout can say what the template names.
pub(super) fn needs_rollout(spec: &AnalysisTemplateSpec, by_selector: bool) -> bool {
    let mut spec = spec.clone();
    let arm = spec.arm.clone().unwrap_or_default();
    let mut texts: Vec<String> = spec.args.iter().filter_map(|a| a.value.clone()).collect();
    for metric in &mut spec.metrics {
        let queries = metric.queries_mut();
        texts.extend(queries.into_iter().map(|(_, query)| query.clone()));
    }
    let arms_said = by_selector || arm.canary.is_some();
    if !by_selector {
        texts.extend([arm.canary, arm.stable].into_iter().flatten());
    }
    let arm_named = texts.iter().any(|t| t.contains(promql::ARM));
    let named = |text: &String| OF_A_ROLLOUT.iter().any(|p| text.contains(p));
    texts.iter().any(named) || arm_named && !arms_said
}

/// A refusal, with the ways out.
pub(super) fn told_apart(found: &Found, why: &str) -> CliError {
    let arm = found.spec.arm.clone().unwrap_or_default();
    let by = match (&arm.label, arm.pods, &arm.canary) {
        (_, true, _) => "the pods' names".to_owned(),
        (Some(label), ..) => format!("the label {label}"),
        (None, _, Some(_)) => "matchers that name a Rollout's Services or versions".to_owned(),
        (None, _, None) => format!("the label {DEFAULT_ARM_LABEL}"),
    };
    CliError::Refused(format!(
        "the two versions cannot be told apart: {} {} does it by {by}, {why}. Give --rollout NAME of a Rollout with a version that goes out, or --canary SELECTOR and --stable SELECTOR, label matchers such as 'version=\"2\"'",
        found.kind, found.name
    ))
}

pub(super) fn names(request: &AnalysisRequest, found: &Found) -> bool {
    let cluster_scope = found.kind == kind_of(true).0;
    let mut templates = request.templates.iter();
    templates.any(|t| t.name == found.name && t.cluster_scope == cluster_scope)
}

/// The namespace's Rollout that uses the template, and has the versions that are needed, if it is one.
pub(super) async fn the_one_that_uses(
    session: &Session,
    found: &Found,
    sides: Sides,
) -> Result<Rollout, CliError> {
    let asked = session.asked("list", ROLLOUTS);
    let params = ListParams::default().limit(ROLLOUTS_MAX);
    let list = session
        .ask(&asked, session.rollouts().list(&params))
        .await?;
    let uses = |rollout: &Rollout| {
        let of = OfRollout::read(rollout);
        of.is_ok_and(|of| of.spec.analyses().any(|r| names(r, found)) && of.has(sides))
    };
    let mut users: Vec<Rollout> = list.items.into_iter().filter(uses).collect();
    match users.len() {
        1 => Ok(users.swap_remove(0)),
        0 if sides == Sides::Both => Err(told_apart(
            found,
            "and no Rollout of the namespace that uses it has a version that goes out",
        )),
        0 => Err(told_apart(found, "and no Rollout of the namespace uses it")),
        _ => {
            let all: Vec<String> = users.iter().map(ResourceExt::name_any).collect();
            let why = format!("and several Rollouts use it ({})", all.join(", "));
            Err(told_apart(found, &why))
        }
    }
}

/// What a Rollout says about its versions.
pub(super) struct OfRollout {
    pub name: String,
    pub spec: Spec,
    pub builtins: Builtins,
}

impl OfRollout {
    pub fn read(rollout: &Rollout) -> Result<Self, CliError> {
        let name = rollout.name_any();
        // The steps are what matters; a Deployment's template has no part in them.
        let stand_in = spec::stand_in(&rollout.spec.selector);
        let template = rollout.spec.workload_ref.as_ref().map(|_| &stand_in);
        let spec = spec::parse_with(&rollout.spec, template).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            CliError::Refused(format!("Rollout {name} is not valid: {}", all.join("; ")))
        })?;
        let (stable_service, canary_service) = match &spec.means {
            Means::Routes {
                stable_service,
                canary_service,
                ..
            } => (stable_service.clone(), canary_service.clone()),
            Means::Active {
                active_service,
                preview_service,
            } => (
                active_service.clone(),
                preview_service
                    .clone()
                    .unwrap_or_else(|| active_service.clone()),
            ),
            Means::Pods { .. } => (String::new(), String::new()),
        };
        let status = rollout.status.clone().unwrap_or_default();
        let builtins = Builtins {
            namespace: rollout.namespace().unwrap_or_default(),
            rollout: name.clone(),
            canary_service,
            stable_service,
            canary_hash: status.canary.map(|c| c.hash).unwrap_or_default(),
            stable_hash: status.stable.map(|s| s.hash).unwrap_or_default(),
        };
        Ok(Self {
            name,
            spec,
            builtins,
        })
    }

    fn has(&self, sides: Sides) -> bool {
        let canary = sides != Sides::Both || !self.builtins.canary_hash.is_empty();
        canary && !self.builtins.stable_hash.is_empty()
    }
}

/// Writes into the template how the versions are told apart, and says it for people.
pub(super) fn arms(
    template: &mut AnalysisTemplateSpec,
    study: &Study,
    of: Option<&OfRollout>,
    builtins: &Builtins,
    sides: Sides,
    found: &Found,
) -> Result<String, CliError> {
    if sides == Sides::Neither {
        template.arm = Some(matchers(NOBODY.to_owned(), "version=\"stable\"".to_owned()));
        return Ok("not asked for".to_owned());
    }
    if let Some(stable) = &study.stable {
        for (flag, text) in [("--canary", &study.canary), ("--stable", &study.stable)] {
            if let Some(error) = text.as_ref().and_then(|t| promql::matchers(t).err()) {
                return Err(CliError::Usage(format!("{flag}: {error}")));
            }
        }
        let canary = match (&study.canary, sides) {
            (Some(canary), _) => canary.clone(),
            (None, Sides::Stable) => NOBODY.to_owned(),
            (None, _) => {
                return Err(CliError::Usage("--stable needs --canary here".to_owned()));
            }
        };
        let said = if sides == Sides::Both {
            format!("canary {canary}, stable {stable}")
        } else {
            format!("stable {stable}")
        };
        template.arm = Some(matchers(canary, stable.clone()));
        return Ok(said);
    }
    let Some(of) = of else {
        let arm = template.arm.clone().unwrap_or_default();
        if sides == Sides::Stable
            && let Some(stable) = arm.stable.clone()
        {
            template.arm = Some(matchers(NOBODY.to_owned(), stable));
        }
        return Ok(match (arm.canary, arm.stable) {
            (Some(canary), Some(stable)) => {
                format!("as the template says: canary {canary}, stable {stable}")
            }
            _ => "not told apart: nothing is compared".to_owned(),
        });
    };
    let name = &of.name;
    if builtins.stable_hash.is_empty() {
        let why = format!("and Rollout {name} has no stable version yet");
        return Err(told_apart(found, &why));
    }
    if sides == Sides::Both && builtins.canary_hash.is_empty() {
        let why = format!(
            "and Rollout {name} has no version that goes out (`backtest` looks at stable alone)"
        );
        return Err(told_apart(found, &why));
    }
    let arm = template.arm.clone().unwrap_or_default();
    let by_pods = |hash: &str| {
        format!(
            "pod=~\"{}\"",
            naming::pods_of(&naming::replica_set(name, hash))
        )
    };
    let label = arm
        .label
        .clone()
        .unwrap_or_else(|| DEFAULT_ARM_LABEL.to_owned());
    let stable = if arm.pods {
        by_pods(&builtins.stable_hash)
    } else {
        format!("{label}=\"{}\"", builtins.stable_hash)
    };
    match (sides, arm.stable.clone()) {
        (Sides::Stable, own) => {
            template.arm = Some(matchers(NOBODY.to_owned(), own.unwrap_or(stable)));
            Ok(format!("Rollout {name}: stable {}", builtins.stable_hash))
        }
        (Sides::Both, None) if arm.pods => {
            template.arm = Some(matchers(by_pods(&builtins.canary_hash), stable));
            Ok(both(name, builtins))
        }
        (Sides::Both, None) if of.spec.capacity.baseline > 0 => {
            // As a run of the Rollout does: by the pods of the stable version's control group.
            let group = naming::baseline(name, &builtins.stable_hash).replace('.', "\\\\.");
            let canary = format!("{label}=\"{}\"", builtins.canary_hash);
            template.arm = Some(matchers(canary, format!("{stable},pod=~\"{group}-[^-]+\"")));
            Ok(format!("{} (its control group)", both(name, builtins)))
        }
        _ => Ok(both(name, builtins)),
    }
}

/// A value for every placeholder: nothing will be asked with them.
pub(super) fn stand_in(builtins: &mut Builtins) {
    for value in [
        &mut builtins.namespace,
        &mut builtins.rollout,
        &mut builtins.canary_service,
        &mut builtins.stable_service,
        &mut builtins.canary_hash,
        &mut builtins.stable_hash,
    ] {
        if value.is_empty() {
            "unknown".clone_into(value);
        }
    }
}

fn both(rollout: &str, builtins: &Builtins) -> String {
    format!(
        "Rollout {rollout}: canary {}, stable {}",
        builtins.canary_hash, builtins.stable_hash
    )
}

fn matchers(canary: String, stable: String) -> Arm {
    Arm {
        canary: Some(canary),
        stable: Some(stable),
        ..Arm::default()
    }
}
