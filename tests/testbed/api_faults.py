"""A proxy in front of a Kubernetes API server that records each request and makes faults happen to some.

    with api_proxy(plane, folder) as proxy:
        access = proxy.access(plane.service_account(home, "operator"))   # its kubeconfig leads through the proxy
        proxy.rule("patch", CONFLICT, path="/deployments/", at=2)        # the second of them meets a 409
        proxy.rule("watch", WatchError(after=3))                         # 410 Gone as an event, after three others
        held = proxy.rule("create", Hold("after"))                       # the server has done it, nobody knows it yet
        with proxy.down(): ...                                           # connections reset, new ones refused
        assert not proxy.writes()                                        # what was asked for, in order

It speaks TLS on both sides, with certificates of the same authority: over plain HTTP, kubectl and helm would keep their
tokens to themselves. Tokens pass through as they are. `exec`, `attach` and `port-forward`, which turn their connection
into something else, do not pass.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections import Counter
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from tests.testbed.api_forwarding import Forwarding, reset
from tests.testbed.api_requests import ApiRequest
from tests.testbed.api_rules import ApiRule, Fault, Where
from tests.testbed.certificates import Certificates
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_access import Access, write_access
from tests.testbed.ports import reserved_port

STOP_SECONDS = 10.0
"""Longest wait for the proxy's thread; it needs milliseconds."""

LAST_SECONDS = 0.02
"""Some turns of the loop."""

BODY_BYTES = 64 * 1024 * 1024
"""Longest body of a request; the API server itself takes 3 MiB."""

_T = TypeVar("_T")


class ApiProxy:
    """The proxy, which runs in a thread of its own; its methods are for the thread of the test."""

    def __init__(self, upstream: Access, port: int, certificates: Certificates, folder: Path) -> None:
        self.port = port
        self._upstream, self._folder = upstream, folder
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificates.certificate, certificates.key)
        self._loop = asyncio.new_event_loop()
        self._forwarding = Forwarding(upstream, self._note)
        self._runner: web.AppRunner
        self._site: web.TCPSite
        self._requests: list[ApiRequest] = []
        self._rules: list[ApiRule] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"https://127.0.0.1:{self.port}"

    def access(self, access: Access) -> Access:
        """The same user's way through the proxy."""
        file = self._folder / f"proxied-{self.port}-{access.kubeconfig.name}"
        namespace = access.user.split(":")[2] if access.user.startswith("system:serviceaccount:") else "default"
        return write_access(file, self.url, self._upstream.authority, access.user, access.token, namespace)

    def rule(
        self,
        verbs: str | Collection[str],
        fault: Fault,
        *,
        path: str = "",
        at: int = 1,
        times: int | None = 1,
        probability: float = 1.0,
        seed: int = 0,
        where: Where | None = None,
    ) -> ApiRule:
        """Have the fault happen to the `at`-th request from now on, and to `times` in a row; None: to every one.

        Requests count that have one of the verbs (RBAC's, or ANY), a path in which the expression `path` is found, and
        what `where` asks for. With a `probability`, each of the `times` meets it only by that chance.
        """
        wanted = {verbs} if isinstance(verbs, str) else verbs
        rule = ApiRule(wanted, re.compile(path), fault, self._loop, at, times, probability, seed, where)
        with self._lock:
            self._rules.append(rule)
        return rule

    def requests(self, *verbs: str, path: str = "") -> list[ApiRequest]:
        """What came by since the start or the last `clear`, in order; all of it, or only these verbs and paths."""
        with self._lock:
            seen = list(self._requests)
        return [one for one in seen if (not verbs or one.verb in verbs) and re.search(path, one.path)]

    def writes(self, *, besides: Collection[str] = ()) -> list[ApiRequest]:
        """What came by that changes something, `besides` these resources (`leases`, `events`)."""
        return [one for one in self.requests() if one.writes and one.resource not in besides]

    def counts(self) -> dict[str, int]:
        """How many requests came by, by verb and resource (`patch deployments`)."""
        return dict(Counter(f"{one.verb} {one.resource or one.path}" for one in self.requests()))

    def clear(self) -> None:
        """Forget what came by, and remove all rules; what they held goes on."""
        with self._lock:
            self._requests.clear()
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.remove()

    def cut_watches(self) -> int:
        """Reset every watch that is open now; gives how many."""

        async def cut() -> int:
            return self._forwarding.reset_streams()

        return self._do(cut())

    @contextmanager
    def down(self) -> Iterator[None]:
        """Every connection is reset, and new ones are refused, during the block."""
        self._do(self._close_door())
        try:
            yield
        finally:
            self._do(self._open_door())

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Connections stay and are accepted, and nothing passes during the block: a partition. Then all goes on."""
        self._forwarding.hush()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._forwarding.speak)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve during the block; at its end, every connection is reset."""
        thread = threading.Thread(target=self._loop.run_forever, name="API proxy", daemon=True)
        thread.start()
        try:
            self._do(self._start())
            yield
        finally:
            self.clear()
            self._do(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(STOP_SECONDS)
            assert not thread.is_alive(), "the API proxy did not end"
            self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._forwarding.handle)
        # A watch whose client has gone is given up; what was to be written goes on in a task of its own.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._forwarding.start()
        await self._open_door()

    async def _stop(self) -> None:
        self._forwarding.speak()
        await self._close_door()
        await self._runner.cleanup()
        await self._forwarding.stop()
        # Transports close their sockets in the next turns of the loop.
        await asyncio.sleep(LAST_SECONDS)

    async def _open_door(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await self._site.start()

    async def _close_door(self) -> None:
        await self._site.stop()
        server = self._runner.server
        assert server is not None
        # Those that wait for a next request too: TLS would say a long good-bye to them.
        for connection in list(server.connections):
            reset(connection.transport)

    def _note(self, request: ApiRequest) -> list[ApiRule]:
        """Record the request; gives the rules whose fault happens to it."""
        with self._lock:
            self._requests.append(request)
            return [rule for rule in self._rules if rule.meets(request)]

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_SECONDS)


@contextmanager
def api_proxy(plane: ControlPlane, folder: Path) -> Iterator[ApiProxy]:
    """A proxy in front of this control plane; kubeconfig files that lead through it go into `folder`."""
    # A port of ours, since a proxy that comes back after `down` has to get it again.
    with reserved_port() as port:
        certificates = plane.authority.issue(f"proxy-{port}", "/CN=proxy", ["IP:127.0.0.1"])
        proxy = ApiProxy(plane.admin, port, certificates, folder)
        with proxy.running():
            yield proxy
