{{- define "megatts3.name" -}}
{{- printf "%s-megatts3" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "megatts3.labels" -}}
app.kubernetes.io/name: megatts3
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "megatts3.selector" -}}
app.kubernetes.io/name: megatts3
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "megatts3.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "megatts3.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "megatts3.environment" -}}
- name: REDIS_URL
  {{- if .Values.redis.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: url}}
  {{- else }}
  value: {{ .Values.redis.url | quote }}
  {{- end }}
{{- if .Values.redis.cacheUrl }}
- name: MEGATTS3_CACHE_REDIS_URL
  value: {{ .Values.redis.cacheUrl | quote }}
{{- end }}
{{- if .Values.apiKeysSecret }}
- name: MEGATTS3_API_KEYS
  valueFrom: {secretKeyRef: {name: {{ .Values.apiKeysSecret }}, key: keys}}
{{- end }}
- name: MEGATTS3_LOGGING_FILE
  value: none
- name: MEGATTS3_LOGGING_JSON
  value: "true"
{{- end -}}

{{- define "megatts3.mounts" -}}
- {name: storage, mountPath: /app/storage}
- {name: logs, mountPath: /app/logs}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "megatts3.volumes" -}}
- name: storage
  persistentVolumeClaim:
    claimName: {{ .Values.storage.existingClaim | default (include "megatts3.name" .) }}
- name: logs
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- end -}}
