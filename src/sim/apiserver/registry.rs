//! The kinds that are served: a table of built-in ones and those that CustomResourceDefinitions
//! add.
//!
//! Only descriptions live here; the store and the verbs ask them. Versions of one kind share one
//! storage, converted by changing `apiVersion` alone, which is what CRDs without a conversion
//! webhook do.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{object, schema::builtin};

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
        for row in BUILTIN {
            registry.add(row.resource());
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
        self.add(resource_from_crd(crd)?);
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

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The resource that a CustomResourceDefinition describes, or what the document lacks.
pub(super) fn resource_from_crd(crd: &Value) -> Result<Resource, String> {
    let name = object::meta(crd, "name");
    let text = |path: &str| {
        object::at_path(crd, path)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("CustomResourceDefinition {name}: {path} is missing"))
    };
    let mut resource = Resource {
        group: text("spec.group")?,
        versions: Vec::new(),
        plural: text("spec.names.plural")?,
        singular: text("spec.names.singular").unwrap_or_default(),
        kind: text("spec.names.kind")?,
        short_names: strings(object::at_path(crd, "spec.names.shortNames")),
        categories: strings(object::at_path(crd, "spec.names.categories")),
        namespaced: text("spec.scope")? == "Namespaced",
        status: false,
        scale: None,
        generation: true,
        builtin: false,
        schemas: BTreeMap::new(),
        columns: BTreeMap::new(),
        selectable: Vec::new(),
    };
    if resource.singular.is_empty() {
        resource.singular = resource.kind.to_lowercase();
    }
    let versions = object::at_path(crd, "spec.versions").and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        let served = version
            .get("served")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let Some(version_name) = version.get("name").and_then(Value::as_str) else {
            continue;
        };
        if served {
            add_version(&mut resource, version_name, version);
        }
    }
    match resource.versions.is_empty() {
        true => Err(format!(
            "CustomResourceDefinition {name}: spec.versions serves no version"
        )),
        false => Ok(resource),
    }
}

fn add_version(resource: &mut Resource, name: &str, version: &Value) {
    let storage = version
        .get("storage")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let at = if storage { 0 } else { resource.versions.len() };
    resource.versions.insert(at, name.to_owned());
    if let Some(schema) = object::at_path(version, "schema.openAPIV3Schema") {
        resource
            .schemas
            .insert(name.to_owned(), Arc::new(schema.clone()));
    }
    let subresources = version.get("subresources").unwrap_or(&Value::Null);
    resource.status |= subresources.get("status").is_some_and(|s| !s.is_null());
    if let Some(scale) = subresources.get("scale") {
        let path = |field: &str| scale.get(field).and_then(Value::as_str).map(str::to_owned);
        resource.scale = Some(ScalePaths {
            spec: path("specReplicasPath").unwrap_or_else(|| ".spec.replicas".to_owned()),
            status: path("statusReplicasPath").unwrap_or_else(|| ".status.replicas".to_owned()),
            selector: path("labelSelectorPath"),
        });
    }
    let columns = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    resource.columns.insert(
        name.to_owned(),
        columns.into_iter().flatten().map(column).collect(),
    );
    let fields = version.get("selectableFields").and_then(Value::as_array);
    for path in fields
        .into_iter()
        .flatten()
        .filter_map(|f| f.get("jsonPath")?.as_str())
    {
        resource
            .selectable
            .push(path.trim_start_matches('.').to_owned());
    }
}

fn column(value: &Value) -> Column {
    let text = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Column {
        name: text("name"),
        kind: text("type"),
        json_path: text("jsonPath"),
        priority: value.get("priority").and_then(Value::as_i64).unwrap_or(0),
        format: text("format"),
        description: text("description"),
    }
}

/// One line of the built-in table.
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static str,
    namespaced: bool,
    status: bool,
    scale: bool,
    generation: bool,
    selectable: &'static str,
}

impl Row {
    fn resource(&self) -> Resource {
        let list = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let in_all = matches!(
            self.plural,
            "pods" | "services" | "replicasets" | "deployments"
        );
        Resource {
            group: self.group.to_owned(),
            versions: vec![self.version.to_owned()],
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            kind: self.kind.to_owned(),
            short_names: list(self.short),
            categories: if in_all {
                vec!["all".to_owned()]
            } else {
                Vec::new()
            },
            namespaced: self.namespaced,
            status: self.status,
            scale: self.scale.then(|| ScalePaths {
                spec: ".spec.replicas".to_owned(),
                status: ".status.replicas".to_owned(),
                selector: Some(".spec.selector".to_owned()),
            }),
            generation: self.generation,
            builtin: true,
            schemas: builtin::reference(self.group, self.version, self.kind)
                .map(|schema| (self.version.to_owned(), Arc::new(schema)))
                .into_iter()
                .collect(),
            columns: BTreeMap::new(),
            selectable: list(self.selectable),
        }
    }
}

