from __future__ import annotations

from pathlib import Path

import pytest

from tusfleet.gateway.auth import AccessRequest, BearerTokens, ask, everybody, local_only
from tusfleet.uploads.errors import Forbidden, Unauthorised
from tusfleet.uploads.models import Principal

TOKEN = "correct-horse-battery"
OTHER = "another-token-of-mine"


def asking(authorization: str | None = None, client: str = "127.0.0.1", **fields: str) -> AccessRequest:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    if authorization is not None:
        headers["authorization"] = authorization
    return AccessRequest("append", "abc", headers, client)


def tokens(path: Path, text: str | bytes) -> BearerTokens:
    file = path / "tokens"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return BearerTokens.from_file(file)


def test_a_known_token_names_its_principal(tmp_path: Path) -> None:
    known = tokens(tmp_path, f"# ours\n\n{TOKEN} name=ci tenant=blue\n  {OTHER}   admin\n")
    assert known(asking(f"Bearer {TOKEN}")) == Principal("ci", "blue", admin=False)
    assert known(asking(f"bearer   {OTHER} ")) == Principal("token 4", None, admin=True)


def test_a_token_without_tenant_sees_everything(tmp_path: Path) -> None:
    assert tokens(tmp_path, TOKEN)(asking(f"Bearer {TOKEN}")).admin
    assert tokens(tmp_path, f"{TOKEN} tenant=a admin")(asking(f"Bearer {TOKEN}")) == Principal(
        "token 1", "a", admin=True
    )


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     f"Bearer {TOKEN} {TOKEN}", "Bearer \u00ff", f"Bearer {TOKEN.upper()}"],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path: Path, given: str | None) -> None:
    with pytest.raises(Unauthorised):
        tokens(tmp_path, TOKEN)(asking(given))


def test_a_token_may_be_of_any_script(tmp_path: Path) -> None:
    token = "schlüssel-zum-haus-é"
    on_the_wire = token.encode().decode("latin-1")
    assert tokens(tmp_path, token)(asking(f"Bearer {on_the_wire}")).name == "token 1"


def test_a_byte_order_mark_is_no_part_of_the_first_token(tmp_path: Path) -> None:
    assert tokens(tmp_path, b"\xef\xbb\xbf" + TOKEN.encode() + b"\r\n")(asking(f"Bearer {TOKEN}")).name == "token 1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no token"),
        ("# nothing\n", "no token"),
        (f"{TOKEN}\nshort\n", "line 2"),
        (f"{TOKEN}\n{TOKEN}\n", "line 2"),
        (f"{TOKEN} colour=red\n", "line 1"),
        (f"{TOKEN} name=\n", "line 1"),
        (b"\xff\xfe" * 20, "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_without_telling_a_token(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        tokens(tmp_path, text)
    assert "auth_tokens_file" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            BearerTokens.from_file(path)


def test_the_tokens_themselves_are_not_kept(tmp_path: Path) -> None:
    assert TOKEN not in repr(vars(tokens(tmp_path, TOKEN)))


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.9.9", "::1"])
def test_whoever_is_on_this_machine_is_local(client: str) -> None:
    assert local_only(asking(client=client)).admin


@pytest.mark.parametrize("client", ["192.0.2.1", "", "unknown", "2001:db8::1"])
def test_others_are_not_local(client: str) -> None:
    with pytest.raises(Forbidden):
        local_only(asking(client=client))


@pytest.mark.parametrize("field", ["forwarded", "via", "x_forwarded_for", "x_real_ip", "x_forwarded_host"])
def test_a_proxy_on_this_machine_is_not_local(field: str) -> None:
    with pytest.raises(Forbidden):
        local_only(asking(**{field: "x"}))


@pytest.mark.anyio
async def test_authorisers_may_be_synchronous_or_not_and_say_nothing() -> None:
    async def slowly(request: AccessRequest) -> Principal | None:
        return Principal(request.action)

    async def nobody(request: AccessRequest) -> Principal | None:
        return None

    assert await ask(everybody, asking()) == Principal(admin=True)
    assert await ask(slowly, asking()) == Principal("append")
    assert await ask(nobody, asking()) == Principal()
    assert await ask(lambda _: None, asking()) == Principal()
