//! The kinds that are served: a table of built-in ones and those that CustomResourceDefinitions
//! add.
//!
//! Only descriptions live here; the store and the verbs ask them. Versions of one kind share one
//! storage, converted by changing `apiVersion` alone, which is what CRDs without a conversion
//! webhook do.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{builtin_kinds, crds, schema::builtin};

/// One served resource type.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Served versions, the preferred one first.
    pub versions: Vec<String>,
    /// `replicasets`.
    pub plural: String,
    /// `replicaset`.
    pub singular: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// `rs`.
    pub short_names: Vec<String>,
    /// `all` for one.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether there is a `/status` subresource.
    pub status: bool,
    /// Where `/scale` finds its numbers, when there is one.
    pub scale: Option<ScalePaths>,
    /// Whether the server counts `metadata.generation`.
    pub generation: bool,
    /// Built into the real API server, as opposed to defined by a CRD: decides about strategic
    /// merge patch, unconditional updates and the texts of some errors.
    pub builtin: bool,
    /// OpenAPI schema by version; none means that every field is kept.
    pub schemas: BTreeMap<String, Arc<Value>>,
    /// Columns of `kubectl get` by version.
    pub columns: BTreeMap<String, Vec<Column>>,
    /// Fields besides name and namespace that a field selector may name.
    pub selectable: Vec<String>,
}

/// Paths of the scale subresource, from the CRD or fixed for built-in kinds.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalePaths {
    /// `.spec.replicas`
    pub spec: String,
    /// `.status.replicas`
    pub status: String,
    /// Path of a selector, as text (CRDs) or as a LabelSelector (built-in kinds).
    pub selector: Option<String>,
}

/// A printer column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// OpenAPI type: `string`, `integer`, `date`, …
    pub kind: String,
    /// JSONPath in the object.
    pub json_path: String,
    /// Columns above 0 appear only in `-o wide`.
    pub priority: i64,
    /// OpenAPI format, often empty.
    pub format: String,
    /// Text for people.
    pub description: String,
}

impl Resource {
    /// `replicasets.apps`, `pods`.
    pub fn id(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `apps/v1`, `v1`.
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_str() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// The preferred version.
    pub fn version(&self) -> &str {
        self.versions.first().map(String::as_str).unwrap_or("v1")
    }

    /// Schema of a version.
    pub fn schema(&self, version: &str) -> Option<&Arc<Value>> {
        self.schemas.get(version)
    }

    /// The document that `$ref`s in the schema of a built-in kind point into.
    pub fn definitions(&self) -> Option<&'static Arc<Value>> {
        self.builtin.then(builtin::definitions)
    }

    /// Whether a field selector may name this path.
    pub fn selectable(&self, path: &str) -> bool {
        path == "metadata.name"
            || (path == "metadata.namespace" && self.namespaced)
            || self.selectable.iter().any(|s| s == path)
    }

    /// Whether a PUT to a name that does not exist creates the object
    /// (`AllowCreateOnUpdate` of the real strategies).
    pub fn create_on_update(&self) -> bool {
        matches!(
            self.id().as_str(),
            "services" | "endpoints" | "events" | "leases.coordination.k8s.io"
        )
    }

    /// Whether a PUT without a resourceVersion is taken (`AllowUnconditionalUpdate`).
    pub fn allows_unconditional_update(&self) -> bool {
        self.builtin
            && !matches!(
                self.plural.as_str(),
                "leases" | "poddisruptionbudgets" | "customresourcedefinitions"
            )
    }

    /// The key in etcd, which some error texts show.
    pub fn storage_path(&self, namespace: &str, name: &str) -> String {
        let place = match self.plural.as_str() {
            "services" => "services/specs".to_owned(),
            plural if self.builtin => plural.to_owned(),
            plural => format!("{}/{plural}", self.group),
        };
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("/registry/{place}/{namespace}{slash}{name}")
    }

    /// Whether DELETE answers the object rather than a Status (`ReturnDeletedObject`).
    pub fn returns_deleted(&self) -> bool {
        matches!(self.id().as_str(), "pods" | "services" | "serviceaccounts")
    }
}

/// All served resources, by `plural.group`.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    resources: BTreeMap<String, Arc<Resource>>,
}

impl Registry {
    /// The built-in kinds and the Gateway API's.
    pub fn builtin() -> Self {
        let mut registry = Registry::default();
        for resource in builtin_kinds::resources() {
            registry.add(resource);
        }
        for resource in super::gateway_kinds::resources() {
            registry.add(resource);
        }
        registry
    }

    /// Adds or replaces a resource.
    pub fn add(&mut self, resource: Resource) {
        self.resources.insert(resource.id(), Arc::new(resource));
    }

    /// Adds the kind that a CustomResourceDefinition describes.
    ///
    /// Errors name what the document lacks.
    pub fn add_crd(&mut self, crd: &Value) -> Result<(), String> {
        self.add(crds::resource_from_crd(crd)?);
        Ok(())
    }

    /// Takes a kind away (its CRD was deleted).
    pub fn remove(&mut self, id: &str) {
        self.resources.remove(id);
    }

    /// By `plural.group`.
    pub fn get(&self, id: &str) -> Option<&Arc<Resource>> {
        self.resources.get(id)
    }

    /// By the parts of a URL.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        let found = match group {
            "" => self.resources.get(plural),
            _ => self.resources.get(&format!("{plural}.{group}")),
        }?;
        found.versions.iter().any(|v| v == version).then_some(found)
    }

    /// All of them, ordered by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }
}
