"""One TusServer as it is read from the API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tusfleet_operator.resource.spec import Spec

GROUP = "tusfleet.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TusServer"
PLURAL = "tusservers"

LONGEST_NAME = 38
"""Characters of a TusServer's name: the longest names made of it, `NAME-gateway-0123456789-abcde`, have 63."""


class InvalidServer(ValueError):
    """The spec is one that the CRD of this operator refuses; one sentence that names the field."""


@dataclass(frozen=True, slots=True)
class TusServer:
    """What the builders know of a TusServer.

    Parameters:
        uid: of the object; children carry it in their owner references.
        generation: grows with every change of the spec.
        annotations: of the object itself.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    annotations: Mapping[str, str]
    spec: Spec

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> TusServer:
        """Take it from an object of the API server, whose rules are kept again: the CRD may be older than we are.

        Raises:
            InvalidServer: the spec cannot be understood.
        """
        metadata = body["metadata"]
        try:
            spec = Spec.model_validate(body.get("spec") or {})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidServer(f"spec.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            annotations=metadata.get("annotations") or {},
            spec=spec,
        )
