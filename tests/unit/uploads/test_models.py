from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tusfleet.uploads.models import Concat, ConcatKind, Metadata, Principal, State, Upload, valid_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["a", "0", "A-_z", "f" * 128])
def test_an_id_of_url_safe_letters_is_valid(value: str) -> None:
    assert valid_id(value)


@pytest.mark.parametrize("value", ["", "-a", "_a", "..", "a/b", "a%2e", "a\0", "ä", "f" * 129, "a\n"])
def test_any_other_id_is_not(value: str) -> None:
    assert not valid_id(value)


def test_metadata_keeps_what_was_sent_and_decodes_it_in_order() -> None:
    metadata = Metadata.parse("filename d29ybGQ=,is_confidential,empty ")
    assert metadata.raw == "filename d29ybGQ=,is_confidential,empty "
    assert dict(metadata.values) == {"filename": b"world", "is_confidential": b"", "empty": b""}
    assert metadata.text("filename") == "world"
    assert metadata.text("other") is None


@pytest.mark.parametrize(
    "raw",
    ["", " ", ",", "a,", "a YQ==,a YQ==", "a b c", "a  YQ==", "a !!!", "a YQ", "a YQ===", "ä YQ==", "a\tYQ=="],
)
def test_bad_metadata_is_refused_by_name(raw: str) -> None:
    with pytest.raises(ValueError, match=r"empty|key|base64"):
        Metadata.parse(raw)


def test_metadata_has_bounds() -> None:
    with pytest.raises(ValueError, match="more than 256 keys"):
        Metadata.parse(",".join(f"k{n}" for n in range(257)))
    with pytest.raises(ValueError, match="longer than"):
        Metadata.parse("k " + "A" * 65536)


def test_metadata_can_be_made_of_values() -> None:
    made = Metadata.of({"filename": "grüße.txt", "raw": b"\x00\xff", "flag": None})
    assert made.text("filename") == "grüße.txt"
    assert made.values["raw"] == b"\x00\xff"
    assert made.raw.endswith(",flag")
    assert Metadata.of({}) == Metadata()


def test_only_three_states_are_alive() -> None:
    assert {state for state in State if state.alive} == {State.OPEN, State.FINISHING, State.FINISHED}


def test_the_roles_of_an_upload() -> None:
    plain = Upload("a", "tus", NOW, length=3, offset=3)
    assert plain.complete
    assert not plain.is_partial
    assert not plain.is_final
    assert Upload("b", "tus", NOW, concat=Concat(ConcatKind.PARTIAL, "partial")).is_partial
    assert Upload("c", "tus", NOW, concat=Concat(ConcatKind.FINAL, "final;/files/b", ("b",))).is_final
    assert not Upload("d", "tus", NOW).complete


def test_a_tenant_sees_its_own_uploads_and_those_of_nobody() -> None:
    theirs = Upload("a", "tus", NOW, tenant="red")
    assert Principal(tenant="red").may_see(theirs)
    assert Principal(admin=True).may_see(theirs)
    assert not Principal(tenant="blue").may_see(theirs)
    assert not Principal().may_see(theirs)
    assert Principal(tenant="blue").may_see(Upload("b", "tus", NOW))
