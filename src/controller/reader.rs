//! Where facts come from: the caches, or the API server itself. Both answer the same questions, so
//! that `observe` makes the same snapshot from either.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::ListParams;

use super::caches::Caches;
use super::calls::Calls;
use super::error::Error;
use super::neighbours::{DeploymentFacts, RolloutFacts};
use super::object::{Kind, Object};
use crate::traffic::ingress_class::IngressClass;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Pages of a list at most: 20,000 objects of one Rollout, twice its largest size.
const PAGES_MAX: usize = 40;

/// Labels that objects must have.
pub type Labels = BTreeMap<String, String>;

/// Where facts come from.
pub trait Reader: Sync {
    /// One object; `None`: it does not exist.
    fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Arc<Object>>, Error>> + Send;

    /// The objects of a namespace that have all `labels`, in name order.
    fn list(
        &self,
        kind: Kind,
        namespace: &str,
        labels: &Labels,
    ) -> impl Future<Output = Result<Vec<Arc<Object>>, Error>> + Send;

    /// The other Rollouts of a namespace, always from the cache: whether two are in each other's way
    /// is not worth a list of all at every write.
    fn siblings(&self, namespace: &str, name: &str) -> Vec<(String, Arc<RolloutFacts>)>;

    /// Every GatewayClass, always from the cache: what gateways can do changes with their releases.
    fn gateway_classes(&self) -> Vec<Arc<Object>>;

    /// The names of the Deployments of a namespace that are `such`; from the cache, for the same reason.
    fn deployments(&self, namespace: &str, such: &dyn Fn(&DeploymentFacts) -> bool) -> Vec<String>;

    /// What is known of an IngressClass; from the cache, because who may not read them is no worse off.
    fn ingress_class(&self, name: &str) -> IngressClass;
}

/// Reads what the watches have brought. Costs nothing, may be old; it knows no pods.
pub struct CachedReader<'a>(pub &'a Caches);

impl Reader for CachedReader<'_> {
    async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, Error> {
        Ok(self.0.get(kind, namespace, name))
    }

    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        labels: &Labels,
    ) -> Result<Vec<Arc<Object>>, Error> {
        Ok(self.0.list(kind, namespace, labels))
    }

    fn siblings(&self, namespace: &str, name: &str) -> Vec<(String, Arc<RolloutFacts>)> {
        self.0.siblings(namespace, name)
    }

    fn gateway_classes(&self) -> Vec<Arc<Object>> {
        self.0.all(Kind::GatewayClass)
    }

    fn deployments(&self, namespace: &str, such: &dyn Fn(&DeploymentFacts) -> bool) -> Vec<String> {
        self.0.deployments(namespace, such)
    }

    fn ingress_class(&self, name: &str) -> IngressClass {
        self.0.ingress_class(name)
    }
}

/// Asks the API server.
pub struct LiveReader<'a> {
    /// The way to it.
    pub calls: &'a Calls,
    /// For what is beside the Rollout.
    pub caches: &'a Caches,
    /// False: cluster-scoped kinds are not read.
    pub cluster_wide: bool,
}

impl Reader for LiveReader<'_> {
    async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>, Error> {
        if kind.is_cluster_scoped() && !self.cluster_wide {
            return Ok(None);
        }
        let api = kind.api(self.calls.client(), Some(namespace));
        let found = self
            .calls
            .call("get", kind, name, api.get_opt(name))
            .await?;
        Ok(found.map(Arc::new))
    }

    async fn list(
        &self,
        kind: Kind,
        namespace: &str,
        labels: &Labels,
    ) -> Result<Vec<Arc<Object>>, Error> {
        let api = kind.api(self.calls.client(), Some(namespace));
        let selector: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut params = ListParams::default()
            .labels(&selector.join(","))
            .limit(PAGE);
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.calls.call("list", kind, "", api.list(&params)).await?;
            all.extend(page.items.into_iter().map(Arc::new));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => {
                    all.sort_by(|a: &Arc<Object>, b| a.name().cmp(b.name()));
                    return Ok(all);
                }
            }
        }
        Err(Error::Unreadable {
            what: format!("list {kind}s"),
            reason: format!(
                "more than {} objects with {}",
                PAGES_MAX * PAGE as usize,
                selector.join(",")
            ),
        })
    }

    fn siblings(&self, namespace: &str, name: &str) -> Vec<(String, Arc<RolloutFacts>)> {
        self.caches.siblings(namespace, name)
    }

    fn gateway_classes(&self) -> Vec<Arc<Object>> {
        self.caches.all(Kind::GatewayClass)
    }

    fn deployments(&self, namespace: &str, such: &dyn Fn(&DeploymentFacts) -> bool) -> Vec<String> {
        self.caches.deployments(namespace, such)
    }

    fn ingress_class(&self, name: &str) -> IngressClass {
        self.caches.ingress_class(name)
    }
}
