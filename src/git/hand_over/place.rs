//! Which objects of Argo CD and Flux stand behind a Rollout, as its annotations and labels say, and
//! where such an object comes from in turn. Pure.

use std::collections::BTreeMap;
use std::fmt;

use kube::Resource;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::api::rollout::Rollout;

/// What Argo CD writes on all that it applies: `<app>:<group>/<Kind>:<namespace>/<name>`.
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

/// The groups of Flux's controllers, which are also how their labels begin.
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const HELM: &str = "helm.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";

/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;

/// A kind that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Argo CD's.
    Application,
    /// Flux's, for manifests.
    Kustomization,
    /// Flux's, for charts.
    HelmRelease,
    /// Flux's, for what is fetched.
    GitRepository,
}

impl Kind {
    fn words(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Kind::Application => ("argoproj.io", "v1alpha1", "Application", "applications"),
            Kind::Kustomization => (KUSTOMIZE, "v1", "Kustomization", "kustomizations"),
            Kind::HelmRelease => (HELM, "v2", "HelmRelease", "helmreleases"),
            Kind::GitRepository => (SOURCE, "v1", "GitRepository", "gitrepositories"),
        }
    }

    /// How the API server is asked for it.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.words();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// As a role names it, with its group.
    pub fn right(self) -> String {
        let (group, _, _, plural) = self.words();
        format!("{plural}.{group}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().2)
    }
}

