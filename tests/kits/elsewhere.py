"""A locker in another process, used through a proxy that is a `Locker` too.

`python -m tests.kits.elsewhere SOCKET MODULE:FACTORY ARGUMENTS` is that process: the factory makes a locker of the
arguments, JSON, and the socket with that descriptor carries one JSON object a line each way.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

from tusfleet.uploads import errors
from tusfleet.uploads.models import Upload
from tusfleet.uploads.ports import Lease, Locker, Standing

END_SECONDS = 10.0
"""In which the other process has ended once its socket has."""

Message = dict[str, Any]


class DistantLease:
    """A lease that the other process holds."""

    def __init__(self, locker: DistantLocker, id: str, number: int, fence: int, doubt: int | None) -> None:
        self.id = id
        self.fence = fence
        self.doubt = doubt
        self.lost = False
        self.upload: Upload | None = None
        self._locker = locker
        self._number = number

    def on_request(self, callback: Callable[[], None]) -> None:
        self._locker.callbacks[self._number] = callback
        self._locker.tell({"listen": self._number})

    async def release(self) -> None:
        await self._locker.call("release", lease=self._number)

    def ended(self) -> None:
        self._locker.tell({"do": "ended", "call": 0, "lease": self._number})


class DistantLocker:
    """The proxy; `start` makes the process."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.callbacks: dict[int, Callable[[], None]] = {}
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self._calls: dict[int, asyncio.Future[Message]] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, factory: str, arguments: object, descriptors: Sequence[int] = ()) -> DistantLocker:
        """Start a process with the locker that `factory`, "module:function", makes of `arguments`."""
        near, far = socket.socketpair()
        with far:
            process = _launched(far, factory, arguments, descriptors)
        self = cls(process, *await asyncio.open_connection(sock=near))
        await self.call("hello")
        return self

    async def stop(self) -> None:
        """End the process."""
        self._writer.close()
        await self._writer.wait_closed()
        await self._listening
        await asyncio.to_thread(self.process.wait, END_SECONDS)

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait(END_SECONDS)

    async def acquire(self, id: str, wait: float) -> Lease:
        number = next(self._numbers)
        try:
            answer = await self.call("acquire", number, id=id, wait=wait)
        except asyncio.CancelledError:
            await self.call("cancel", lease=number)
            raise
        return DistantLease(self, id, number, answer["fence"], answer["doubt"])

    async def try_acquire(self, id: str) -> Lease | None:
        number = next(self._numbers)
        answer = await self.call("try_acquire", number, id=id)
        if answer["fence"] is None:
            return None
        return DistantLease(self, id, number, answer["fence"], answer["doubt"])

    async def standing(self, id: str) -> Standing:
        return Standing((await self.call("standing", id=id))["held"])

    async def settle(self, id: str, wait: float) -> None:
        await self.call("settle", id=id, wait=wait)

    def drain(self) -> None:
        self.tell({"do": "drain", "call": 0})

    async def call(self, what: str, number: int | None = None, **values: object) -> Message:
        """Have something done, and give what comes back."""
        number = next(self._numbers) if number is None else number
        self._calls[number] = asyncio.get_running_loop().create_future()
        self.tell({"do": what, "call": number, **values})
        answer = await self._calls[number]
        if "error" in answer:
            raise getattr(errors, answer["error"])
        return answer

    def tell(self, message: Message) -> None:
        """Send a message."""
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            message = json.loads(line)
            if "requested" in message:
                self.callbacks.pop(message["requested"])()
            elif (call := self._calls.pop(message["call"], None)) is not None and not call.done():
                call.set_result(message)


def _launched(
    far: socket.socket, factory: str, arguments: object, descriptors: Sequence[int]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.kits.elsewhere", str(far.fileno()), factory, json.dumps(arguments)]
    return subprocess.Popen(command, pass_fds=[far.fileno(), *descriptors])


class _Far:
    """The other end: carries out what comes, each in a task of its own."""

    def __init__(self, locker: Locker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._locker = locker
        self._reader = reader
        self._writer = writer
        self._leases: dict[int, Lease] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        while line := await self._reader.readline():
            message = json.loads(line)
            if "listen" in message:
                self._listen(message["listen"])
            else:
                self._tasks[message["call"]] = asyncio.create_task(self._carry_out(message))

    def _listen(self, number: int) -> None:
        self._leases[number].on_request(lambda: self._tell({"requested": number}))

    async def _carry_out(self, message: Message) -> None:
        steps: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "acquire": self._acquire,
            "try_acquire": self._try_acquire,
            "release": self._release,
            "ended": self._ended,
            "cancel": self._cancel,
            "standing": self._standing,
            "settle": self._settle,
            "drain": self._drain,
            "hello": self._hello,
        }
        try:
            answer = await steps[message["do"]](message)
        except errors.UploadError as error:
            answer = {"error": type(error).__name__}
        self._tell({"call": message["call"], **answer})

    async def _acquire(self, message: Message) -> Message:
        lease = await self._locker.acquire(message["id"], message["wait"])
        self._leases[message["call"]] = lease
        return {"fence": lease.fence, "doubt": lease.doubt}

    async def _try_acquire(self, message: Message) -> Message:
        lease = await self._locker.try_acquire(message["id"])
        if lease is not None:
            self._leases[message["call"]] = lease
        return {"fence": None} if lease is None else {"fence": lease.fence, "doubt": lease.doubt}

    async def _release(self, message: Message) -> Message:
        await self._leases[message["lease"]].release()
        return {}

    async def _ended(self, message: Message) -> Message:
        self._leases[message["lease"]].ended()
        return {}

    async def _cancel(self, message: Message) -> Message:
        """End the call that asked for a lease, or the lease if it was given in the meantime."""
        task = self._tasks[message["lease"]]
        task.cancel()
        await asyncio.wait([task])
        if message["lease"] in self._leases:
            await self._leases[message["lease"]].release()
        return {}

    async def _standing(self, message: Message) -> Message:
        return {"held": (await self._locker.standing(message["id"])).held}

    async def _settle(self, message: Message) -> Message:
        await self._locker.settle(message["id"], message["wait"])
        return {}

    async def _drain(self, _: Message) -> Message:
        self._locker.drain()
        return {}

    async def _hello(self, _: Message) -> Message:
        return {}

    def _tell(self, message: Message) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")


async def _main(descriptor: int, factory: str, arguments: object) -> None:
    module, _, name = factory.partition(":")
    locker = await getattr(importlib.import_module(module), name)(arguments)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    await _Far(locker, reader, writer).run()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
