from __future__ import annotations

import asyncio

import pytest

from tests.kits.infostore import NOW, pages, record
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.uploads.errors import BadRequest
from tusfleet.uploads.models import Query, State


@pytest.mark.anyio
@pytest.mark.parametrize("cursor", ["", "-1", "1.5", "x", "٣", "1" * 30, str(2**63)])
async def test_a_cursor_that_no_page_gave_is_refused(store: SqliteInfoStore, cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        await store.scan(Query(), cursor=cursor)


PLANNED = [
    Query(),
    Query(states=frozenset({State.OPEN, State.FINISHING, State.FINISHED}), expires_before=NOW),
    Query(states=frozenset({State.TERMINATED}), ended_before=NOW),
    Query(states=frozenset({State.EXPIRED, State.FAILED}), ended_before=NOW),
    Query(states=frozenset({State.FINISHING}), finals=False),
    Query(states=frozenset({State.OPEN, State.FINISHING}), finals=True),
    Query(states=frozenset({State.OPEN}), tenant="x"),
    Query(tenant="x"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("sorted_at_most", [10_000, 3], ids=["few are due", "many are due"])
@pytest.mark.parametrize("query", PLANNED)
async def test_no_scan_reads_the_whole_table(
    store: SqliteInfoStore, query: Query, sorted_at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tusfleet.infostores._queries.SORTED_AT_MOST", sorted_at_most)
    past = NOW.replace(year=1969)
    await asyncio.gather(
        *(
            store.insert(record(f"u{n}", state=state, expires_at=past, ended_at=past))
            for n, state in enumerate([*State] * 3)
        )
    )
    statements: list[str] = []
    store._scanner.set_trace_callback(statements.append)
    await store.scan(query)
    await store.finals_of("a")
    await store.read_many([f"u{n}" for n in range(50)])
    store._scanner.set_trace_callback(None)
    assert len(statements) >= 3
    for statement in statements:
        plan = [row[3] for row in store._scanner.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()]
        walks = [step for step in plan if step.startswith("SCAN")]
        # Only what the statement made itself may be walked: the rows of its page, the list of ids.
        assert all(step.startswith(("SCAN (subquery", "SCAN json_each")) for step in walks), plan
        # When many are due, they are not sorted for every page.
        assert sorted_at_most > 3 or not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), plan
        # The last order number is read off the end of the table.
        assert any("USING" in step or step == "SEARCH uploads" for step in plan), plan


@pytest.mark.anyio
async def test_a_scan_gives_the_same_whether_few_or_many_are_due(
    store: SqliteInfoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [record(f"u{n:02}", expires_at=NOW.replace(second=n * 7 % 60)) for n in range(60)]
    for upload in uploads:
        await store.insert(upload)
    query = Query(expires_before=NOW)
    expected = [upload for upload in uploads if upload.expires_at is not None and upload.expires_at < NOW]
    for most, window in ((10_000, 10_000), (3, 1), (3, 7), (3, 1000)):
        monkeypatch.setattr("tusfleet.infostores._queries.SORTED_AT_MOST", most)
        monkeypatch.setattr("tusfleet.infostores._queries.WINDOW", window)
        assert [upload async for page in pages(store, query, 4) for upload in page] == expected
        assert (await store.scan(query, cursor=str(2**63 - 1))).uploads == ()
