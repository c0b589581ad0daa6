"""Connections to one server. Which of them are idle is the business of its lane."""

from __future__ import annotations

import asyncio

from redis.asyncio import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection

from tusfleet.redis_shards.access import RedisAccess, Target, connection_options


def pool(access: RedisAccess, target: Target, host: str, port: int) -> ConnectionPool:
    """What makes connections to the server at `host` and `port`, or at the socket that `target` names."""
    options = connection_options(access, target)
    if target.path:
        return ConnectionPool(UnixDomainSocketConnection, path=target.path, db=target.database, **options)
    kind = SSLConnection if target.tls else Connection
    return ConnectionPool(kind, host=host, port=port, db=target.database, **options)


class Pooled:
    """Makes connections with the options of a pool.

    Parameters:
        pool: whose options; it keeps none of them.
        timeout: seconds for a connection with its handshake.
    """

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout

    async def connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def drop(self, connection: AbstractConnection) -> None:
        await connection.disconnect(nowait=True)
