//! What `undo` and `set image` have in common: a change of a Rollout's pod template by a person. It is shown
//! first, it is refused where a GitOps tool would put the template back, and it is written only onto the
//! spec that it was made from.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::advice;
use super::args::{ChangeArgs, Output};
use super::client::{ROLLOUTS, Session, full_name};
use super::command::FIELD_MANAGER;
use super::error::{CliError, Exit};
use super::style::{Line, Tone};
use super::terminal::Terminal;
use crate::api::rollout::Rollout;
use crate::core::reject::leaves;

/// Signs of a GitOps tool among labels and annotations, and whose they are. Argo CD's older label,
/// `app.kubernetes.io/instance`, is Helm's own as well, so it says nothing.
const SIGNS: [(&str, &str); 4] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux (a Kustomization)"),
    ("helm.toolkit.fluxcd.io/name", "Flux (a HelmRelease)"),
];

/// The same among who has written fields.
const MANAGERS: [(&str, &str); 3] = [
    ("argocd-controller", "Argo CD"),
    ("kustomize-controller", "Flux (a Kustomization)"),
    ("helm-controller", "Flux (a HelmRelease)"),
];

/// A change that was thought out, and not yet written.
#[derive(Debug)]
pub struct Change<'c> {
    /// As it was read.
    pub rollout: &'c Rollout,
    /// `undo`, `set image`.
    pub command: &'static str,
    /// The template that is to be.
    pub template: Value,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// A refusal before anything was written.
#[must_use]
pub fn refused(rollout: &Rollout, command: &str, why: &str) -> CliError {
    CliError::Refused(format!(
        "{}: {command} is refused, nothing was written: {why}",
        full_name(rollout.name_any())
    ))
}

/// What is in the way of any change of the template; `instead` is kubectl's command for a Deployment.
///
/// # Errors
/// Refused, with the reason and what to do instead.
pub fn possible(rollout: &Rollout, command: &str, instead: &str) -> Result<(), CliError> {
    if rollout.metadata.deletion_timestamp.is_some() {
        return Err(refused(rollout, command, "the Rollout is being deleted"));
    }
    if let Some(workload) = &rollout.spec.workload_ref {
        let deployment = &workload.name;
        let namespace = rollout.namespace().unwrap_or_default();
        let instead = instead.replace("DEPLOYMENT", deployment);
        return Err(refused(
            rollout,
            command,
            &format!(
                "its template is that of Deployment {deployment} (spec.workloadRef), which is yours to change: `{instead} -n {namespace}`"
            ),
        ));
    }
    Ok(())
}

/// Which GitOps tool manages the Rollout, and by what that is seen.
#[must_use]
pub fn managed_by(rollout: &Rollout) -> Option<String> {
    for (key, tool) in SIGNS {
        for (kind, map) in [
            ("annotation", rollout.annotations()),
            ("label", rollout.labels()),
        ] {
            if let Some(value) = map.get(key) {
                return Some(format!("{tool} ({kind} {key}: {value})"));
            }
        }
    }
    let managers = rollout.metadata.managed_fields.iter().flatten();
    let names: Vec<&str> = managers
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .filter_map(|entry| entry.manager.as_deref())
        .collect();
    MANAGERS
        .iter()
        .find(|(manager, _)| names.contains(manager))
        .map(|(manager, tool)| format!("{tool} (field manager {manager})"))
}

/// One value that changes: where, from what, to what.
pub type Difference = (String, Option<String>, Option<String>);

/// Every scalar in which two templates differ.
#[must_use]
pub fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let (old, new) = (leaves(old), leaves(new));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path))
        .map(|path| (path.clone(), old.get(path).cloned(), new.get(path).cloned()))
        .collect()
}

