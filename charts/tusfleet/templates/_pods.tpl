{{- /* A pod template without what is a component's own. Arguments: root, component, container and pod (texts). */ -}}
{{- define "tusfleet.pod" -}}
{{- $values := .root.Values -}}
{{- $given := $values.template | default dict -}}
{{- $image := $values.image | default dict -}}
metadata:
  labels:
    {{- merge (include "tusfleet.selector" . | fromYaml) ($given.labels | default dict) | toYaml | nindent 4 }}
  {{- with $given.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tusfleet.account" .root }}
  # Workload identity brings a token of its own; nobody here talks to the API server.
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  {{- with $image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $given.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $given.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $given.tolerations }}
  tolerations:
    {{- range . }}
    - {{- merge (dict "operator" (.operator | default "Equal")) . | toYaml | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with $given.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- .pod | nindent 2 }}
  volumes:
    {{- include "tusfleet.volumes" .root | nindent 4 }}
  containers:
    - name: {{ .component }}
      image: {{ include "tusfleet.image" .root }}
      imagePullPolicy: {{ $image.pullPolicy | default "IfNotPresent" }}
      args: [{{ .component }}]
      envFrom:
        - configMapRef:
            name: {{ include "tusfleet.settingsName" .root }}
      {{- with include "tusfleet.variables" .root }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "tusfleet.security" . | nindent 8 }}
      # The sentence with which a process gave up stands in the status of its pod.
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "tusfleet.mounts" .root | nindent 8 }}
      startupProbe:
        {{- include "tusfleet.probe" "/healthz" | nindent 8 }}
        periodSeconds: 1
        timeoutSeconds: 2
        failureThreshold: 60
      # Lives, whatever Redis and the storage do: a restart would help neither of them, and lose connections.
      livenessProbe:
        {{- include "tusfleet.probe" "/healthz" | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      {{- .container | nindent 6 }}
{{- end -}}

{{- define "tusfleet.probe" -}}
httpGet:
  path: {{ . }}
  port: metrics
  scheme: HTTP
{{- end -}}

{{- define "tusfleet.variables" -}}
{{- $found := list -}}
{{- $names := include "tusfleet.secretVariables" . | fromYaml -}}
{{- range (include "tusfleet.references" . | fromJson).found -}}
{{- if hasKey $names .purpose -}}
{{- $reference := dict "name" .name "key" .key -}}
{{- $found = append $found (dict "name" (get $names .purpose) "valueFrom" (dict "secretKeyRef" $reference)) -}}
{{- end -}}
{{- end -}}
{{- range (.Values.template | default dict).env -}}
{{- if .valueFrom -}}
{{- $found = append $found (dict "name" .name "valueFrom" .valueFrom) -}}
{{- else -}}
{{- $found = append $found (dict "name" .name "value" (.value | default "")) -}}
{{- end -}}
{{- end -}}
{{- with $found -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "tusfleet.volumes" -}}
{{- $found := list (dict "name" "tmp" "emptyDir" (dict "sizeLimit" "64Mi")) -}}
{{- $files := include "tusfleet.fileVariables" . | fromYaml -}}
{{- range (include "tusfleet.references" . | fromJson).found -}}
{{- if hasKey $files .purpose -}}
{{- /* 0444: readable for whichever user the image or the cluster chooses, in a pod that has no other. */ -}}
{{- $source := dict "items" (list (dict "key" .key "path" .key)) "defaultMode" 292 -}}
{{- if eq .kind "Secret" -}}
{{- $found = append $found (dict "name" (printf "tusfleet-%s" .purpose) "secret" (set $source "secretName" .name)) -}}
{{- else -}}
{{- $found = append $found (dict "name" (printf "tusfleet-%s" .purpose) "configMap" (set $source "name" .name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (.Values.template | default dict).volumes -}}
{{- $volume := deepCopy . -}}
{{- with .persistentVolumeClaim -}}
{{- $_ := set $volume "persistentVolumeClaim" (merge (deepCopy .) (dict "readOnly" true)) -}}
{{- if hasKey . "readOnly" -}}{{- $_ := set $volume.persistentVolumeClaim "readOnly" .readOnly -}}{{- end -}}
{{- end -}}
{{- with .csi -}}
{{- $_ := set $volume "csi" (merge (deepCopy .) (dict "readOnly" true "volumeAttributes" dict)) -}}
{{- if hasKey . "readOnly" -}}{{- $_ := set $volume.csi "readOnly" .readOnly -}}{{- end -}}
{{- end -}}
{{- if hasKey (.emptyDir | default dict) "sizeLimit" -}}
{{- $_ := set $volume "emptyDir" (dict "sizeLimit" (include "tusfleet.text" .emptyDir.sizeLimit)) -}}
{{- end -}}
{{- $found = append $found $volume -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{- define "tusfleet.mounts" -}}
{{- $found := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- $files := include "tusfleet.fileVariables" . | fromYaml -}}
{{- range (include "tusfleet.references" . | fromJson).found -}}
{{- if hasKey $files .purpose -}}
{{- $found = append $found (dict "name" (printf "tusfleet-%s" .purpose) "mountPath" (printf "/etc/tusfleet/%s" .purpose) "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- range (.Values.template | default dict).volumeMounts -}}
{{- $mount := merge (deepCopy .) (dict "readOnly" true) -}}
{{- if hasKey . "readOnly" -}}{{- $_ := set $mount "readOnly" .readOnly -}}{{- end -}}
{{- $found = append $found $mount -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}
