"""What Redis and the way to it may answer, once: whether it is worth another attempt, and what a person is told."""

from __future__ import annotations

import redis.exceptions
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from tusfleet.uploads.errors import StoreFull, Unavailable, UploadError

FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What goes wrong on the way to Redis and in it."""

Failure = RedisError | RedisClusterException | OSError | TimeoutError

# By the first word of the answer: states that end by themselves.
_PASSING = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "MISCONF", "READONLY"})

_SENTENCES = {
    "LOADING": "Redis is starting and reads its data",
    "NOREPLICAS": "Redis refuses changes: it has fewer replicas than min-replicas-to-write asks for",
    "MISCONF": "Redis refuses changes: it cannot save them to its disk",
    "BUSY": "Redis is busy with a script",
    "MASTERDOWN": "Redis is a replica that has lost its master",
    "CLUSTERDOWN": "The Redis Cluster does not serve all of its slots",
    "TRYAGAIN": "The Redis Cluster is moving these keys to another server",
    "READONLY": "Redis is a read-only replica; point redis_url at the master, or use Sentinel or Cluster",
}


_IN_A_SCRIPT = "The user executing the script can't"
"""How Redis 7 begins when a script does what its user may not."""


_REFUSED = ("AuthenticationError", "AuthorizationError", "NoPermissionError")
"""How the client tells of Sentinels that do not let it in: by the names of its errors, within a text."""


class TooFewReplicas(RedisError):
    """A change reached fewer replicas than it must before it is acknowledged."""

    def __init__(self, reached: int, wanted: int) -> None:
        super().__init__(f"The change reached {reached} of {wanted} replicas in time")


def _word(error: BaseException) -> str:
    """The first word of an answer, which is its kind; redis-py keeps it beside the rest where it has a class for it."""
    return getattr(error, "status_code", None) or str(error).partition(" ")[0]


def passing(error: BaseException) -> bool:
    """Whether another attempt may succeed. One that was sent already is answered from the record then."""
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError | OutOfMemoryError):
        return False
    if isinstance(error, AskError):
        return True
    if isinstance(error, ResponseError):
        return _word(error) in _PASSING
    return True


def told(error: BaseException, where: str) -> UploadError:
    """The error that tells of `error`; `where` names the servers."""
    if isinstance(error, OutOfMemoryError):
        return StoreFull("Redis is full (OOM command not allowed): raise its maxmemory, or let uploads expire")
    if isinstance(error, NoPermissionError) or str(error).startswith(_IN_A_SCRIPT):
        return Unavailable(f"{where} does not permit this user what is needed: {error}", lasting=True)
    if isinstance(error, AuthenticationError | AuthorizationError):
        return Unavailable(f"{where} refuses the credentials: {error}", lasting=True)
    if isinstance(error, MasterNotFoundError):
        return Unavailable(f"{where}: {_of_sentinels(str(error))}")
    if isinstance(error, TooFewReplicas):
        return Unavailable(str(error))
    sentence = _SENTENCES.get(_word(error))
    if sentence is not None:
        return Unavailable(sentence)
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return Unavailable(f"{where} does not answer in time")
    return Unavailable(f"{where} cannot be used: {error}", lasting=not passing(error))


def _of_sentinels(text: str) -> str:
    if any(name in text for name in _REFUSED):
        return "the Sentinels refuse the credentials, which are those of redis_sentinel_username and its password"
    return "no Sentinel that can be reached names a master under this name of the service"
