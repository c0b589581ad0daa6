"""Who somebody is to an API server and how it is reached: what a kubeconfig file says."""

from __future__ import annotations

import json
import ssl
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.netns import NetworkNamespace


@dataclass(frozen=True)
class Access:
    """One user's way to an API server.

    Parameters:
        server: scheme, host and port.
        authority: the certificate to trust.
        user: as the API server knows it (`system:serviceaccount:NAMESPACE:NAME` of a service account).
        token: the bearer token.
        kubeconfig: the file that says all of this, for kubectl, helm and operators.
        network: the namespace in which `server` is; None for this machine's own. In any other it is somebody else's
            address, if anybody's, so that whoever goes there is `within` it.
    """

    server: str
    authority: Path
    user: str
    token: str
    kubeconfig: Path
    network: NetworkNamespace | None = None

    def within(self) -> AbstractContextManager[None]:
        """This thread can reach the server during the block."""
        return self.network.entered() if self.network else nullcontext()

    def tls(self) -> ssl.SSLContext:
        """What an HTTP client has to verify."""
        return ssl.create_default_context(cafile=self.authority)


def write_access(
    kubeconfig: Path,
    server: str,
    authority: Path,
    user: str,
    token: str,
    namespace: str = "default",
    network: NetworkNamespace | None = None,
) -> Access:
    """Write the kubeconfig file, readable by its owner alone; `namespace` is the one meant when none is named."""
    # A kubeconfig is YAML, of which JSON is a part.
    text = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [
                {"name": "testbed", "cluster": {"server": server, "certificate-authority": str(authority)}},
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [
                {"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": namespace}},
            ],
        },
        indent=2,
    )
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(text + "\n", encoding="utf-8")
    return Access(server, authority, user, token, kubeconfig, network)
