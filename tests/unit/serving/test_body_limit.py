"""Bodies that end early or are too large."""

import asyncio

import pytest

from glamm.serving.body_limit import BodyLimit

PART = {"type": "http.request", "body": b"1234", "more_body": True}
END = {"type": "http.request", "body": b"56", "more_body": False}
GONE = {"type": "http.disconnect"}


def serve(*messages: dict, headers: list[tuple[bytes, bytes]] | None = None) -> tuple[list, list]:
    """The bodies that reach the application, and what is sent to the client."""
    waiting, received, sent = iter(messages), [], []

    async def application(scope, receive, send):
        body, is_complete = b"", False
        while not is_complete:
            message = await receive()
            body += message["body"]
            is_complete = not message["more_body"]
        received.append(body)

    async def receive():
        return next(waiting)

    async def send(message):
        sent.append(message)

    limit = BodyLimit(application, max_bytes=8)
    asyncio.run(limit({"type": "http", "headers": headers or []}, receive, send))
    return received, sent


def test_body_within_the_limit_reaches_the_application():
    assert serve(PART, END) == ([b"123456"], [])


@pytest.mark.parametrize("messages", [(GONE,), (PART, GONE)], ids=["at once", "in the middle"])
def test_request_of_a_client_that_is_gone_does_not_reach_the_application(messages):
    assert serve(*messages) == ([], [])


def test_body_over_the_limit_is_refused():
    received, sent = serve(PART, PART, PART)

    assert received == []
    assert sent[0]["status"] == 413
