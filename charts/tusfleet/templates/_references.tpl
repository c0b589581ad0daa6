{{- /* What pods read from Secrets and ConfigMaps, as a JSON list under `found`; in the order of the operator's. */ -}}
{{- define "tusfleet.references" -}}
{{- $found := list -}}
{{- $s3 := .Values.storage.s3 -}}
{{- $redis := .Values.redis -}}
{{- with $s3.credentialsSecretRef -}}
{{- $found = append $found (dict "purpose" "s3-access-key-id" "kind" "Secret" "name" .name "key" (.accessKeyIdKey | default "AWS_ACCESS_KEY_ID")) -}}
{{- $found = append $found (dict "purpose" "s3-secret-access-key" "kind" "Secret" "name" .name "key" (.secretAccessKeyKey | default "AWS_SECRET_ACCESS_KEY")) -}}
{{- with .sessionTokenKey -}}
{{- $found = append $found (dict "purpose" "s3-session-token" "kind" "Secret" "name" $s3.credentialsSecretRef.name "key" .) -}}
{{- end -}}
{{- end -}}
{{- $found = concat $found (include "tusfleet.authority" (dict "purpose" "s3-ca" "given" $s3.certificateAuthority) | fromJson).found -}}
{{- with $redis.urlSecretRef -}}
{{- $found = append $found (dict "purpose" "redis-url" "kind" "Secret" "name" .name "key" .key) -}}
{{- end -}}
{{- with $redis.passwordSecretRef -}}
{{- $found = append $found (dict "purpose" "redis-password" "kind" "Secret" "name" .name "key" .key) -}}
{{- end -}}
{{- with ($redis.sentinel | default dict).passwordSecretRef -}}
{{- $found = append $found (dict "purpose" "redis-sentinel-password" "kind" "Secret" "name" .name "key" .key) -}}
{{- end -}}
{{- $tls := $redis.tls | default dict -}}
{{- $found = concat $found (include "tusfleet.authority" (dict "purpose" "redis-ca" "given" $tls.certificateAuthority) | fromJson).found -}}
{{- with $tls.clientCertificateSecretRef -}}
{{- $found = append $found (dict "purpose" "redis-certificate" "kind" "Secret" "name" .name "key" (.certificateKey | default "tls.crt")) -}}
{{- $found = append $found (dict "purpose" "redis-key" "kind" "Secret" "name" .name "key" (.keyKey | default "tls.key")) -}}
{{- end -}}
{{- with .Values.authTokensSecretRef -}}
{{- $found = append $found (dict "purpose" "auth-tokens" "kind" "Secret" "name" .name "key" .key) -}}
{{- end -}}
{{- dict "found" $found | toJson -}}
{{- end -}}

{{- define "tusfleet.authority" -}}
{{- $found := list -}}
{{- $given := .given | default dict -}}
{{- with $given.secretRef -}}
{{- $found = append $found (dict "purpose" $.purpose "kind" "Secret" "name" .name "key" (.key | default "ca.crt")) -}}
{{- end -}}
{{- with $given.configMapRef -}}
{{- $found = append $found (dict "purpose" $.purpose "kind" "ConfigMap" "name" .name "key" (.key | default "ca.crt")) -}}
{{- end -}}
{{- dict "found" $found | toJson -}}
{{- end -}}

{{- /* Variables with the path of a file that is mounted, by what it is for. */ -}}
{{- define "tusfleet.fileVariables" -}}
auth-tokens: TUSFLEET_AUTH_TOKENS_FILE
redis-password: TUSFLEET_REDIS_PASSWORD_FILE
redis-sentinel-password: TUSFLEET_REDIS_SENTINEL_PASSWORD_FILE
redis-ca: TUSFLEET_REDIS_CA_FILE
redis-certificate: TUSFLEET_REDIS_CERTIFICATE_FILE
redis-key: TUSFLEET_REDIS_KEY_FILE
s3-ca: AWS_CA_BUNDLE
{{- end -}}

{{- /* Variables that come out of a Secret, by what they are for. */ -}}
{{- define "tusfleet.secretVariables" -}}
s3-access-key-id: AWS_ACCESS_KEY_ID
s3-secret-access-key: AWS_SECRET_ACCESS_KEY
s3-session-token: AWS_SESSION_TOKEN
redis-url: TUSFLEET_REDIS_URL
{{- end -}}
