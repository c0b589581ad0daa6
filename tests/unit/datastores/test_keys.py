from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusfleet.datastores.keys import KEY_BYTES, SEGMENT_BYTES, KeyTemplate, safe_key
from tusfleet.uploads.models import Metadata, Upload

UPLOAD = Upload(id="abc123", protocol="tus", created_at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC), tenant="acme")
RESERVED = {"con", "prn", "aux", "nul", "com1", "lpt9", "conin$", "conout$"}


def key(template: str, *, tenant: str | None = "acme", reserve: int = 0, **metadata: str | bytes) -> str:
    upload = replace(UPLOAD, metadata=Metadata.of(metadata), tenant=tenant)
    return next(KeyTemplate.parse(template).candidates(upload, reserve))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{id}", "abc123"),
        ("{yyyy}/{mm}/{dd}/{id}", "2026/03/04/abc123"),
        ("{tenant}/{metadata.project}/{filename}", "acme/moon/photo.jpeg"),
        ("in-{yyyy}{mm}/{id}-{filename}", "in-202603/abc123-photo.jpeg"),
        ("{metadata.missing}/{id}.bin", "upload/abc123.bin"),
    ],
)
def test_fields_are_filled_in(template: str, expected: str) -> None:
    assert key(template, filename="photo.jpeg", project="moon") == expected


def test_the_name_of_a_file_may_come_as_name_and_falls_back_to_the_id() -> None:
    assert key("{filename}", name="a.txt") == "a.txt"
    assert key("{filename}", filename="b.txt", name="a.txt") == "b.txt"
    assert key("{filename}") == "abc123"
    assert key("{filename}", filename="") == "abc123"


def test_without_a_tenant_there_is_a_default() -> None:
    assert key("{tenant}/{id}", tenant=None) == "upload/abc123"


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("", "empty"),
        ("/{id}", "empty segment"),
        ("{id}/", "empty segment"),
        ("a//{id}", "empty segment"),
        ("{nosuch}", "is not a field"),
        ("{}", "is not a field"),
        ("{metadata.}", "is not a field"),
        ("{id", "brace"),
        ("id}", "brace"),
        ("{{id}}", "brace"),
        ("../{id}", "no safe name"),
        ("./{id}", "no safe name"),
        ("con/{id}", "no safe name"),
        (".hidden/{id}", "no safe name"),
        ("a\\{id}", "backslash"),
        ("a\0{id}", "cannot be printed"),
        ("/".join(["a"] * 17), "more than 16"),
    ],
)
def test_a_wrong_template_is_refused_in_one_sentence(template: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        KeyTemplate.parse(template)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("../../etc/passwd", "__.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\fakepath\\x.png", "C__fakepath_x.png"),
        (".", "abc123"),
        ("..", "abc123"),
        ("...", "abc123"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("~root", "_root"),
        ("a\0b\nc\x7fd", "a_b_c_d"),
        ("trailing. . ", "trailing"),
        ("  leading", "leading"),
        ("NUL", "_NUL"),
        ("con.txt", "_con.txt"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("COM\u00b9", "_COM\u00b9"),
        ("console.txt", "console.txt"),
        ('a<b>c:"d|e?f*g', "a_b_c__d_e_f_g"),
        ("evil\u202egnp.exe", "evil_gnp.exe"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("\u65e5\u672c\u8a9e.txt", "\u65e5\u672c\u8a9e.txt"),
    ],
)
def test_nasty_names_become_harmless(given: str, expected: str) -> None:
    assert key("{filename}", filename=given) == expected


def test_bytes_that_are_no_text_have_a_replacement() -> None:
    assert key("{filename}", filename=b"a\xff.bin") == "a\ufffd.bin"


def test_a_long_name_is_cut_at_a_character_and_keeps_its_extension() -> None:
    name = key("{filename}", filename="\u00e9" * 300 + ".tar")
    assert name.endswith("\u00e9.tar")
    assert 250 < len(name.encode()) <= SEGMENT_BYTES
    assert len(key("{filename}", filename="x" * 300, reserve=5)) == SEGMENT_BYTES - 5
    assert len(key("{filename}", filename="x" * 300 + "." + "y" * 300)) == SEGMENT_BYTES


def test_an_absurdly_long_name_keeps_its_extension_too() -> None:
    assert key("{filename}", filename="x" * 10_000 + ".mp4").endswith("x.mp4")


def test_a_deep_template_stays_within_the_whole_length() -> None:
    assert len(key("/".join(["{filename}"] * 16), filename="x" * 300)) <= KEY_BYTES


@pytest.mark.parametrize("extension", ["", "." + "y" * 32])
def test_every_candidate_of_a_deep_template_stays_within_it_too(extension: str) -> None:
    upload = replace(UPLOAD, id="i" * 128, metadata=Metadata.of({"filename": "x" * 300 + extension}))
    candidates = list(KeyTemplate.parse("/".join(["{filename}"] * 16)).candidates(upload, 5))
    assert max(map(len, candidates)) <= KEY_BYTES
    assert candidates[-1] == upload.id
    assert len(candidates) == len(set(candidates)) > 10


def test_candidates_are_numbered_before_the_extension_and_end() -> None:
    upload = replace(UPLOAD, metadata=Metadata.of({"filename": "a.tar.gz"}))
    names = list(KeyTemplate.parse("{yyyy}/{filename}").candidates(upload))
    assert names[:3] == ["2026/a.tar.gz", "2026/a.tar (1).gz", "2026/a.tar (2).gz"]
    assert names[-2:] == ["2026/a.tar (abc123).gz", "abc123"]
    assert len(names) == len(set(names)) < 25


NASTY = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="./\\\0~- \u202e\u0301:CONnul\u00b9", max_size=30),
    st.sampled_from(["..", ".", "", "/", "con", "\ud800", "a" * 5000, "\u00e9" * 300 + ".ext", "." * 300]),
)


@given(filename=NASTY, field=NASTY, tenant=st.none() | NASTY, reserve=st.integers(0, 5))
def test_no_value_leads_out_of_the_folder_or_makes_an_illegal_name(
    filename: str, field: str, tenant: str | None, reserve: int
) -> None:
    metadata = Metadata.of({"filename": _encodable(filename), "field": _encodable(field)})
    upload = replace(UPLOAD, metadata=metadata, tenant=tenant)
    template = KeyTemplate.parse("{tenant}/x{metadata.field}y/{metadata.field}/{metadata.field}{filename}")
    root = Path("/store/files")
    for candidate in template.candidates(upload, reserve):
        assert safe_key(candidate)
        assert (root / candidate).is_relative_to(root)
        assert len(candidate.encode()) <= KEY_BYTES
        assert unicodedata.normalize("NFC", candidate) == candidate
        assert len(candidate.rpartition("/")[2].encode()) <= SEGMENT_BYTES - reserve
        for segment in candidate.split("/"):
            _check_segment(segment)


def _check_segment(segment: str) -> None:
    assert 0 < len(segment.encode()) <= SEGMENT_BYTES
    assert segment[0] not in ".-~ "
    assert segment[-1] not in ". "
    assert not set(segment) & set('/\\\0<>:"|?*')
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs"} for character in segment)
    assert segment.split(".")[0].rstrip(" ").lower() not in RESERVED


def _encodable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "a/../b", "..", "a\0"])
def test_a_key_that_leads_elsewhere_is_known(key: str) -> None:
    assert not safe_key(key)
