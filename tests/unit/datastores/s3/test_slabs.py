"""The memory of all uploads: bounded, fair, and never held by who is still against who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tusfleet.datastores.s3.buffer import Buffer
from tusfleet.datastores.s3.checksums import Checksum, checksum
from tusfleet.datastores.s3.slabs import CLIENT_BYTES, KEPT, Holder, Slab, SlabPool
from tusfleet.datastores.s3.tails import TailCache

pytestmark = pytest.mark.anyio

SLAB = 4096


def crc32() -> Checksum:
    kind = checksum("crc32")
    assert kind is not None
    return kind


class Claim:
    """A holder that notes whether it was asked to put its bytes away."""

    def __init__(self, pool: SlabPool) -> None:
        self.asked = 0
        self.holder: Holder = pool.holder(self._ask)
        self.slabs: list[Slab] = []

    def _ask(self) -> None:
        self.asked += 1

    def take(self, count: int = 1) -> Claim:
        slabs = self.holder.take(count)
        assert slabs is not None
        self.slabs += slabs
        return self

    def give(self) -> None:
        slabs, self.slabs = self.slabs, []
        self.holder.give(slabs, buffered=True)


@pytest.fixture
def pool() -> SlabPool:
    return SlabPool(4 * SLAB, SLAB)


@pytest.fixture
def claim(pool: SlabPool) -> Callable[[], Claim]:
    return lambda: Claim(pool)


async def test_no_more_slabs_than_the_memory_has(pool: SlabPool, claim: Callable[[], Claim]) -> None:
    first = claim().take(3)
    assert first.holder.take(2) is None
    first.take(1)
    assert pool.used == 4
    first.give()
    assert pool.used == 0


async def test_slabs_are_used_again(claim: Callable[[], Claim]) -> None:
    first = claim().take(2)
    known = {id(slab) for slab in first.slabs}
    first.give()
    assert {id(slab) for slab in claim().take(2).slabs} == known


async def test_memory_that_nobody_needs_goes_back() -> None:
    pool = SlabPool(1000 * SLAB, SLAB)
    claims = [Claim(pool).take(100) for _ in range(10)]
    for one in claims:
        one.give()
    assert len(pool._free) == KEPT


async def test_whoever_waits_is_served_in_turn(pool: SlabPool, claim: Callable[[], Claim]) -> None:
    owner = claim().take(4)
    first, second = claim(), claim()
    wants = [first.holder.wait(3), second.holder.wait(1)]
    owner.holder.give([owner.slabs.pop()], buffered=True)
    assert not any(want.done() for want in wants), "the second is served before the first"
    assert claim().holder.take(1) is None, "somebody pushes in"
    owner.give()
    assert [len(await want) for want in wants] == [3, 1]
    assert pool.used == 4


async def test_the_one_that_was_still_for_longest_is_asked(claim: Callable[[], Claim]) -> None:
    oldest, middle, newest = claim().take(2), claim().take(1), claim().take(1)
    oldest.holder.active()
    waiting = newest.holder.wait(1)
    assert (oldest.asked, middle.asked, newest.asked) == (0, 1, 0)
    middle.give()
    assert len(await waiting) == 1


async def test_bytes_that_are_on_their_way_are_not_asked_for(claim: Callable[[], Claim]) -> None:
    sending = claim().take(3)
    sending.holder.sent(3)
    still = claim().take(1)
    waiting = claim().holder.wait(1)
    assert (sending.asked, still.asked) == (0, 0), "three are on their way"
    more = claim().holder.wait(3)
    assert (sending.asked, still.asked) == (0, 1)
    sending.holder.give(sending.slabs, buffered=False)
    still.give()
    assert (len(await waiting), len(await more)) == (1, 3)


async def test_as_many_are_asked_as_are_needed(claim: Callable[[], Claim]) -> None:
    first, second, third = claim().take(1), claim().take(1), claim().take(2)
    waiting = claim().holder.wait(2)
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)
    first.give()
    second.give()
    assert len(await waiting) == 2
    assert third.asked == 0


async def test_who_leaves_the_line_holds_nothing(pool: SlabPool, claim: Callable[[], Claim]) -> None:
    owner = claim().take(4)
    impatient, patient = claim(), claim()
    gone, waiting = impatient.holder.wait(2), patient.holder.wait(2)
    owner.holder.give([owner.slabs.pop()], buffered=True)
    impatient.holder.abandon(gone)
    owner.holder.give([owner.slabs.pop()], buffered=True)
    assert len(await waiting) == 2
    served = impatient.holder.wait(1)
    owner.give()
    await asyncio.wait([served])
    impatient.holder.abandon(served)
    assert pool.used == 2
    assert impatient.holder.buffered == 0


async def test_a_buffer_gives_back_what_it_took(pool: SlabPool, claim: Callable[[], Claim]) -> None:
    mine = claim()
    buffer = Buffer(mine.holder, crc32(), SLAB)
    content = bytes(range(256)) * 40
    slabs = mine.holder.take(buffer.slabs_for(len(content)))
    assert slabs is not None
    buffer.grow(slabs)
    assert buffer.write(content) == len(content)
    assert buffer.body().joined() == content
    assert buffer.value == crc32().update(content, 0)
    load = buffer.detach()
    assert load.body.joined() == content
    assert (buffer.size, buffer.empty, mine.holder.buffered) == (0, True, 0)
    assert pool.used == 3
    load.release()
    load.release()
    assert pool.used == 0


async def test_a_buffer_takes_no_more_than_it_has_room_for(claim: Callable[[], Claim]) -> None:
    mine = claim()
    buffer = Buffer(mine.holder, crc32(), SLAB)
    assert buffer.write(b"x") == 0
    slabs = mine.holder.take(1)
    assert slabs is not None
    buffer.grow(slabs)
    assert buffer.write(bytes(SLAB + 5)) == SLAB
    buffer.clear()
    assert mine.holder.buffered == 0


def loaded(pool: SlabPool, content: bytes) -> Buffer:
    """A buffer that has these bytes."""
    buffer = Buffer(Claim(pool).holder, crc32(), SLAB)
    slabs = buffer.holder.take(buffer.slabs_for(len(content)))
    assert slabs is not None
    buffer.grow(slabs)
    buffer.write(content)
    return buffer


async def test_a_tail_is_kept_in_its_slabs_and_comes_back_uncopied(pool: SlabPool) -> None:
    cache = TailCache(pool, 4 * SLAB)
    content = bytes(range(256)) * 20
    buffer = loaded(pool, content)
    slabs = list(buffer._slabs)
    cache.keep("a", buffer)
    assert (buffer.empty, pool.used, pool.kept) == (True, 2, 2)
    other = Buffer(Claim(pool).holder, crc32(), SLAB)
    assert cache.restore("a", other)
    assert not cache.restore("a", other)
    assert (other.body().joined(), other.value, other._slabs) == (content, crc32().update(content, 0), slabs)
    assert (pool.used, pool.kept, other.holder.buffered) == (2, 0, 2)
    other.clear()
    assert pool.used == 0


async def test_tails_that_are_kept_give_way_before_anybody_waits(pool: SlabPool, claim: Callable[[], Claim]) -> None:
    cache = TailCache(pool, 4 * SLAB)
    for key in "abcd":
        cache.keep(key, loaded(pool, b"x"))
    assert (pool.used, pool.kept) == (4, 4)
    claim().take(2)
    assert (pool.used, pool.kept) == (4, 2)
    buffer = Buffer(claim().holder, crc32(), SLAB)
    assert [cache.restore(key, buffer) for key in "ab"] == [False, False], "the oldest goes first"
    assert len(await claim().holder.wait(2)) == 2
    assert pool.kept == 0
    assert not cache.restore("d", buffer)


async def test_no_more_tails_are_kept_than_may_be(pool: SlabPool) -> None:
    cache = TailCache(pool, 2 * SLAB)
    for key in "abc":
        cache.keep(key, loaded(pool, b"x"))
    assert (pool.used, pool.kept) == (2, 2)
    none = TailCache(SlabPool(4 * SLAB, SLAB), 0)
    none.keep("a", loaded(none._pool, b"x"))
    assert none._pool.used == 0


async def test_copies_and_clients_take_room_from_slabs() -> None:
    pool = SlabPool(1000 * SLAB, SLAB)
    assert pool.admit(100 * SLAB)
    assert pool.most == 900
    assert not pool.admit(100 * SLAB), "more than their part"
    for _ in range(10):
        pool.come()
    assert pool.most == 900 - 10 * CLIENT_BYTES // SLAB
    holder = Claim(pool).take(pool.most)
    assert holder.holder.take(1) is None
    assert not pool.admit(SLAB)
    waiting = Claim(pool).holder.wait(1)
    assert not waiting.done()
    pool.leave(100 * SLAB)
    assert waiting.done()
    for _ in range(100_000):
        pool.come()
    assert pool.most == 750, "what is left serves everybody in turn"


async def test_who_has_too_much_since_others_came_is_asked() -> None:
    pool = SlabPool(100 * SLAB, SLAB)
    claims = [Claim(pool).take(10) for _ in range(10)]
    for _ in range(5):
        pool.come()
    waiting = Claim(pool).holder.wait(1)
    assert sum(claim.asked for claim in claims) == 3, "for the one that is missing and 20 too many"
    for claim in claims[:3]:
        claim.give()
    assert waiting.done()
