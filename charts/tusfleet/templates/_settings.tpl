{{- /* One setting as a variable of the environment. Arguments: kind, value. */ -}}
{{- define "tusfleet.setting" -}}
{{- if eq .kind "size" -}}
{{- /* In bytes: the letters mean other factors there (1G is 10^9 here, 2^30 on the command line). */ -}}
{{- include "tusfleet.amount" .value -}}
{{- else if kindIs "slice" .value -}}
{{- join "," .value -}}
{{- else -}}
{{- include "tusfleet.text" .value -}}
{{- end -}}
{{- end -}}

{{- /* All variables that are not secret, as JSON. */ -}}
{{- define "tusfleet.environment" -}}
{{- $s3 := .Values.storage.s3 -}}
{{- $redis := .Values.redis -}}
{{- /* Two that share one Redis would take each other's uploads for theirs, if that were not wanted. */ -}}
{{- $prefix := printf "tf:%s.%s" .Release.Namespace (include "tusfleet.name" .) -}}
{{- $found := dict "TUSFLEET_S3_BUCKET" $s3.bucket "TUSFLEET_REDIS_PREFIX" $prefix -}}
{{- $settings := .Files.Get "files/settings.yaml" | fromYaml -}}
{{- range $section, $given := dict "gateway" (.Values.gateway | default dict) "s3" $s3 "redis" $redis -}}
{{- range $name, $about := get $settings $section -}}
{{- if hasKey $given $name -}}
{{- $_ := set $found $about.variable (include "tusfleet.setting" (dict "kind" $about.kind "value" (get $given $name))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $files := include "tusfleet.fileVariables" . | fromYaml -}}
{{- range (include "tusfleet.references" . | fromJson).found -}}
{{- if hasKey $files .purpose -}}
{{- $_ := set $found (get $files .purpose) (printf "/etc/tusfleet/%s/%s" .purpose .key) -}}
{{- end -}}
{{- end -}}
{{- /* Five seconds in which it still takes requests while everybody learns that it goes, and five for its end. */ -}}
{{- $grace := div (sub (include "tusfleet.milliseconds" (.Values.drainTimeout | default "60s") | int64) 10000) 1000 -}}
{{- $_ := set $found "TUSFLEET_DRAIN_DELAY" "5s" -}}
{{- $_ := set $found "TUSFLEET_DRAIN_GRACE" (printf "%ds" (max 1 $grace)) -}}
{{- $scheme := hasKey $redis "tls" | ternary "rediss" "redis" -}}
{{- if hasKey $redis "dev" -}}
{{- $_ := set $found "TUSFLEET_REDIS_URL" (printf "redis://%s-redis:6379/0" (include "tusfleet.name" .)) -}}
{{- else if $redis.sentinel -}}
{{- $_ := set $found "TUSFLEET_REDIS_URL" (printf "%s+sentinel://%s/%s/%d" $scheme (join "," $redis.sentinel.hosts) $redis.sentinel.master ($redis.sentinel.database | default 0 | int64)) -}}
{{- with $redis.sentinel.username -}}
{{- $_ := set $found "TUSFLEET_REDIS_SENTINEL_USERNAME" . -}}
{{- end -}}
{{- else if $redis.cluster -}}
{{- $_ := set $found "TUSFLEET_REDIS_URL" (printf "%s+cluster://%s" $scheme (join "," $redis.cluster.hosts)) -}}
{{- else if $redis.url -}}
{{- $_ := set $found "TUSFLEET_REDIS_URL" $redis.url -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Name of the ConfigMap: with a hash of what is in it, since it never changes. */ -}}
{{- define "tusfleet.settingsName" -}}
{{- include "tusfleet.name" . }}-settings-{{ include "tusfleet.environment" . | sha256sum | trunc 10 -}}
{{- end -}}
