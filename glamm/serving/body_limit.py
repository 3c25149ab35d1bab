"""Refuses a request body that is too large while it is being received."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 32 * 2**20


class BodyLimit:
    """ASGI middleware that receives the whole body, up to a limit, before it calls the application.

    BentoML itself has no limit and would write hundreds of megabytes to the disk before any check.

    Args:
        app: The application to protect.
        max_bytes: Largest body. A larger one is answered with 413 and not read further.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on with its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if body and body[-1]["type"] == "http.disconnect":
            return  # the client is gone: nobody waits for an answer
        if body is None:
            error = (
                f"the request is larger than {self._max_bytes // 2**20} MiB: send a smaller image"
            )
            refusal = JSONResponse({"error": error}, 413, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> list[Message] | None:
        """All messages of the body, or None as soon as it is too large."""
        if _announced_bytes(scope) > self._max_bytes:
            return None
        messages: list[Message] = []
        total, is_complete = 0, False
        while not is_complete:
            message = await receive()
            messages.append(message)
            total += len(message.get("body", b""))
            if total > self._max_bytes:
                return None
            is_complete = message["type"] == "http.disconnect" or not message.get("more_body")
        return messages


def _announced_bytes(scope: Scope) -> int:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    value = headers.get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replayed() -> Message:
        return next(waiting, None) or await receive()

    return replayed
