"""Posts as a receiver sees them."""

from collections.abc import AsyncIterator

import pytest

from connectors.webhooks import Poster, Webhook, poster, signature
from tests.fakes.webhooks import SECRET, Receiver, receiver

BODY = b'{"alert_id":"a","state":"firing"}'


@pytest.fixture
async def posting() -> AsyncIterator[tuple[Poster, Receiver]]:
    posting = Poster()
    async with receiver() as to:
        yield posting, to
    await posting.close()


def test_the_signature_is_that_of_the_rfc() -> None:
    # RFC 4231, test case 2.
    expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature(b"what do ya want for nothing?", b"Jefe") == expected


async def test_the_body_arrives_as_it_is_signed(posting: tuple[Poster, Receiver]) -> None:
    post, to = posting
    assert await post.post(Webhook(to.url, SECRET, allow_private=True), BODY) is None
    (got,) = to.got
    assert (got.body, got.headers["content-type"], got.is_signed) == (BODY, "application/json", True)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
async def test_anything_but_2xx_is_a_refusal_and_redirects_are_not_followed(
    posting: tuple[Poster, Receiver], status: int
) -> None:
    post, to = posting
    to.answers.append(status)
    assert await post.post(Webhook(to.url, SECRET, allow_private=True), BODY) == f"HTTP {status}"
    assert len(to.got) == 1


async def test_a_receiver_that_says_nothing_is_not_waited_for(
    posting: tuple[Poster, Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poster, "TIMEOUT_S", 0.2)
    post, to = posting
    to.answers.append(0)
    assert await post.post(Webhook(to.url, SECRET, allow_private=True), BODY) == "timeout"


async def test_private_addresses_need_permission(posting: tuple[Poster, Receiver]) -> None:
    post, to = posting
    for url in (to.url, to.url.replace("127.0.0.1", "localhost"), "http://10.0.0.1/hook"):
        assert await post.post(Webhook(url, SECRET), BODY) == "EgressRefusedError"
    assert to.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hook?key=secret",
        "http://user:secret@example.org/",
        "ftp://secret",
        "http://[secret",
        "http://secret..example/",
    ],
)
async def test_neither_address_nor_secret_is_ever_said(url: str) -> None:
    posting = Poster()
    webhook = Webhook(url, "the-secret", allow_private=True)
    refused = await posting.post(webhook, BODY)
    await posting.close()
    assert refused
    assert "secret" not in refused + repr(webhook)
