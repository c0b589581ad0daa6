"""TusServers as people write them, by name."""

from __future__ import annotations

from typing import Any

from tusfleet_operator.builders import Observed
from tusfleet_operator.resource import TusServer

IMAGE = "registry.example/tusfleet:1.2.3"

S3: dict[str, Any] = {"bucket": "uploads", "endpoint": "http://minio:9000", "credentialsSecretRef": {"name": "minio"}}
REDIS: dict[str, Any] = {"url": "redis://redis:6379/0"}
SMALLEST: dict[str, Any] = {"storage": {"s3": S3}, "redis": REDIS}

SPECS: dict[str, dict[str, Any]] = {
    "smallest": SMALLEST,
    "single": {**SMALLEST, "replicas": 1},
    "production": {
        "storage": {
            "s3": {
                "bucket": "uploads",
                "region": "eu-central-1",
                "keyPrefix": "team-red/",
                "keyTemplate": "{yyyy}/{mm}/{id}",
                "sse": "aws:kms",
                "credentialsSecretRef": {"name": "s3", "sessionTokenKey": "token"},
            }
        },
        "redis": {
            "urlSecretRef": {"name": "redis", "key": "url"},
            "passwordSecretRef": {"name": "redis", "key": "password"},
            "prefix": "red",
        },
        "gateway": {
            "maxSize": "50Gi",
            "expireAfter": "72h",
            "bufferMemory": "1Gi",
            "corsOrigins": ["https://app.example"],
        },
        "autoscaling": {"minReplicas": 3, "maxReplicas": 12, "targetConnections": 2000},
        "janitor": {"replicas": 2},
        "authTokensSecretRef": {"name": "tokens", "key": "tokens"},
        "exposure": {
            "httpRoute": {
                "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
                "hostnames": ["uploads.example.org"],
            }
        },
        "networkPolicy": {
            "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}],
            "metricsFrom": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "prometheus"}}}],
            "egressTo": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}],
        },
        "monitoring": {
            "serviceMonitor": {"interval": "15s", "labels": {"release": "prometheus"}},
            "prometheusRule": {"labels": {"release": "prometheus"}, "alertLabels": {"team": "red"}},
        },
        "drainTimeout": "2m",
    },
    "aws": {
        "storage": {"s3": {"bucket": "uploads", "region": "eu-central-1"}},
        "redis": {"cluster": {"hosts": ["a.example:6379", "b.example:6379"]}, "tls": {}, "username": "tusfleet"},
        "template": {
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/uploads"}}
        },
        "service": {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "externalTrafficPolicy": "Local",
        },
    },
    "sentinel": {
        "storage": {
            "s3": {
                **S3,
                "certificateAuthority": {"configMapRef": {"name": "trust", "key": "ca.crt"}},
                "pathStyle": True,
            }
        },
        "redis": {
            "sentinel": {
                "hosts": ["s1:26379", "s2:26379", "s3:26379"],
                "master": "mymaster",
                "username": "watcher",
                "passwordSecretRef": {"name": "redis", "key": "sentinel"},
            },
            "passwordSecretRef": {"name": "redis", "key": "password"},
            "tls": {
                "certificateAuthority": {"secretRef": {"name": "redis-ca"}},
                "clientCertificateSecretRef": {"name": "redis-client"},
            },
        },
    },
    "dev": {
        "storage": {"s3": S3},
        "redis": {"dev": {}},
        "exposure": {
            "ingress": {
                "className": "traefik",
                "hosts": ["uploads.example.org", "up.example.org"],
                "tlsSecretName": "uploads-tls",
                "annotations": {"example.org/buffering": "off"},
            }
        },
        "networkPolicy": {"egressTo": [{"podSelector": {"matchLabels": {"app": "minio"}}}]},
        "service": {"type": "NodePort", "nodePort": 30080, "port": 8080},
    },
    "template": {
        **SMALLEST,
        "image": {"repository": "registry.example/mirror/tusfleet", "tag": "2.0.0", "pullSecrets": ["registry"]},
        "template": {
            "labels": {"team": "red", "app.kubernetes.io/name": "mine"},
            "annotations": {"example.org/injected": "yes"},
            "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
            "serviceAccount": {"name": "uploader"},
            "nodeSelector": {"disk": "none"},
            "tolerations": [{"key": "uploads", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 1,
                            "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {"team": "red"}},
                            },
                        }
                    ]
                }
            },
            "topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}],
            "priorityClassName": "uploads",
            "env": [
                {"name": "AWS_PROFILE", "value": "red"},
                {"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
                {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "except"}}},
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": "aws-config"}},
                {"name": "keys", "secret": {"secretName": "keys"}},
                {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "claim", "persistentVolumeClaim": {"claimName": "shared"}},
                {"name": "vault", "csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"a": "b"}}},
            ],
            "volumeMounts": [{"name": "config", "mountPath": "/aws", "subPath": "config"}],
        },
    },
    "orphan": {**SMALLEST, "deletionPolicy": "Orphan"},
}


def server(spec: dict[str, Any], *, annotations: dict[str, str] | None = None) -> TusServer:
    """A TusServer with this spec, named uploads."""
    metadata = {
        "name": "uploads",
        "namespace": "apps",
        "uid": "5b6a3f0e-0000-4000-8000-000000000001",
        "generation": 1,
        "annotations": annotations or {},
    }
    return TusServer.read({"metadata": metadata, "spec": spec})


def case(name: str) -> TusServer:
    """A TusServer of `SPECS`."""
    return server(SPECS[name])


OBSERVED = Observed(default_image=IMAGE, secrets="0123456789abcdef")
