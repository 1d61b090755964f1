"""Static files: read once at start, served from memory, cached by browsers until they change.

Templates name a file through `{{ 'plexus.css'|asset }}`, which adds a hash of its content; a
request with the current hash may be cached for good, any other must ask again.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from plexus_proxy.admin.headers import STATIC_HEADERS

_FOREVER = "public, max-age=31536000, immutable"
_SHIPPED = {".css", ".ico", ".js", ".png", ".svg", ".woff2"}


class Asset(Struct, frozen=True):
    content: bytes
    content_type: str
    version: str


def read_assets(folder: Path) -> dict[str, Asset]:
    """Every file a page can use, by its path below `folder`."""
    return {
        path.relative_to(folder).as_posix(): _read(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _SHIPPED and path.is_file()
    }


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, kind, hashlib.sha256(content).hexdigest()[:16])


class Assets:
    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    def url(self, name: str) -> str:
        """The address of a file, relative to the pages' folder. Raises KeyError."""
        return f"static/{name}?v={self._assets[name].version}"

    async def serve(self, request: web.Request) -> web.Response:
        """GET static/{name}"""
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            return web.Response(status=404, text="Not found.", headers=STATIC_HEADERS)
        tag = f'"{asset.version}"'
        is_current = request.query.get("v") == asset.version
        headers = {
            **STATIC_HEADERS,
            "ETag": tag,
            "Cache-Control": _FOREVER if is_current else "no-cache",
        }
        known = request.if_none_match or ()
        if any(each.value == asset.version for each in known):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=asset.content,
            headers={**headers, "Content-Type": _with_charset(asset.content_type)},
        )


def _with_charset(content_type: str) -> str:
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type
