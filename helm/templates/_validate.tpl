{{/* What a schema cannot say: relations between values. Included once, by the data plane. */}}
{{- define "gavel.validate" -}}
{{- include "gavel.validateDrain" . -}}
{{- include "gavel.validateRedis" . -}}
{{- include "gavel.validateConfig" (dict "name" "controlPlane" "plane" .Values.controlPlane "owned" (list "http.listen" "grpc.listen" "grpc.advertise" "cluster.replica_id" "redis.url" "admin.token")) -}}
{{- include "gavel.validateConfig" (dict "name" "dataPlane" "plane" .Values.dataPlane "owned" (list "node.id" "http.listen" "relay.listen" "relay.advertise" "control.endpoint" "redis.url" "admin.token" "auth.secret" "auth.secret_file" "shutdown.drain_ms" "shutdown.spread_ms" "shutdown.grace_ms")) -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs at least one name in ingress.hosts" -}}
{{- end -}}
{{- end -}}

{{- define "gavel.validateDrain" -}}
{{- $drain := .Values.dataPlane.drain -}}
{{- $need := add (int $drain.preStopSleepSeconds) (int $drain.roomsSeconds) (int $drain.spreadSeconds) (int $drain.graceSeconds) -}}
{{- $have := int .Values.dataPlane.terminationGracePeriodSeconds -}}
{{- if le $have (int $need) -}}
{{- fail (printf "dataPlane.terminationGracePeriodSeconds is %d but must exceed the times of drain together (%d): the kubelet would kill nodes that still have rooms or sockets" $have $need) -}}
{{- end -}}
{{- end -}}

{{- define "gavel.validateRedis" -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.mode "external" -}}
{{- if and $redis.external.url $redis.external.existingSecret -}}
{{- fail "redis.external.url and redis.external.existingSecret are both set: choose one" -}}
{{- end -}}
{{- if not (or $redis.external.url $redis.external.existingSecret) -}}
{{- fail "redis.mode external needs redis.external.url or redis.external.existingSecret" -}}
{{- end -}}
{{- else if or $redis.external.url $redis.external.existingSecret -}}
{{- fail "redis.external is set but redis.mode is bundled: set redis.mode to external" -}}
{{- end -}}
{{- end -}}

{{/* Settings the chart makes itself must not come a second time: one of the two would silently lose. */}}
{{- define "gavel.validateConfig" -}}
{{- $names := list "OTEL_EXPORTER_OTLP_ENDPOINT" "POD_NAME" "POD_IP" -}}
{{- range .owned -}}
{{- $names = append $names (printf "GAVEL_%s" (. | replace "." "__" | upper)) -}}
{{- end -}}
{{- range $section, $keys := .plane.config -}}
{{- range $key, $value := $keys -}}
{{- $setting := printf "%s.%s" $section $key -}}
{{- if has $setting $.owned -}}
{{- fail (printf "%s.config sets %s, which the chart makes from its own values (see the table in README.md)" $.name $setting) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .plane.env -}}
{{- if has .name $names -}}
{{- fail (printf "%s.env sets %s, which the chart sets itself or names twice" $.name .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
