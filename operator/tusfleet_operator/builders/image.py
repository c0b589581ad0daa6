"""Which image gateways and janitors run."""

from __future__ import annotations

from tusfleet_operator.builders._common import Observed
from tusfleet_operator.resource.spec import Spec


def image(spec: Spec, observed: Observed) -> str:
    """What `spec.image` says; what it leaves open is as it was, or as the operator's own version has it.

    An operator that is upgraded so restarts no gateway, unless `updatePolicy` says so.
    """
    keeps = spec.update_policy == "Manual" and observed.running_image
    base = observed.running_image if keeps and observed.running_image else observed.default_image
    repository, version = _split(base)
    if spec.image.digest is not None:
        version = f"@{spec.image.digest}"
    elif spec.image.tag is not None:
        version = f":{spec.image.tag}"
    return f"{spec.image.repository or repository}{version}"


def _split(image: str) -> tuple[str, str]:
    """Name and version of an image; the version with the character before it."""
    name, at, digest = image.partition("@")
    if at:
        return name, f"@{digest}"
    path, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    return f"{path}{slash}{last}", f"{colon}{tag}"
