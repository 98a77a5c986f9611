{{/* Name of the chart in labels. */}}
{{- define "gavel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Prefix of every object's name. 40 characters leave room for "-data-plane", an ordinal and the
hash of a StatefulSet's revision in a label of 63, and keep a pod's name a valid node id.
*/}}
{{- define "gavel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "gavel.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gavel.controlPlane" -}}{{ include "gavel.fullname" . }}-control-plane{{- end -}}
{{- define "gavel.controlPlaneReplicas" -}}{{ include "gavel.fullname" . }}-control-plane-replicas{{- end -}}
{{- define "gavel.dataPlane" -}}{{ include "gavel.fullname" . }}-data-plane{{- end -}}
{{- define "gavel.dataPlaneNodes" -}}{{ include "gavel.fullname" . }}-data-plane-nodes{{- end -}}
{{- define "gavel.valkey" -}}{{ include "gavel.fullname" . }}-valkey{{- end -}}
{{- define "gavel.jaeger" -}}{{ include "gavel.fullname" . }}-jaeger{{- end -}}

{{/* What follows a Service's name in its full name. */}}
{{- define "gavel.domain" -}}{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}{{- end -}}

{{/* How URLs begin: of gRPC and of the control plane's HTTP, and of the nodes' HTTP. */}}
{{- define "gavel.scheme" -}}{{ eq .Values.tls.mode "disabled" | ternary "http" "https" }}{{- end -}}
{{- define "gavel.publicScheme" -}}{{ eq .Values.tls.public.mode "plain" | ternary "http" "https" }}{{- end -}}

{{/* Secrets with certificates. */}}
{{- define "gavel.controlPlaneTls" -}}
{{- eq .Values.tls.mode "certManager" | ternary (printf "%s-tls" (include "gavel.controlPlane" .)) .Values.tls.existingSecret.controlPlane -}}
{{- end -}}
{{- define "gavel.dataPlaneTls" -}}
{{- eq .Values.tls.mode "certManager" | ternary (printf "%s-tls" (include "gavel.dataPlane" .)) .Values.tls.existingSecret.dataPlane -}}
{{- end -}}
{{- define "gavel.hasPublicTls" -}}{{ has .Values.tls.public.mode (list "existingSecret" "certManager") | ternary "yes" "" }}{{- end -}}
{{- define "gavel.publicTls" -}}
{{- eq .Values.tls.public.mode "certManager" | ternary (printf "%s-public-tls" (include "gavel.dataPlane" .)) .Values.tls.public.existingSecret -}}
{{- end -}}

{{/* Fewest and most nodes that there may be. */}}
{{- define "gavel.nodesMin" -}}
{{- with .Values.dataPlane }}{{ eq .autoscaling.mode "none" | ternary .replicaCount .autoscaling.minReplicas | int }}{{ end -}}
{{- end -}}
{{- define "gavel.nodesMax" -}}
{{- with .Values.dataPlane }}{{ eq .autoscaling.mode "none" | ternary .replicaCount .autoscaling.maxReplicas | int }}{{ end -}}
{{- end -}}

{{/*
Whether a pod can bid. It cannot where guests are not let in and no users are named, where nodes show browsers a certificate
that names no node, or where they wait for a proxy's header.
*/}}
{{- define "gavel.canTest" -}}
{{- $guests := ne "false" (dig "auth" "guests" "true" .Values.dataPlane.config | toString) -}}
{{- $users := or $guests (ne "" .Values.tests.userTokens.existingSecret) -}}
{{- $plain := and (not (include "gavel.hasPublicTls" .)) (eq .Values.dataPlane.http.proxyProtocol "off") -}}
{{- and .Values.tests.enabled $users $plain | ternary "yes" "" -}}
{{- end -}}

{{/* Where traces go; empty if nowhere. */}}
{{- define "gavel.otlpEndpoint" -}}
{{- with .Values.observability -}}
{{- if .otlp.endpoint -}}
{{ .otlp.endpoint }}
{{- else if .jaeger.enabled -}}
http://{{ include "gavel.jaeger" $ }}.{{ include "gavel.domain" $ }}:4317
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select pods; they can never change. Takes (list $ "component"). */}}
{{- define "gavel.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "gavel.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object. Takes (list $ "component"). */}}
{{- define "gavel.labels" -}}
{{- $root := index . 0 -}}
{{ include "gavel.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gavel
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gavel.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gavel.authSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-auth" (include "gavel.fullname" .)) -}}
{{- end -}}

{{/* Secret and key that hold the Redis URL. */}}
{{- define "gavel.redisSecret" -}}
{{- if eq .Values.redis.mode "bundled" -}}
{{- include "gavel.valkey" . -}}
{{- else -}}
{{- .Values.redis.external.existingSecret | default (printf "%s-redis" (include "gavel.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{- define "gavel.redisSecretKey" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.existingSecret -}}
{{- .Values.redis.external.secretKey -}}
{{- else -}}
redis-url
{{- end -}}
{{- end -}}

{{/*
A `config` value as environment variables: section.key becomes GAVEL_SECTION__KEY.
Numbers reach templates as floats, which would print 1000000 as 1e+06.
*/}}
{{- define "gavel.configData" -}}
{{- range $section, $keys := . -}}
{{- range $key, $value := $keys }}
{{ printf "GAVEL_%s__%s" (upper $section) (upper $key) }}: {{ if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}
