{{/* The processes' flags, from the values. */}}

{{- define "tidegate.controllerArguments" -}}
- --instance={{ include "tidegate.name" . }}
- --log-format={{ .Values.controller.log.format }}
- --metrics-address=0.0.0.0:8080
- --settle-seconds={{ .Values.controller.settleSeconds }}
- --concurrency={{ .Values.controller.concurrency }}
- --qps={{ .Values.controller.qps }}
- --burst={{ .Values.controller.burst }}
{{- with .Values.watchNamespace }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.clusterName }}
- --cluster-name={{ . }}
{{- end }}
{{- with .Values.prometheusUrl }}
- {{ printf "--prometheus-url=%s" . | quote }}
{{- end }}
{{- include "tidegate.notificationsArgument" . }}
{{- end -}}

{{- define "tidegate.notificationsArgument" }}
{{- if .Values.notifications.existingSecret }}
- --notifications-config=/etc/tidegate/notifications/notifications.yaml
{{- end }}
{{- end -}}

{{- define "tidegate.writerArguments" -}}
{{- $writer := .Values.gitWriter -}}
- --log-format={{ $writer.log.format }}
- --metrics-address=0.0.0.0:8080
- --work-dir=/work
{{- range $writer.allowedRepositories }}
- {{ printf "--allow-repository=%s" . | quote }}
{{- end }}
{{- if $writer.credentials.existingSecret }}
- --credentials-dir=/etc/tidegate/git-credentials
{{- end }}
- {{ printf "--author-name=%s" $writer.author.name | quote }}
- {{ printf "--author-email=%s" $writer.author.email | quote }}
- --git-timeout={{ $writer.gitTimeout }}
- --verify-timeout={{ $writer.verifyTimeout }}
- --max-age={{ $writer.maxAge }}
- --pushes-per-hour={{ $writer.pushesPerHour }}
- --hand-over={{ .Values.gitops.handOver.enabled }}
- --argo-cd-namespace={{ .Values.gitops.handOver.argoCDNamespace }}
{{- range $writer.pullRequests.labels }}
- {{ printf "--request-label=%s" . | quote }}
{{- end }}
{{- if $writer.pullRequests.autoMerge }}
- --auto-merge
{{- end }}
- --concurrency={{ $writer.concurrency }}
- --git-disk-mib={{ $writer.diskMiB }}
{{- include "tidegate.notificationsArgument" . }}
{{- with .Values.watchNamespace }}
- --namespace={{ . }}
{{- end }}
{{- end -}}
