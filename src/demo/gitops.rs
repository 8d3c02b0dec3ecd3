//! The GitOps loop: applies what the branch's tip says, as Argo CD, Flux or a pipeline would.
//!
//! It applies a manifest when its text is new, by server-side apply, and stamps on the Rollout where
//! it came from: the four `tidegate.io/source-*` annotations that any pipeline can set. It knows
//! nothing of Tidegate's state and never looks at it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope};
use kube::{Api, Client};
use serde_json::Value;

use super::repository::{BRANCH, Commit, ROLLOUT_FILE, Repository};

/// The field manager of the loop.
const MANAGER: &str = "demo-gitops";
/// Time between two looks at the branch.
const INTERVAL: Duration = Duration::from_millis(500);
/// Commits that are shown.
const LOG_COMMITS: usize = 6;

/// What the loop knows of the branch.
#[derive(Debug, Clone, Default)]
pub struct Branch {
    /// The commit that the cluster was last brought to.
    pub applied: Option<String>,
    /// The last commits, newest first.
    pub log: Vec<Commit>,
    /// Why the last try failed.
    pub trouble: Option<String>,
}

/// Follows the branch until it is dropped.
pub async fn follow(
    repository: Repository,
    client: Client,
    seen: tokio::sync::watch::Sender<Branch>,
) {
    let mut applier = Applier {
        client,
        source: repository.path().display().to_string(),
        kinds: BTreeMap::new(),
        applied: BTreeMap::new(),
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut at = None;
    loop {
        ticks.tick().await;
        match step(&repository, &mut applier, at.as_deref()).await {
            Ok(None) => {}
            Ok(Some((tip, log))) => {
                at = Some(tip.clone());
                seen.send_replace(Branch {
                    applied: Some(tip),
                    log,
                    trouble: None,
                });
            }
            Err(error) => {
                let trouble = Some(format!("{error:#}"));
                tracing::warn!(trouble, "the branch could not be applied");
                seen.send_modify(|branch| branch.trouble = trouble);
            }
        }
    }
}

/// Applies the tip if it is new.
async fn step(
    repository: &Repository,
    applier: &mut Applier,
    at: Option<&str>,
) -> Result<Option<(String, Vec<Commit>)>> {
    let tip = repository.tip().await?;
    if at == Some(tip.as_str()) {
        return Ok(None);
    }
    for (path, text) in repository.manifests(&tip).await? {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{path} is not YAML"))?;
        for document in documents.into_iter().filter(Value::is_object) {
            applier.apply(&path, &tip, document).await?;
        }
    }
    let log = repository.log(LOG_COMMITS).await?;
    Ok(Some((tip, log)))
}

struct Applier {
    client: Client,
    source: String,
    kinds: BTreeMap<(String, String), (ApiResource, Scope)>,
    /// What was last applied, by kind, namespace and name.
    applied: BTreeMap<[String; 4], Value>,
}

impl Applier {
    async fn apply(&mut self, path: &str, revision: &str, mut document: Value) -> Result<()> {
        let text = |pointer: &str| {
            let found = document.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let what = format!("{path}: {kind} {name}");
        if kind == "Rollout" {
            self.stamp(&mut document, path, revision);
        }
        let key = [
            version.clone(),
            kind.clone(),
            namespace.clone(),
            name.clone(),
        ];
        if self.applied.get(&key) == Some(&document) {
            return Ok(());
        }
        let (resource, scope) = self.kind(&version, &kind).await.context(what.clone())?;
        let api: Api<DynamicObject> = match scope {
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), &namespace, &resource),
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
        };
        api.patch(
            &name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&document),
        )
        .await
        .context(what)?;
        self.applied.insert(key, document);
        Ok(())
    }

    /// Says on the object where it came from.
    fn stamp(&self, document: &mut Value, path: &str, revision: &str) {
        let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        let annotations = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        let Some(annotations) = annotations.as_object_mut() else {
            return;
        };
        for (key, value) in [
            ("repo", self.source.as_str()),
            ("branch", BRANCH),
            ("path", path),
            ("revision", revision),
        ] {
            annotations.insert(format!("tidegate.io/source-{key}"), value.into());
        }
    }

    async fn kind(&mut self, version: &str, kind: &str) -> Result<(ApiResource, Scope)> {
        let key = (version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) = kube::discovery::pinned_kind(&self.client, &gvk).await?;
        let found = (resource, capabilities.scope);
        self.kinds.insert(key, found.clone());
        Ok(found)
    }
}

