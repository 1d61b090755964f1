"""The door to the pages: who comes in, what happens to writes of other sites and to failures."""

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from plexus_proxy.admin.csrf import is_cross_site_write
from plexus_proxy.admin.headers import PAGE_HEADERS
from plexus_proxy.admin.layout import error_page, is_fragment, redirect, sign_in_address
from plexus_proxy.admin.session import Session, renew_session, session_of
from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import Rejected, Unavailable
from plexus_proxy.errors import PlexusError

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]


def public(handler: Handler) -> Handler:
    """A page for everyone."""

    async def answered(request: web.Request) -> web.Response:
        if is_cross_site_write(request):
            return _refused(request)
        return await _answer(handler, request, signed_in=current_session(request) is not None)

    return answered


def signed_in(handler: Handler) -> Handler:
    """A page for the operator; others are sent to sign in and come back."""

    async def guarded(request: web.Request) -> web.Response:
        if is_cross_site_write(request):
            return _refused(request)
        session = current_session(request)
        if session is None:
            return _sent_to_sign_in(request)
        response = await _answer(handler, request, signed_in=True)
        # Only what a person opened keeps the session, not what the page fetches by itself; and only
        # from the pages' own folder (see session.py).
        if not is_fragment(request) and request.path.count("/") == 2:
            digest = request.app[CONFIG].current.admin_digest
            renew_session(response, request, session, digest, int(time.time()))
        return response

    return guarded


def current_session(request: web.Request) -> Session | None:
    digest = request.app[CONFIG].current.admin_digest
    return session_of(request, digest, int(time.time()))


def _sent_to_sign_in(request: web.Request) -> web.Response:
    if is_fragment(request):
        return web.Response(status=401, headers={**PAGE_HEADERS, "HX-Refresh": "true"})
    return redirect(request, sign_in_address(request))


def _refused(request: web.Request) -> web.Response:
    _log.warning("refused a cross-site %s %s", request.method, request.path)
    message = (
        "The request came from another site. If it did not, the reverse proxy in front of Plexus"
        " must pass the Host header on."
    )
    return error_page(request, 403, "Refused", message, signed_in=False)


async def _answer(handler: Handler, request: web.Request, *, signed_in: bool) -> web.Response:
    try:
        return await handler(request)
    except PlexusError as error:
        title = "Not found" if error.status == 404 else "That did not work"
        return error_page(request, error.status, title, error.message, signed_in=signed_in)
    except Unavailable as error:
        _log.warning("%s %s: %s", request.method, request.path, error)
        message = "The database does not answer. Requests are still served, rows are kept aside."
        return error_page(request, 503, "Database unavailable", message, signed_in=signed_in)
    except Rejected:
        message = "A value in the address cannot be in the database."
        return error_page(request, 400, "That did not work", message, signed_in=signed_in)
    except web.HTTPException:
        raise
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        message = "Something went wrong on our side; the log says what."
        return error_page(request, 500, "Internal error", message, signed_in=signed_in)


async def not_found(request: web.Request) -> web.Response:
    """What no page has taken."""
    known = current_session(request) is not None
    return error_page(request, 404, "Not found", "There is no such page.", signed_in=known)
