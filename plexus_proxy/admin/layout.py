"""The frame around every page: navigation, templates, and addresses that work under any prefix.

Every address we send is relative to the pages' folder (`/ui/`): a reverse proxy may serve it under
a prefix of its own (`/plexus/ui/`) without telling us. `root_of` says how to get back there. The
part of a page that refreshes is answered at the address of its page, so that the same relative
addresses are right in both.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp_jinja2
import jinja2
from aiohttp import web
from msgspec import Struct

from plexus_proxy.admin.assets import Assets
from plexus_proxy.admin.headers import PAGE_HEADERS

FOLDER = "/ui/"


class Page(Struct, frozen=True):
    """An entry of the navigation."""

    path: str
    """Relative to the pages' folder."""
    title: str


NAVIGATION = (Page("requests", "Requests"),)


def set_up_templates(app: web.Application, loader: jinja2.BaseLoader, assets: Assets) -> None:
    aiohttp_jinja2.setup(
        app,
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        filters={"asset": assets.url},
    )


def path_below(request: web.Request) -> str:
    """The request's path relative to the pages' folder, as the client wrote it."""
    return request.rel_url.raw_path.removeprefix(FOLDER)


def root_of(request: web.Request) -> str:
    """From the request's address back to the pages' folder: `./`, `../`, `../../` …"""
    return "../" * path_below(request).count("/") or "./"


def render(
    request: web.Request,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    signed_in: bool = True,
) -> web.Response:
    """A whole page or a part of one."""
    frame = {
        "root": root_of(request),
        "here": path_below(request).partition("/")[0],
        "navigation": NAVIGATION,
        "signed_in": signed_in,
    }
    text = aiohttp_jinja2.render_string(template, request, {**frame, **context})
    return web.Response(status=status, text=text, content_type="text/html", headers=PAGE_HEADERS)


def redirect(request: web.Request, path: str) -> web.Response:
    """See other: `path` (already quoted) is relative to the pages' folder."""
    return web.Response(status=303, headers={**PAGE_HEADERS, "Location": root_of(request) + path})


def is_fragment(request: web.Request) -> bool:
    """htmx asks for a part of a page."""
    return "HX-Request" in request.headers


def error_page(
    request: web.Request, status: int, title: str, message: str, *, signed_in: bool
) -> web.Response:
    if is_fragment(request):  # never put into the page; plexus.js says that something failed
        return web.Response(status=status, text=message, headers=PAGE_HEADERS)
    context = {"title": title, "message": message, "status": status}
    return render(request, "error.html", context, status=status, signed_in=signed_in)


def sign_in_address(request: web.Request) -> str:
    """Where to sign in and come back from; relative to the pages' folder."""
    if request.method not in ("GET", "HEAD"):
        return "sign-in"
    wanted = path_below(request)
    if request.rel_url.raw_query_string:
        wanted += "?" + request.rel_url.raw_query_string
    return f"sign-in?next={quote(wanted, safe='')}"
