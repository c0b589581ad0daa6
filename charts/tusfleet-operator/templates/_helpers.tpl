{{- /* Name of everything, short enough for names of pods. */ -}}
{{- define "operator.name" -}}
{{- $name := .Values.fullnameOverride | default (eq .Release.Name .Chart.Name | ternary .Release.Name (contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name))) -}}
{{- $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- define "operator.account" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "operator.name" .) "default") -}}
{{- end -}}

{{- /* Labels by which pods are selected; they never change. */ -}}
{{- define "operator.selector" -}}
app.kubernetes.io/name: tusfleet-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* An image: context and the member of the values. */ -}}
{{- define "operator.image" -}}
{{- $version := (not (empty .image.digest)) | ternary (printf "@%s" .image.digest) (printf ":%s" (.image.tag | default .root.Chart.AppVersion)) -}}
{{- .image.repository }}{{ $version -}}
{{- end -}}

{{- /* Security of a container, which Pod Security `restricted` takes. */ -}}
{{- define "operator.security" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "operator.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* What the containers of `helm test` have in common. */ -}}
{{- define "operator.testContainer" -}}
image: {{ include "operator.image" (dict "root" . "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
resources:
  requests:
    cpu: 10m
    memory: 64Mi
  limits:
    memory: 256Mi
securityContext:
  {{- include "operator.security" . | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end -}}
