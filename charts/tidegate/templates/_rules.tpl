{{/*
What each process may do, one place for ClusterRole and Role alike. tests/it/chart.rs holds a table
of the same rules: whoever adds a line here adds it there and says why.
*/}}

{{/* The controller, in every namespace that it watches. */}}
{{- define "tidegate.controllerRules" -}}
# The workload and its state. `patch` is for the finalizer and handled commands; the spec stays the
# user's. `finalizers` is asked for where owner references are guarded by an admission plugin.
- apiGroups: [tidegate.io]
  resources: [rollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [tidegate.io]
  resources: [rollouts/status, rollouts/finalizers]
  verbs: [update]
- apiGroups: [tidegate.io]
  resources: [analysistemplates]
  verbs: [get, list, watch]
- apiGroups: [tidegate.io]
  resources: [analysisruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [tidegate.io]
  resources: [analysisruns/status]
  verbs: [update]
# The record of a rejected version. Its status is the Git writer's.
- apiGroups: [tidegate.io]
  resources: [reverts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch, create, patch, delete]
# The Deployment that a Rollout has its template from (workloadRef): of it only the size is written.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
# Services and routes are the user's: only selectors and weights are patched. `create` is for the
# canary Ingress and the route that a Rollout asks Tidegate to own; they go with their owner.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch]
# Only for `restart` and for labels that follow a version's role (stableMetadata, canaryMetadata):
# pods are evicted, so that disruption budgets hold, and never deleted; of a pod only labels and
# annotations are patched.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* The controller, for what lives in no namespace. */}}
{{- define "tidegate.controllerClusterRules" -}}
- apiGroups: [tidegate.io]
  resources: [clusteranalysistemplates, metricsproviders]
  verbs: [get, list, watch]
- apiGroups: [tidegate.io]
  resources: [metricsproviders/status]
  verbs: [update]
# Whether a gateway can copy requests (setMirrorRoute).
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [get, list, watch]
# Whether an Ingress that a Rollout names is ingress-nginx's, before weights are written for it.
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
# Labels of namespaces, for a MetricsProvider's allowedNamespaces.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}

{{/* The Git writer: what was aborted, and what came of it. No workload, no route, no Secret. */}}
{{- define "tidegate.writerRules" -}}
- apiGroups: [tidegate.io]
  resources: [reverts]
  verbs: [get, list, watch]
- apiGroups: [tidegate.io]
  resources: [reverts/status]
  verbs: [patch]
# Whether the cluster runs the stable version again.
- apiGroups: [tidegate.io]
  resources: [rollouts]
  verbs: [get]
# An Event that comes again is counted in the first one.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.gitops.handOver.enabled }}
# What manages a Rollout is asked to follow once its revert has landed: an annotation, and the end of
# an operation that runs without the revert. RBAC cannot name single fields.
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get, patch]
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations]
  verbs: [get, patch]
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [get, patch]
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [gitrepositories]
  verbs: [get, patch]
{{- end }}
{{- end -}}
