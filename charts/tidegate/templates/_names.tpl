{{/* Names and labels: the controller has the release's own name, the Git writer and the dashboard one derived from it. */}}

{{- define "tidegate.name" -}}
{{- if .Values.nameOverride -}}
{{- .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "tidegate" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tidegate" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.writerName" -}}
{{- include "tidegate.name" . }}-git-writer
{{- end -}}

{{- define "tidegate.controllerAccount" -}}
{{- default (include "tidegate.name" .) .Values.controller.serviceAccount.name -}}
{{- end -}}

{{- define "tidegate.writerAccount" -}}
{{- default (include "tidegate.writerName" .) .Values.gitWriter.serviceAccount.name -}}
{{- end -}}

{{- define "tidegate.dashboardName" -}}
{{- include "tidegate.name" . }}-dashboard
{{- end -}}

{{- define "tidegate.dashboardAccount" -}}
{{- default (include "tidegate.dashboardName" .) .Values.dashboard.serviceAccount.name -}}
{{- end -}}

{{/* Labels of every object. Call with (dict "root" $ "component" "controller"). */}}
{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "tidegate.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that tell the pods of one part of one release from all others. */}}
{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* An image by digest if one is given. Call with (dict "root" $ "image" .Values.controller.image). */}}
{{- define "tidegate.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The namespace of the Role that the rules go into; empty: a ClusterRole. */}}
{{- define "tidegate.roleKind" -}}
{{- if .Values.watchNamespace -}}Role{{- else -}}ClusterRole{{- end -}}
{{- end -}}
