{{- /* Rules between fields: those that API servers keep for a TusServer, with the same sentences. */ -}}
{{- define "tusfleet.rules" -}}
{{- $values := .Values -}}
{{- $gateway := $values.gateway | default dict -}}
{{- $redis := $values.redis -}}
{{- $s3 := $values.storage.s3 -}}
{{- $template := $values.template | default dict -}}
{{- $service := $values.service | default dict -}}
{{- include "tusfleet.bounds" . -}}

{{- if and (hasKey $values "replicas") $values.autoscaling -}}
{{- fail "replicas and autoscaling both say how many gateways there are; leave one of them out" -}}
{{- end -}}
{{- with $values.autoscaling -}}
{{- if gt (dig "minReplicas" 2 . | int) (int .maxReplicas) -}}
{{- fail "autoscaling: maxReplicas is at least minReplicas" -}}
{{- end -}}
{{- end -}}

{{- $ways := 0 -}}
{{- range list "url" "urlSecretRef" "sentinel" "cluster" "dev" -}}
{{- if hasKey $redis . -}}{{- $ways = add1 $ways -}}{{- end -}}
{{- end -}}
{{- if ne (int $ways) 1 -}}
{{- fail "redis: name Redis in exactly one way: url, urlSecretRef, sentinel, cluster or dev" -}}
{{- end -}}
{{- if regexMatch "^[^/]+//[^/@]*:[^/@]*@" ($redis.url | default "") -}}
{{- fail "redis: everybody who may read a release may read url: put a URL with a password into a Secret (urlSecretRef), or the password alone (passwordSecretRef)" -}}
{{- end -}}
{{- if and (hasKey $redis "tls") $redis.url (not (hasPrefix "rediss" $redis.url)) -}}
{{- fail "redis: tls goes with a url that begins with rediss://, rediss+sentinel:// or rediss+cluster://" -}}
{{- end -}}
{{- if and (hasKey $redis "tls") (hasKey $redis "dev") -}}
{{- fail "redis: the Redis of dev speaks no TLS; leave tls out" -}}
{{- end -}}
{{- range list $s3 ($redis.tls | default dict) -}}
{{- if hasKey . "certificateAuthority" -}}
{{- $given := .certificateAuthority | default dict -}}
{{- if eq (hasKey $given "secretRef") (hasKey $given "configMapRef") -}}
{{- fail "certificateAuthority: name the certificates by secretRef or by configMapRef" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $s3 "sseKmsKey") (has ($s3.sse | default "AES256") (list "AES256")) -}}
{{- fail "storage.s3: sseKmsKey needs sse: aws:kms or aws:kms:dsse" -}}
{{- end -}}

{{- if and $gateway.corsCredentials (or (not (hasKey $gateway "corsOrigins")) (has "*" $gateway.corsOrigins)) -}}
{{- fail "gateway: corsCredentials cannot go with the origin *; name the origins in corsOrigins" -}}
{{- end -}}
{{- if and (hasKey $gateway "forgetFinishedAfter") (hasKey $gateway "maxStoreSize") -}}
{{- fail "gateway: forgetFinishedAfter and maxStoreSize cannot go together: what is forgotten is still there, and would not count" -}}
{{- end -}}
{{- if and (hasKey $redis "cluster") (hasKey $gateway "maxStoreSize") (ne (dig "shards" 0 $redis | int) 1) -}}
{{- fail "gateway.maxStoreSize needs all totals on one server: on a Redis Cluster set redis.shards to 1" -}}
{{- end -}}
{{- if hasKey $s3 "partSize" -}}
{{- $part := include "tusfleet.amount" $s3.partSize | int64 -}}
{{- if lt (include "tusfleet.amount" (dig "bufferMemory" "256Mi" $gateway) | int64) (mul 2 $part) -}}
{{- fail "gateway.bufferMemory (256Mi without it) holds at least two parts of storage.s3.partSize; raise it too" -}}
{{- end -}}
{{- end -}}
{{- $drain := include "tusfleet.milliseconds" ($values.drainTimeout | default "60s") | int64 -}}
{{- if or (lt $drain 15000) (gt $drain 21600000) -}}
{{- fail "drainTimeout is 15s to 6h" -}}
{{- end -}}

