"""The first request to try: a curl command against the address the page was opened at."""

import re
import shlex

import msgspec
from aiohttp import web
from msgspec import Struct

from plexus_proxy.admin.session import came_by_https
from plexus_proxy.config.store import CONFIG

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_FALLBACK_HOST = "localhost:4000"


class ExampleRequest(Struct, frozen=True):
    base_url: str
    """As far as we know it; plexus.js adds a reverse proxy's prefix."""
    before_url: str
    after_url: str
    key_name: str | None
    """One whose secret may be used; None: the config has none."""


class _Turn(Struct):
    role: str
    content: str


class _Body(Struct):
    model: str
    messages: list[_Turn]


def example_request(request: web.Request) -> ExampleRequest | None:
    """None if the config has no alias to ask for."""
    config = request.app[CONFIG].current.config
    alias = next(iter(config.models), None)
    if alias is None:
        return None
    body = msgspec.json.encode(_Body(alias, [_Turn("user", "Hello!")])).decode()
    host = request.host if _HOST.fullmatch(request.host) else _FALLBACK_HOST
    return ExampleRequest(
        base_url=f"{'https' if came_by_https(request) else 'http'}://{host}",
        before_url="curl ",
        after_url=(
            "/v1/chat/completions \\\n"
            '  -H "Authorization: Bearer $PLEXUS_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  -d {shlex.quote(body)}"
        ),
        key_name=next(iter(config.keys), None),
    )
