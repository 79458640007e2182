{{/* The environment wins over the file of settings. */}}
{{- define "gesta.env" -}}
- name: GESTA_NODE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: GESTA_CONFIG
  value: /etc/gesta/gesta.yaml
- name: GESTA_PEER_LISTEN
  value: :7090
- name: GESTA_PEER_ADVERTISE
  value: $(GESTA_NODE_ID).{{ include "gesta.domain" . }}:7090
- name: GESTA_ADVERTISE
  value: $(GESTA_NODE_ID).{{ include "gesta.domain" . }}:7070
- name: GESTA_HTTP_ADVERTISE
  value: $(GESTA_NODE_ID).{{ include "gesta.domain" . }}:7080
{{- if eq .Values.discovery "none" }}
- name: GESTA_INITIAL_MEMBERS
  value: {{ include "gesta.initialMembers" . }}
{{- else }}
- name: GESTA_DISCOVER
  value: {{ include "gesta.discover" . }}
{{- end }}
- name: GESTA_DRAIN_TIMEOUT
  value: {{ .Values.drainSeconds }}s
{{- with .Values.zoneLabel }}
- name: GESTA_ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['{{ . }}']
{{- end }}
{{- if .Values.tls.secretName }}
- name: GESTA_TLS_CERT
  value: /etc/gesta-tls/tls.crt
- name: GESTA_TLS_KEY
  value: /etc/gesta-tls/tls.key
- name: GESTA_TLS_PEER_CA
  value: /etc/gesta-tls/ca.crt
{{- else }}
- name: GESTA_INSECURE
  value: "true"
{{- end }}
# For `kubectl exec … -- /gesta status`
- name: GESTA_ADDR
  value: $(GESTA_NODE_ID).{{ include "gesta.domain" . }}:7070
{{- if .Values.tls.secretName }}
- name: GESTA_TLS_CA
  value: /etc/gesta-tls/ca.crt
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gesta.probe" -}}
{{- $root := index . 0 -}}
httpGet:
  path: {{ index . 1 }}
  port: http
  {{- if $root.Values.tls.secretName }}
  scheme: HTTPS
  {{- end }}
{{- end }}
