{{/* What a schema cannot say: relations between values. Included once, by the data plane. */}}
{{- define "gavel.validate" -}}
{{- include "gavel.validateDrain" . -}}
{{- include "gavel.validateRedis" . -}}
{{- include "gavel.validateTls" . -}}
{{- include "gavel.validateRoutes" . -}}
{{- include "gavel.validateScaling" . -}}
{{- include "gavel.validatePolicies" . -}}
{{- include "gavel.validateConfig" (dict "name" "controlPlane" "plane" .Values.controlPlane "owned" (list "http.listen" "grpc.listen" "grpc.advertise" "cluster.replica_id" "redis.url" "redis.ca_file" "admin.token" "admin.tokens_file" "tls.cert_file" "tls.key_file" "tls.ca_file" "tls.client_ca_file" "tls.http_cert_file" "tls.http_key_file" "tls.http_plain")) -}}
{{- include "gavel.validateConfig" (dict "name" "dataPlane" "plane" .Values.dataPlane "owned" (list "node.id" "node.state_dir" "http.listen" "http.public_url" "http.allowed_origins" "http.trusted_proxies" "http.forwarded_header" "http.proxy_protocol" "relay.listen" "relay.advertise" "control.endpoint" "redis.url" "redis.ca_file" "admin.token" "auth.secret" "auth.secret_file" "shutdown.drain_ms" "shutdown.spread_ms" "shutdown.grace_ms" "tls.cert_file" "tls.key_file" "tls.ca_file" "tls.client_ca_file" "tls.http_cert_file" "tls.http_key_file" "tls.http_plain")) -}}
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
{{- if and $redis.external.url $redis.external.ca.existingSecret (not (hasPrefix "rediss" $redis.external.url)) -}}
{{- fail "redis.external.ca is for a redis.external.url that begins with rediss" -}}
{{- end -}}
{{- if not (or $redis.external.url $redis.external.existingSecret) -}}
{{- fail "redis.mode external needs redis.external.url or redis.external.existingSecret" -}}
{{- end -}}
{{- else if or $redis.external.url $redis.external.existingSecret $redis.external.ca.existingSecret -}}
{{- fail "redis.external is set but redis.mode is bundled: set redis.mode to external" -}}
{{- end -}}
{{- end -}}

{{- define "gavel.validateTls" -}}
{{- $tls := .Values.tls -}}
{{- $secrets := $tls.existingSecret -}}
{{- if and (eq $tls.mode "existingSecret") (not (and $secrets.controlPlane $secrets.dataPlane)) -}}
{{- fail "tls.mode existingSecret needs tls.existingSecret.controlPlane and tls.existingSecret.dataPlane" -}}
{{- end -}}
{{- if and (ne $tls.mode "existingSecret") (or $secrets.controlPlane $secrets.dataPlane) -}}
{{- fail (printf "tls.existingSecret is set but tls.mode is %s: set it to existingSecret" $tls.mode) -}}
{{- end -}}
{{- if and (eq $tls.mode "disabled") $tls.clientCa.existingSecret -}}
{{- fail "tls.clientCa needs tls.mode existingSecret or certManager" -}}
{{- end -}}
{{- if and (eq $tls.mode "certManager") (gt (int (include "gavel.nodesMax" .)) 100) -}}
{{- fail "tls.mode certManager has one certificate name each node, 100 at most: use existingSecret" -}}
{{- end -}}
{{- $public := $tls.public -}}
{{- if and (eq $public.mode "cluster") (eq $tls.mode "disabled") -}}
{{- fail "tls.public.mode cluster shows clients the certificate of tls.mode, which is disabled" -}}
{{- end -}}
{{- if ne (eq $public.mode "existingSecret") (ne "" $public.existingSecret) -}}
{{- fail "tls.public.mode existingSecret and tls.public.existingSecret go together" -}}
{{- end -}}
{{- if and (eq $public.mode "certManager") (not (and $public.certManager.issuerRef $public.certManager.dnsNames)) -}}
{{- fail "tls.public.mode certManager needs tls.public.certManager.issuerRef and dnsNames" -}}
{{- end -}}
{{- end -}}

{{- define "gavel.validateRoutes" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs at least one name in ingress.hosts" -}}
{{- end -}}
{{- range $kind := list "httpRoute" "grpcRoute" -}}
{{- with index $.Values.gateway $kind -}}
{{- if and .enabled (not .parentRefs) -}}
{{- fail (printf "gateway.%s.enabled needs a Gateway in gateway.%s.parentRefs" $kind $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.dataPlane.exposure -}}
{{- $single := or (contains "{pod}" .publicUrl) (contains "{ordinal}" .publicUrl) -}}
{{- if ne (eq .mode "perPod") $single -}}
{{- fail "dataPlane.exposure.mode perPod and {pod} or {ordinal} in dataPlane.exposure.publicUrl go together" -}}
{{- end -}}
{{- end -}}
{{- with .Values.dataPlane.http -}}
{{- if and (ne .proxyProtocol "off") (not .trustedProxies) -}}
{{- fail "dataPlane.http.proxyProtocol is for the connections of dataPlane.http.trustedProxies, and there are none" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gavel.validateScaling" -}}
{{- with .Values.dataPlane.autoscaling -}}
{{- if ne .mode "none" -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "dataPlane.autoscaling.minReplicas is %d and above maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if not (or .cpuUtilization .socketsPerNode) -}}
{{- fail "dataPlane.autoscaling needs cpuUtilization or socketsPerNode" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whoever is asked to come in must be let in. */}}
{{- define "gavel.validatePolicies" -}}
{{- with .Values.networkPolicy -}}
{{- if and .enabled $.Values.observability.monitor.enabled (not .metricsFrom) -}}
{{- fail "networkPolicy keeps Prometheus from the control plane: name it in networkPolicy.metricsFrom" -}}
{{- end -}}
{{- $keda := and (eq $.Values.dataPlane.autoscaling.mode "keda") $.Values.dataPlane.autoscaling.socketsPerNode -}}
{{- if and .enabled $keda (not .adminFrom) -}}
{{- fail "networkPolicy keeps KEDA from the control plane: name it in networkPolicy.adminFrom" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings the chart makes itself must not come a second time: one of the two would silently lose. */}}
{{- define "gavel.validateConfig" -}}
{{- $names := list "GAVEL_LOG_FORMAT" "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_TRACES_SAMPLER" "OTEL_TRACES_SAMPLER_ARG" "POD_NAME" "POD_IP" "POD_ORDINAL" -}}
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
