"""Reading a client's request body: bounded in size and in time, and refused before it is read."""

import asyncio

from aiohttp import web

from plexus_proxy.config.model import Limits
from plexus_proxy.errors import BadRequest, SlowRequest, TooLarge, UnsupportedMedia

MIN_RATE_BYTES_PER_S = 1024


async def read_json_body(request: web.Request, limits: Limits) -> bytes:
    """The body, decoded from its content encoding.

    Raises UnsupportedMedia, TooLarge (from Content-Length alone if that says so), SlowRequest.
    """
    content_type = request.content_type
    if "content-type" not in request.headers or not (
        content_type == "application/json" or content_type.endswith("+json")
    ):
        raise UnsupportedMedia(
            "The request body must be sent with the header Content-Type: application/json."
        )
    declared = request.content_length
    if declared is not None and declared > limits.body_bytes:
        raise _too_large(limits)
    content = request.content
    if content.is_eof():  # small bodies arrive together with the head
        try:
            body = content.read_nowait()
        except web.RequestPayloadError as error:
            raise _broken() from error
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
        return body
    return await _read_slowly(request, limits)


async def _read_slowly(request: web.Request, limits: Limits) -> bytes:
    """Time is up when `body_s` have passed and the average rate is below the minimum."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout_at(started + limits.body_s) as scope:
            while chunk := await request.content.readany():
                size += len(chunk)
                if size > limits.body_bytes:
                    raise _too_large(limits)
                chunks.append(chunk)
                scope.reschedule(started + limits.body_s + size / MIN_RATE_BYTES_PER_S)
    except TimeoutError as error:
        raise SlowRequest("The request body did not arrive in time.") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _broken() from error
    return b"".join(chunks)


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"The request body is larger than {limits.body_bytes} bytes.")


def _broken() -> BadRequest:
    return BadRequest("The request body could not be read: it is cut or badly encoded.")