impl Change<'_> {
    /// Shows it, and writes it unless that is refused or not asked for.
    ///
    /// # Errors
    /// Refused: a GitOps tool manages the Rollout, or its spec has changed meanwhile; or not written.
    pub async fn make(
        mut self,
        session: &Session,
        terminal: &mut Terminal<'_>,
        args: &ChangeArgs,
        output: Option<Output>,
    ) -> Result<Exit, CliError> {
        let differences = differences(&self.rollout.spec.template, &self.template);
        let dry_run = args.dry_run.is_on();
        let for_people = matches!(output, None | Some(Output::Wide));
        let nothing = self.template == self.rollout.spec.template;
        if for_people {
            for line in lines(&differences) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
        if let Some(tool) = managed_by(self.rollout) {
            if !args.force && !dry_run && !nothing {
                return Err(refused(
                    self.rollout,
                    self.command,
                    &format!(
                        "{tool} manages the Rollout and would put its template back. Change it in Git; --force changes it all the same, until then"
                    ),
                ));
            }
            self.notes.push(format!(
                "{tool} manages the Rollout and will put its template back, unless it is changed in Git"
            ));
        }
        if !nothing {
            self.write(session, dry_run).await?;
        }
        match output {
            Some(format @ (Output::Json | Output::Yaml)) => {
                let changes: Vec<Value> = differences
                    .iter()
                    .map(|(path, old, new)| json!({"path": path, "old": old, "new": new}))
                    .collect();
                let document = json!({
                    "rollout": self.rollout.name_any(),
                    "namespace": session.namespace,
                    "command": self.command,
                    "changes": changes,
                    "notes": self.notes,
                    "dryRun": dry_run,
                });
                terminal.document(format, &document)?;
            }
            Some(Output::Name) => {
                terminal.say(Tone::Plain, full_name(self.rollout.name_any()))?;
            }
            None | Some(Output::Wide) => {
                for note in &self.notes {
                    terminal.say(Tone::Warn, format!("Note: {note}"))?;
                }
                let result = match (nothing, dry_run) {
                    (true, _) => "Nothing to do: the template is so already".to_owned(),
                    (_, true) => "Not written (dry run); the API server would take it".to_owned(),
                    _ => format!(
                        "Changed by {}; {} shows how it goes",
                        session.who,
                        advice::command(self.rollout, "get --watch")
                    ),
                };
                let text = format!("{}: {result}", full_name(self.rollout.name_any()));
                terminal.say(Tone::Plain, text)?;
            }
        }
        Ok(Exit::Done)
    }

    /// The template onto the very spec that it was made from. The status may move on meanwhile, so it is
    /// not the resourceVersion that must be the same but the generation.
    async fn write(&self, session: &Session, dry_run: bool) -> Result<(), CliError> {
        let (name, seen) = (self.rollout.name_any(), self.rollout.metadata.generation);
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": self.rollout.metadata.uid},
            {"op": "test", "path": "/metadata/generation", "value": seen},
            {"op": "replace", "path": "/spec/template", "value": self.template},
        ]);
        let patch: json_patch::Patch = serde_json::from_value(operations)
            .map_err(|e| refused(self.rollout, self.command, &e.to_string()))?;
        let params = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let api = session.rollouts();
        let patch = Patch::<()>::Json(patch);
        let written = session
            .ask(
                &session.asked("patch", ROLLOUTS),
                api.patch_metadata(&name, &params, &patch),
            )
            .await;
        let error = match written {
            Ok(_) => return Ok(()),
            Err(error @ CliError::Api { .. }) => error,
            Err(other) => return Err(other),
        };
        // A test that failed is said with no more than "invalid".
        let now = Box::pin(session.rollout(&name)).await?;
        let same = now.metadata.uid == self.rollout.metadata.uid && now.metadata.generation == seen;
        if same {
            return Err(error);
        }
        Err(refused(
            self.rollout,
            self.command,
            "somebody else has changed the Rollout meanwhile; look again",
        ))
    }
}

fn lines(differences: &[Difference]) -> Vec<Line> {
    let line = |(path, old, new): &Difference| {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(nothing)".to_owned());
        Line::new().with(
            Tone::Plain,
            format!("  {path}: {} → {}", side(old), side(new)),
        )
    };
    differences.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures::rollout;

    #[test]
    fn who_manages_a_rollout() {
        let entry = |manager: &str, subresource: &str| {
            json!({"metadata": {"managedFields": [{"manager": manager, "subresource": subresource,
                "operation": "Apply", "apiVersion": "tidegate.io/v1alpha1",
                "fieldsType": "FieldsV1", "fieldsV1": {}}]}})
        };
        for (metadata, says) in [
            (json!({}), None),
            (
                json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}}),
                Some("Argo CD (annotation argocd.argoproj.io/tracking-id: shop:x)"),
            ),
            (
                json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"}}}),
                Some("Argo CD (label argocd.argoproj.io/instance: shop)"),
            ),
            (
                json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}}),
                Some("Flux (a Kustomization) (label kustomize.toolkit.fluxcd.io/name: shop)"),
            ),
            (
                json!({"metadata": {"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}}),
                Some("Flux (a HelmRelease) (label helm.toolkit.fluxcd.io/name: shop)"),
            ),
            // Helm by hand says so, and may be followed by a person.
            (
                json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}),
                None,
            ),
            (
                entry("argocd-controller", ""),
                Some("Argo CD (field manager argocd-controller)"),
            ),
            (entry("argocd-controller", "status"), None),
            (entry("kubectl", ""), None),
        ] {
            assert_eq!(managed_by(&rollout(metadata)).as_deref(), says);
        }
    }

    #[test]
    fn what_would_change_is_shown() {
        let old = json!({"spec": {"containers": [{"name": "app", "image": "r/a:2", "tty": true}]}});
        let new = json!({"spec": {"containers": [{"name": "app", "image": "r/a:1"},
            {"name": "proxy", "image": "r/p:1"}]}});
        let shown: Vec<String> = lines(&differences(&old, &new))
            .iter()
            .map(|line| line.render(false))
            .collect();
        assert_eq!(
            shown,
            [
                "  spec.containers[app].image: r/a:2 → r/a:1",
                "  spec.containers[app].tty: true → (nothing)",
                "  spec.containers[proxy].image: (nothing) → r/p:1",
                "  spec.containers[proxy].name: (nothing) → proxy",
            ]
        );
    }

    #[test]
    fn the_template_of_a_deployment_is_not_the_rollouts_to_change() {
        let of = rollout(json!({"spec": {"template": null, "workloadRef": {
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}}));
        let error =
            possible(&of, "undo", "kubectl rollout undo deployment/DEPLOYMENT").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`kubectl rollout undo deployment/web -n shop`"),
            "{text}"
        );
    }
}