{{- if hasKey $values "exposure" -}}
{{- $exposure := $values.exposure | default dict -}}
{{- if eq (hasKey $exposure "httpRoute") (hasKey $exposure "ingress") -}}
{{- fail "exposure: expose uploads by httpRoute or by ingress; leave exposure out for neither" -}}
{{- end -}}
{{- end -}}
{{- $type := $service.type | default "ClusterIP" -}}
{{- if and (hasKey $service "nodePort") (eq $type "ClusterIP") -}}
{{- fail "service: nodePort needs type: NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (hasKey $service "externalTrafficPolicy") (eq $type "ClusterIP") -}}
{{- fail "service: externalTrafficPolicy needs type: NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (or (hasKey $service "loadBalancerClass") (hasKey $service "loadBalancerSourceRanges")) (ne $type "LoadBalancer") -}}
{{- fail "service: loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer" -}}
{{- end -}}
{{- $policy := $values.networkPolicy | default dict -}}
{{- range concat ($policy.ingressFrom | default list) ($policy.metricsFrom | default list) ($policy.egressTo | default list) -}}
{{- $selects := or (hasKey . "podSelector") (hasKey . "namespaceSelector") -}}
{{- if not (or (hasKey . "ipBlock") $selects) -}}
{{- fail "networkPolicy: name an ipBlock or a selector" -}}
{{- end -}}
{{- if and (hasKey . "ipBlock") $selects -}}
{{- fail "networkPolicy: ipBlock stands alone; make another entry for selectors" -}}
{{- end -}}
{{- end -}}
{{- include "tusfleet.templateRules" $template -}}
{{- end -}}

{{- define "tusfleet.templateRules" -}}
{{- $names := list -}}
{{- range .env -}}
{{- if has .name $names -}}
{{- fail (printf "template.env: Duplicate value: %s" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if hasPrefix "TUSFLEET_" .name -}}
{{- fail "template.env: settings of the gateways are fields of gateway, storage.s3 and redis" -}}
{{- end -}}
{{- if has .name (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" "AWS_CA_BUNDLE") -}}
{{- fail "template.env: credentials and certificates of the storage are fields of storage.s3" -}}
{{- end -}}
{{- if and (hasKey . "value") (hasKey . "valueFrom") -}}
{{- fail (printf "template.env: give value or valueFrom of %s" .name) -}}
{{- end -}}
{{- if hasKey . "valueFrom" -}}
{{- if eq (hasKey .valueFrom "secretKeyRef") (hasKey .valueFrom "configMapKeyRef") -}}
{{- fail (printf "template.env: name secretKeyRef or configMapKeyRef of %s" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names = list -}}
{{- range .volumes -}}
{{- if or (eq .name "tmp") (hasPrefix "tusfleet-" .name) -}}
{{- fail "template.volumes: names tmp and tusfleet-... are the chart's" -}}
{{- end -}}
{{- if has .name $names -}}
{{- fail (printf "template.volumes: Duplicate value: %s" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if ne (len (omit . "name")) 1 -}}
{{- fail "template.volumes: a volume is exactly one of configMap, secret, emptyDir, persistentVolumeClaim and csi" -}}
{{- end -}}
{{- end -}}
{{- range .tolerations -}}
{{- if and (not (hasKey . "key")) (ne (.operator | default "Equal") "Exists") -}}
{{- fail "template.tolerations: a toleration without a key needs operator: Exists" -}}
{{- end -}}
{{- end -}}
{{- $account := .serviceAccount | default dict -}}
{{- if and $account.name $account.annotations -}}
{{- fail "template.serviceAccount: a service account that you name is yours: put the annotations on it yourself" -}}
{{- end -}}
{{- end -}}

{{- /* Settings that are sizes or durations are within their bounds. */ -}}
{{- define "tusfleet.bounds" -}}
{{- $settings := .Files.Get "files/settings.yaml" | fromYaml -}}
{{- range $section, $given := dict "gateway" (.Values.gateway | default dict) "s3" .Values.storage.s3 "redis" .Values.redis -}}
{{- range $name, $about := get $settings $section -}}
{{- if hasKey $given $name -}}
{{- $measure := eq $about.kind "duration" | ternary "tusfleet.milliseconds" "tusfleet.amount" -}}
{{- with $about.least -}}
{{- if lt (include $measure (get $given $name) | int64) (include $measure . | int64) -}}
{{- fail (printf "%s is at least %s" $name .) -}}
{{- end -}}
{{- end -}}
{{- with $about.most -}}
{{- if gt (include $measure (get $given $name) | int64) (include $measure . | int64) -}}
{{- fail (printf "%s is at most %s" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
