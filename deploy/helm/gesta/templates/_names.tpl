{{/* 50 bytes: what is added must fit into the 63 of a DNS label. */}}
{{- define "gesta.fullname" -}}
{{- if contains "gesta" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-gesta" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "gesta.peers" -}}
{{ include "gesta.fullname" . }}-peers
{{- end }}

{{/* The headless service's name, whole: each pod's name stands before it. */}}
{{- define "gesta.domain" -}}
{{ include "gesta.peers" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "gesta.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "gesta.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "gesta.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gesta.selector" -}}
app.kubernetes.io/name: gesta
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{- define "gesta.labels" -}}
{{ include "gesta.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The same for every pod: gesta-0=gesta-0.gesta-peers.…:7090,… */}}
{{- define "gesta.initialMembers" -}}
{{- $members := list -}}
{{- range $i := until (max (int .Values.initialMembers) (int .Values.replicas) | int) -}}
{{- $name := printf "%s-%d" (include "gesta.fullname" $) $i -}}
{{- $members = append $members (printf "%s=%s.%s:7090" $name $name (include "gesta.domain" $)) -}}
{{- end -}}
{{- join "," $members -}}
{{- end }}

{{- define "gesta.discover" -}}
{{- if eq .Values.discovery "srv" -}}
srv:{{ include "gesta.domain" . }}
{{- else if eq .Values.discovery "dns" -}}
dns:{{ include "gesta.domain" . }}:7090
{{- else -}}
kubernetes:app.kubernetes.io/name=gesta,app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=node,port=peer
{{- end -}}
{{- end }}