/// The image that a revision of the Rollout's file asks for.
///
/// # Errors
/// What `git` says, or that the file has no image.
pub async fn image_at(repository: &Repository, commit: &str) -> Result<String> {
    let text = repository.show(commit, ROLLOUT_FILE).await?;
    let rollout: Value = serde_saphyr::from_str(&text)?;
    rollout
        .pointer("/spec/template/spec/containers/0/image")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("{ROLLOUT_FILE} at {commit} has no image"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::repository::FOLDER;
    use crate::sim::apiserver::{ApiServer, ApiServerConfig};
    use serde_json::json;

    const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

    #[tokio::test]
    async fn the_tip_is_applied_and_stamped_and_what_is_not_new_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::create(folder.path()).await.unwrap();
        let config = ApiServerConfig::default().with_crds(&crate::api::crds());
        let api = ApiServer::new(config).unwrap();
        api.add(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}))
            .unwrap();
        let client = api.client_as("shop", "demo-gitops");
        let mut applier = Applier {
            client: client.clone(),
            source: "/srv/shop.git".to_owned(),
            kinds: BTreeMap::new(),
            applied: BTreeMap::new(),
        };
        let (first, log) = step(&repository, &mut applier, None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(log.len(), 1);
        let rollout = || {
            api.store()
                .get("rollouts.tidegate.io", "shop", "checkout")
                .unwrap()
        };
        let annotations = rollout()["metadata"]["annotations"].clone();
        assert_eq!(
            annotations,
            json!({
                "tidegate.io/source-repo": "/srv/shop.git",
                "tidegate.io/source-branch": BRANCH,
                "tidegate.io/source-path": ROLLOUT_FILE,
                "tidegate.io/source-revision": first,
            })
        );
        let again = step(&repository, &mut applier, Some(&first)).await.unwrap();
        assert!(again.is_none(), "nothing is new");

        // A weight that was shifted meanwhile is not reset by a commit about something else.
        let route = || api.store().get(ROUTES, "shop", "checkout").unwrap();
        let gvk = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "httproutes");
        let routes: Api<DynamicObject> = Api::namespaced_with(client, "shop", &resource);
        let mut rules = route()["spec"]["rules"].clone();
        rules[0]["backendRefs"][1]["weight"] = json!(20);
        let shift = Patch::Merge(json!({"spec": {"rules": rules}}));
        routes
            .patch("checkout", &PatchParams::default(), &shift)
            .await
            .unwrap();
        let second = repository
            .change(ROLLOUT_FILE, "v2", |text| text.replace(":v1", ":v2"))
            .await
            .unwrap();
        step(&repository, &mut applier, Some(&first))
            .await
            .unwrap()
            .unwrap();
        let image = rollout()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        assert_eq!(image, "registry.example.com/shop/checkout:v2");
        assert_eq!(image, image_at(&repository, &second).await.unwrap());
        let stamped = &rollout()["metadata"]["annotations"]["tidegate.io/source-revision"];
        assert_eq!(*stamped, second);
        assert_eq!(route()["spec"]["rules"][0]["backendRefs"][1]["weight"], 20);

        let broken = format!("{FOLDER}/network.yaml");
        repository
            .change(&broken, "broken", |text| {
                text.replace("kind: Service", "kind: Servise")
            })
            .await
            .unwrap();
        let error = step(&repository, &mut applier, Some(&second))
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("Servise"), "{error:#}");
    }
}
