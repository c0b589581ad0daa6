{{- /* Name of everything; Services are named after it. */ -}}
{{- define "tusfleet.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels by which the pods of a component are selected; the same for ever. Arguments: root, component. */ -}}
{{- define "tusfleet.selector" -}}
app.kubernetes.io/name: {{ eq .component "redis" | ternary "tusfleet-redis" "tusfleet" }}
app.kubernetes.io/instance: {{ include "tusfleet.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* Metadata of an object. Arguments: root, name, component, labels and annotations (the user's, which never win). */ -}}
{{- define "tusfleet.metadata" -}}
{{- $ours := include "tusfleet.selector" . | fromYaml -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $ours = merge $ours (dict "app.kubernetes.io/managed-by" .root.Release.Service "app.kubernetes.io/version" .root.Chart.AppVersion "helm.sh/chart" $chart) -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge $ours (.labels | default dict) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tusfleet.basePath" -}}
{{- (.Values.gateway | default dict).basePath | default "/files" -}}
{{- end -}}

{{- define "tusfleet.image" -}}
{{- $image := .Values.image | default dict -}}
{{- $image.repository | default "ghcr.io/tusfleet/tusfleet" -}}
{{- if $image.digest -}}@{{ $image.digest }}{{- else -}}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "tusfleet.account" -}}
{{- dig "serviceAccount" "name" "" (.Values.template | default dict) | default (include "tusfleet.name" .) -}}
{{- end -}}

{{- /* How many gateways there are at least. */ -}}
{{- define "tusfleet.fewest" -}}
{{- if .Values.autoscaling -}}
{{- dig "minReplicas" 2 .Values.autoscaling -}}
{{- else if hasKey .Values "replicas" -}}
{{- .Values.replicas -}}
{{- else -}}
2
{{- end -}}
{{- end -}}

{{- /* A number as people write it: all those of values are floating-point. */ -}}
{{- define "tusfleet.text" -}}
{{- if not (kindIs "float64" .) -}}
{{- . -}}
{{- else if eq (floor .) . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- /* A whole number of digits, also with zeros in front of it. */ -}}
{{- define "tusfleet.digits" -}}
{{- regexReplaceAll "^0+([0-9])" . "${1}" -}}
{{- end -}}

{{- /* The whole units of a quantity such as 512Mi. */ -}}
{{- define "tusfleet.amount" -}}
{{- $text := include "tusfleet.text" . -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := trimPrefix $number $text -}}
{{- if eq $unit "m" -}}
{{- mulf (float64 $number) 0.001 | int64 -}}
{{- else if contains "." $number -}}
{{- mulf (float64 $number) (get $factors $unit) | int64 -}}
{{- else -}}
{{- mul (include "tusfleet.digits" $number | int64) (get $factors $unit) -}}
{{- end -}}
{{- end -}}

{{- /* The milliseconds of a duration such as 1m30s. */ -}}
{{- define "tusfleet.milliseconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (trimPrefix $number .) -}}
{{- $total = add $total (mul (include "tusfleet.digits" $number | int64) $factor) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{- /* Quantities as texts, as the API server keeps them. */ -}}
{{- define "tusfleet.resources" -}}
{{- range $kind := list "requests" "limits" -}}
{{- with get $ $kind }}
{{ $kind }}:
  {{- range $name, $quantity := . }}
  {{ $name }}: {{ include "tusfleet.text" $quantity | quote }}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Security of a container, which Pod Security `restricted` takes. */ -}}
{{- define "tusfleet.security" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}
