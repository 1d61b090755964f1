"""Reading a form a browser has sent: small, in time, and of the one type our pages send."""

import asyncio
from urllib.parse import parse_qsl

from aiohttp import web

from plexus_proxy.errors import BadRequest, SlowRequest, TooLarge, UnsupportedMedia

_MAX_BYTES = 16 * 1024
_MAX_FIELDS = 64
_LIMIT_S = 10


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields; the last of several with one name. Raises a ClientFault."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("Send the form as application/x-www-form-urlencoded.")
    body = bytearray()
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise TooLarge(f"A form may have {_MAX_BYTES} bytes.")
    except TimeoutError:
        raise SlowRequest("The form did not arrive in time.") from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise BadRequest("The form cannot be read.") from None