/// An object of a GitOps tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Place {
    /// Nothing for what cannot be a name: it would stand in the path of a request.
    fn new(kind: Kind, namespace: &str, name: &str) -> Option<Place> {
        (is_name(namespace) && is_name(name)).then(|| Place {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(inner)
        && !text.contains("..")
}

/// What manages the Rollout directly. Applications that name no namespace are in `argo_cd`.
pub(super) fn of(rollout: &Rollout, argo_cd: &str) -> Vec<Place> {
    let meta = &rollout.metadata;
    let labels = meta.labels.clone().unwrap_or_default();
    let tracking = meta.annotations.as_ref().and_then(|a| a.get(TRACKING_ID));
    let application = tracking.and_then(|id| tracked(id, rollout, argo_cd));
    // A chart's objects may have a Kustomization's labels from the chart; the release is nearer.
    let flux =
        labelled(&labels, Kind::HelmRelease).or_else(|| labelled(&labels, Kind::Kustomization));
    application.into_iter().chain(flux).collect()
}

/// The Application, if the id is about this very Rollout: a copied object carries a foreign one.
fn tracked(id: &str, rollout: &Rollout, argo_cd: &str) -> Option<Place> {
    let mut parts = id.splitn(3, ':');
    let (application, kind, object) = (parts.next()?, parts.next()?, parts.next()?);
    let own_kind = format!("{}/{}", Rollout::group(&()), Rollout::kind(&()));
    let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    if kind != own_kind || object != format!("{namespace}/{name}") {
        return None;
    }
    let (namespace, name) = application
        .split_once('_')
        .unwrap_or((argo_cd, application));
    Place::new(Kind::Application, namespace, name)
}

/// What Flux's labels name.
fn labelled(labels: &BTreeMap<String, String>, kind: Kind) -> Option<Place> {
    let group = kind.words().0;
    let name = labels.get(&format!("{group}/name"))?;
    let namespace = labels.get(&format!("{group}/namespace"))?;
    Place::new(kind, namespace, name)
}

/// What an object of Flux's has its content from: what has to be asked before it.
pub(super) fn before(place: &Place, live: &Value) -> Vec<Place> {
    let source = |reference: &str| {
        let reference = live.pointer(reference)?;
        let text = |field: &str| reference.get(field).and_then(Value::as_str);
        let is_git = text("kind") == Some(Kind::GitRepository.words().2);
        let namespace = text("namespace").unwrap_or(&place.namespace);
        let name = text("name").filter(|_| is_git)?;
        Place::new(Kind::GitRepository, namespace, name)
    };
    match place.kind {
        Kind::Kustomization => source("/spec/sourceRef").into_iter().collect(),
        Kind::HelmRelease => {
            let labels = live.pointer("/metadata/labels").cloned();
            let labels: Option<BTreeMap<String, String>> =
                labels.and_then(|labels| serde_json::from_value(labels).ok());
            let applied_by = labelled(&labels.unwrap_or_default(), Kind::Kustomization);
            let chart = source("/spec/chart/spec/sourceRef");
            // A Kustomization before a source: both may have the same one, which comes after them.
            applied_by.into_iter().chain(chart).collect()
        }
        Kind::Application | Kind::GitRepository => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(metadata: &Value) -> Vec<String> {
        let mut metadata = metadata.clone();
        metadata["name"] = json!("checkout");
        metadata["namespace"] = json!("shop");
        let rollout: Rollout = serde_json::from_value(json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout", "metadata": metadata,
            "spec": {"selector": {"matchLabels": {}}, "template": {}, "strategy": {}},
        }))
        .unwrap();
        let found = of(&rollout, "argocd");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_application_is_believed_if_it_tracks_this_very_rollout() {
        let own = "tidegate.io/Rollout:shop/checkout";
        for (id, expected) in [
            (format!("web:{own}"), Some("Application argocd/web")),
            (format!("team-a_web:{own}"), Some("Application team-a/web")),
            ("web:tidegate.io/Rollout:shop/other".to_owned(), None),
            ("web:tidegate.io/Rollout:other/checkout".to_owned(), None),
            ("web:argoproj.io/Rollout:shop/checkout".to_owned(), None),
            ("web:tidegate.io/Revert:shop/checkout".to_owned(), None),
            (format!("../../x:{own}"), None),
            (format!("a/b:{own}"), None),
            (format!("_web:{own}"), None),
            (format!(":{own}"), None),
            ("web".to_owned(), None),
        ] {
            let found = places(&json!({"annotations": {"argocd.argoproj.io/tracking-id": id}}));
            let expected: Vec<String> = expected.map(str::to_owned).into_iter().collect();
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn flux_is_known_by_both_of_its_labels() {
        let kustomize =
            |name: &str, value: &str| (format!("kustomize.toolkit.fluxcd.io/{name}"), json!(value));
        let helm =
            |name: &str, value: &str| (format!("helm.toolkit.fluxcd.io/{name}"), json!(value));
        for (labels, expected) in [
            (
                vec![
                    kustomize("name", "apps"),
                    kustomize("namespace", "flux-system"),
                ],
                vec!["Kustomization flux-system/apps"],
            ),
            (
                vec![
                    kustomize("name", "apps"),
                    kustomize("namespace", "flux-system"),
                    helm("name", "web"),
                    helm("namespace", "shop"),
                ],
                vec!["HelmRelease shop/web"],
            ),
            (vec![kustomize("name", "apps")], vec![]),
            (
                vec![kustomize("name", "a/b"), kustomize("namespace", "x")],
                vec![],
            ),
        ] {
            let labels: serde_json::Map<String, Value> = labels.into_iter().collect();
            assert_eq!(places(&json!({"labels": labels})), expected, "{labels:?}");
        }
    }

    #[test]
    fn what_comes_before_a_flux_object_is_found_in_it() {
        let place = |kind| Place::new(kind, "shop", "web").unwrap();
        let shown = |kind, live: &Value| -> Vec<String> {
            let found = before(&place(kind), live);
            found.iter().map(ToString::to_string).collect()
        };
        let git = json!({"spec": {"sourceRef": {"kind": "GitRepository", "name": "config"}}});
        assert_eq!(
            shown(Kind::Kustomization, &git),
            ["GitRepository shop/config"]
        );
        let other = json!({"spec": {"sourceRef": {"kind": "OCIRepository", "name": "config"}}});
        assert_eq!(shown(Kind::Kustomization, &other), Vec::<String>::new());
        let release = json!({
            "metadata": {"labels": {
                "kustomize.toolkit.fluxcd.io/name": "apps",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            }},
            "spec": {"chart": {"spec": {"sourceRef":
                {"kind": "GitRepository", "name": "charts", "namespace": "flux-system"}}}},
        });
        assert_eq!(
            shown(Kind::HelmRelease, &release),
            [
                "Kustomization flux-system/apps",
                "GitRepository flux-system/charts"
            ]
        );
    }
}
