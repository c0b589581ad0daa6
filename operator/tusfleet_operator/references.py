"""What the pods of a TusServer read from Secrets and ConfigMaps: which keys, for what, and where they find them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tusfleet_operator.resource.fields import CertificateAuthority
from tusfleet_operator.resource.spec import Spec

FOLDER = "/etc/tusfleet"
"""Where files of Secrets and ConfigMaps are mounted."""

AUTH_TOKENS = "auth-tokens"
REDIS_URL = "redis-url"
REDIS_PASSWORD = "redis-password"
SENTINEL_PASSWORD = "redis-sentinel-password"
REDIS_CA = "redis-ca"
REDIS_CERTIFICATE = "redis-certificate"
REDIS_KEY = "redis-key"
S3_ACCESS_KEY_ID = "s3-access-key-id"
S3_SECRET_ACCESS_KEY = "s3-secret-access-key"
S3_SESSION_TOKEN = "s3-session-token"
S3_CA = "s3-ca"
ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Reference:
    """One key that pods read.

    Parameters:
        purpose: one of the constants above; but for `ENVIRONMENT` there is one of each.
        kind: Secret or ConfigMap.
        field: the field of the TusServer that names it, for messages.
    """

    purpose: str
    kind: str
    name: str
    key: str
    field: str

    @property
    def path(self) -> str:
        """The file in pods, for those that are mounted."""
        return f"{FOLDER}/{self.purpose}/{self.key}"


def references(spec: Spec) -> list[Reference]:
    """Everything that the pods of a TusServer read, in a fixed order."""
    return [*_of_storage(spec), *_of_redis(spec), *_of_the_rest(spec)]


def by_purpose(spec: Spec) -> dict[str, Reference]:
    """The same by purpose, without the variables that the template adds."""
    return {found.purpose: found for found in references(spec) if found.purpose != ENVIRONMENT}


def _of_storage(spec: Spec) -> Iterator[Reference]:
    s3 = spec.storage.s3
    if (given := s3.credentials_secret_ref) is not None:
        field = "spec.storage.s3.credentialsSecretRef"
        yield Reference(S3_ACCESS_KEY_ID, "Secret", given.name, given.access_key_id_key, field)
        yield Reference(S3_SECRET_ACCESS_KEY, "Secret", given.name, given.secret_access_key_key, field)
        if given.session_token_key is not None:
            yield Reference(S3_SESSION_TOKEN, "Secret", given.name, given.session_token_key, field)
    yield from _authority(S3_CA, s3.certificate_authority, "spec.storage.s3.certificateAuthority")


def _of_redis(spec: Spec) -> Iterator[Reference]:
    redis = spec.redis
    if (url := redis.url_secret_ref) is not None:
        yield Reference(REDIS_URL, "Secret", url.name, url.key, "spec.redis.urlSecretRef")
    if (password := redis.password_secret_ref) is not None:
        yield Reference(REDIS_PASSWORD, "Secret", password.name, password.key, "spec.redis.passwordSecretRef")
    if redis.sentinel is not None and (password := redis.sentinel.password_secret_ref) is not None:
        field = "spec.redis.sentinel.passwordSecretRef"
        yield Reference(SENTINEL_PASSWORD, "Secret", password.name, password.key, field)
    if (tls := redis.tls) is not None:
        yield from _authority(REDIS_CA, tls.certificate_authority, "spec.redis.tls.certificateAuthority")
        if (ours := tls.client_certificate_secret_ref) is not None:
            field = "spec.redis.tls.clientCertificateSecretRef"
            yield Reference(REDIS_CERTIFICATE, "Secret", ours.name, ours.certificate_key, field)
            yield Reference(REDIS_KEY, "Secret", ours.name, ours.key_key, field)


def _of_the_rest(spec: Spec) -> Iterator[Reference]:
    if (tokens := spec.auth_tokens_secret_ref) is not None:
        yield Reference(AUTH_TOKENS, "Secret", tokens.name, tokens.key, "spec.authTokensSecretRef")
    for variable in spec.template.env:
        field = f"spec.template.env, variable {variable.name}"
        if (source := variable.value_from) is None:
            continue
        if source.secret_key_ref is not None:
            yield Reference(ENVIRONMENT, "Secret", source.secret_key_ref.name, source.secret_key_ref.key, field)
        if source.config_map_key_ref is not None:
            named = source.config_map_key_ref
            yield Reference(ENVIRONMENT, "ConfigMap", named.name, named.key, field)


def _authority(purpose: str, given: CertificateAuthority | None, field: str) -> Iterator[Reference]:
    if given is not None and (source := given.secret_ref) is not None:
        yield Reference(purpose, "Secret", source.name, source.key, f"{field}.secretRef")
    if given is not None and (source := given.config_map_ref) is not None:
        yield Reference(purpose, "ConfigMap", source.name, source.key, f"{field}.configMapRef")
