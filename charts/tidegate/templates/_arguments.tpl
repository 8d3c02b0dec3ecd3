{{/* The processes' flags, from the values. */}}

{{- define "tidegate.controllerArguments" -}}
- --log-format={{ .Values.controller.log.format }}
{{- with .Values.watchNamespace }}
- --namespace={{ . }}
{{- end }}
{{- end -}}

{{- define "tidegate.writerArguments" -}}
- --log-format={{ .Values.gitWriter.log.format }}
{{- with .Values.watchNamespace }}
- --namespace={{ . }}
{{- end }}
{{- end -}}
