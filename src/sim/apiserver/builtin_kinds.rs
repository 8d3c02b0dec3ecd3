//! The built-in kinds: what a progressive-delivery engine and its tests touch, and what `kubectl`
//! asks for beside it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    registry::{Resource, ScalePaths},
    schema::builtin,
};

/// All built-in kinds.
pub(super) fn resources() -> impl Iterator<Item = Resource> {
    KINDS.iter().map(Row::resource)
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

#[rustfmt::skip] // A table is read by its columns.
const KINDS: &[Row] = &[
    row("", "v1", "namespaces", "Namespace", "ns", "s", "status.phase"),
    row("", "v1", "nodes", "Node", "no", "s", "spec.unschedulable"),
    row("", "v1", "pods", "Pod", "po", "nsg", POD_FIELDS),
    row("", "v1", "services", "Service", "svc", "ns", "spec.clusterIP spec.type"),
    row("", "v1", "configmaps", "ConfigMap", "cm", "n", ""),
    row("", "v1", "secrets", "Secret", "", "n", "type"),
    row("", "v1", "serviceaccounts", "ServiceAccount", "sa", "n", ""),
    row("", "v1", "endpoints", "Endpoints", "ep", "n", ""),
    row("", "v1", "events", "Event", "ev", "n", EVENT_FIELDS),
    row("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", "ns", ""),
    row("events.k8s.io", "v1", "events", "Event", "ev", "n", EVENT_FIELDS),
    row("apps", "v1", "replicasets", "ReplicaSet", "rs", "nsxg", "status.replicas"),
    row("apps", "v1", "deployments", "Deployment", "deploy", "nsxg", ""),
    row("apps", "v1", "statefulsets", "StatefulSet", "sts", "nsxg", ""),
    row("apps", "v1", "daemonsets", "DaemonSet", "ds", "nsg", ""),
    row("apps", "v1", "controllerrevisions", "ControllerRevision", "", "n", ""),
    row("batch", "v1", "jobs", "Job", "", "nsg", "status.successful"),
    row("coordination.k8s.io", "v1", "leases", "Lease", "", "n", ""),
    row("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "", "ng", ""),
    row("networking.k8s.io", "v1", "ingresses", "Ingress", "ing", "nsg", ""),
    row("networking.k8s.io", "v1", "ingressclasses", "IngressClass", "", "g", ""),
    row("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol", "ng", ""),
    row("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", "ns", ""),
    row("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "nsg", ""),
    row("rbac.authorization.k8s.io", "v1", "roles", "Role", "", "n", ""),
    row("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", "", "n", ""),
    row("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", "", "", ""),
    row("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", "", "", ""),
    row("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", "crd crds", "sg", ""),
];
