{{/*
Head of every pod spec. Service links are off for more than tidiness: a release called "gavel"
would inject GAVEL_..._PORT variables, and Gavel refuses settings it does not know.
Takes (dict "root" $ "plane" values "account" name "user" uid).
*/}}
{{- define "gavel.podSpec" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .plane.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .plane.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .plane.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .plane.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What comes after: how pods spread, and who else is in them. Takes (dict "root" $ "plane" values "component" name). */}}
{{- define "gavel.podExtras" -}}
terminationGracePeriodSeconds: {{ .plane.terminationGracePeriodSeconds }}
topologySpreadConstraints:
  {{- if .plane.topologySpreadConstraints }}
  {{- toYaml .plane.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gavel.selector" (list .root .component) | nindent 8 }}
  {{- end }}
{{- with .plane.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Metadata of a pod. Takes (dict "root" $ "plane" values "component" name). */}}
{{- define "gavel.podMetadata" -}}
labels:
  {{- include "gavel.labels" (list .root .component) | nindent 2 }}
  {{- with .plane.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ toJson .plane.config | sha256sum }}
  {{- with .plane.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where `config` and further variables come from. Takes (dict "name" ConfigMap "plane" values). */}}
{{- define "gavel.envFrom" -}}
{{- if or .plane.config .plane.envFrom -}}
envFrom:
  {{- if .plane.config }}
  - configMapRef:
      name: {{ .name }}
  {{- end }}
  {{- with .plane.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "gavel.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Variables both planes take. */}}
{{- define "gavel.commonEnv" -}}
- name: GAVEL_REDIS__URL
  valueFrom:
    secretKeyRef:
      name: {{ include "gavel.redisSecret" . }}
      key: {{ include "gavel.redisSecretKey" . }}
{{- if .Values.redis.external.ca.existingSecret }}
- name: GAVEL_REDIS__CA_FILE
  value: /etc/gavel/redis-ca/ca.crt
{{- end }}
- name: GAVEL_ADMIN__TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "gavel.authSecret" . }}
      key: {{ .Values.auth.adminTokenKey }}
- name: GAVEL_LOG_FORMAT
  value: {{ .Values.observability.logFormat }}
{{- with include "gavel.otlpEndpoint" . }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- with $.Values.observability.otlp }}
{{- if .sampler }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
{{- end }}
{{- if .samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .samplerArg | quote }}
{{- end }}
{{- if .headers.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .headers.existingSecret }}
      key: {{ .headers.key }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files of TLS between processes. Takes (dict "root" $ "clientCa" directory). */}}
{{- define "gavel.tlsEnv" -}}
- name: GAVEL_TLS__CERT_FILE
  value: /etc/gavel/tls/tls.crt
- name: GAVEL_TLS__KEY_FILE
  value: /etc/gavel/tls/tls.key
- name: GAVEL_TLS__CA_FILE
  value: /etc/gavel/tls/ca.crt
- name: GAVEL_TLS__CLIENT_CA_FILE
  value: {{ .clientCa }}/ca.crt
{{- end -}}

{{/* A volume with keys of a Secret. Takes (dict "name" name "secret" Secret "items" (dict key path)). */}}
{{- define "gavel.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range $key, $path := .items }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end -}}

{{/* The kubelet asks by TLS where the door has it; it checks no certificate. Takes `http` or `https`. */}}
{{- define "gavel.probes" -}}
{{- $door := printf "port: http, scheme: %s" (upper .) -}}
startupProbe:
  httpGet: {path: /livez, {{ $door }}}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, {{ $door }}}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, {{ $door }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}