/// Flags of a row: `n` namespaced, `s` status, `x` scale, `g` generation.
const fn row(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static str,
    flags: &'static str,
    selectable: &'static str,
) -> Row {
    let flags = flags.as_bytes();
    Row {
        group,
        version,
        plural,
        kind,
        short,
        namespaced: has(flags, b'n'),
        status: has(flags, b's'),
        scale: has(flags, b'x'),
        generation: has(flags, b'g'),
        selectable,
    }
}

const fn has(flags: &[u8], flag: u8) -> bool {
    let mut rest = flags;
    while let [first, tail @ ..] = rest {
        if *first == flag {
            return true;
        }
        rest = tail;
    }
    false
}

const EVENT_FIELDS: &str = "involvedObject.kind involvedObject.namespace involvedObject.name \
     involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion \
     involvedObject.fieldPath reason reportingComponent source type";
const POD_FIELDS: &str = "spec.nodeName spec.restartPolicy spec.schedulerName \
     spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.nominatedNodeName";

/// What a progressive-delivery engine and its tests touch, and what `kubectl` asks for beside it.
const BUILTIN: &[Row] = &[
    row(
        "",
        "v1",
        "namespaces",
        "Namespace",
        "ns",
        "s",
        "status.phase",
    ),
    row("", "v1", "nodes", "Node", "no", "s", "spec.unschedulable"),
    row("", "v1", "pods", "Pod", "po", "nsg", POD_FIELDS),
    row(
        "",
        "v1",
        "services",
        "Service",
        "svc",
        "ns",
        "spec.clusterIP spec.type",
    ),
    row("", "v1", "configmaps", "ConfigMap", "cm", "n", ""),
    row("", "v1", "secrets", "Secret", "", "n", "type"),
    row("", "v1", "serviceaccounts", "ServiceAccount", "sa", "n", ""),
    row("", "v1", "endpoints", "Endpoints", "ep", "n", ""),
    row("", "v1", "events", "Event", "ev", "n", EVENT_FIELDS),
    row(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        "pvc",
        "ns",
        "",
    ),
    row(
        "events.k8s.io",
        "v1",
        "events",
        "Event",
        "ev",
        "n",
        EVENT_FIELDS,
    ),
    row(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        "rs",
        "nsxg",
        "status.replicas",
    ),
    row(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        "deploy",
        "nsxg",
        "",
    ),
    row(
        "apps",
        "v1",
        "statefulsets",
        "StatefulSet",
        "sts",
        "nsxg",
        "",
    ),
    row("apps", "v1", "daemonsets", "DaemonSet", "ds", "nsg", ""),
    row(
        "apps",
        "v1",
        "controllerrevisions",
        "ControllerRevision",
        "",
        "n",
        "",
    ),
    row("batch", "v1", "jobs", "Job", "", "nsg", "status.successful"),
    row("coordination.k8s.io", "v1", "leases", "Lease", "", "n", ""),
    row(
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "EndpointSlice",
        "",
        "ng",
        "",
    ),
    row(
        "networking.k8s.io",
        "v1",
        "ingresses",
        "Ingress",
        "ing",
        "nsg",
        "",
    ),
    row(
        "networking.k8s.io",
        "v1",
        "ingressclasses",
        "IngressClass",
        "",
        "g",
        "",
    ),
    row(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        "netpol",
        "ng",
        "",
    ),
    row(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "hpa",
        "ns",
        "",
    ),
    row(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        "pdb",
        "nsg",
        "",
    ),
    row(
        "rbac.authorization.k8s.io",
        "v1",
        "roles",
        "Role",
        "",
        "n",
        "",
    ),
    row(
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        "RoleBinding",
        "",
        "n",
        "",
    ),
    row(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterroles",
        "ClusterRole",
        "",
        "",
        "",
    ),
    row(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        "",
        "",
        "",
    ),
    row(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "crd crds",
        "sg",
        "",
    ),
];

/// The conditions that say that a CRD is served; clients wait for them after creating one.
pub(super) fn crd_status(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
               "lastTransitionTime": now})
    };
    let stored: Vec<Value> = object::at_path(crd, "spec.versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| v.get("storage").and_then(Value::as_bool).unwrap_or(false))
        .filter_map(|v| v.get("name").cloned())
        .collect();
    json!({
        "acceptedNames": object::at_path(crd, "spec.names").cloned().unwrap_or(Value::Null),
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    })
}
