"""Signing in with the admin key, and out again."""

import logging
import math
import re
import time

from aiohttp import web

from plexus_proxy.admin.door import current_session
from plexus_proxy.admin.failures import FailedSignIns
from plexus_proxy.admin.forms import read_form
from plexus_proxy.admin.layout import NAVIGATION, redirect, render
from plexus_proxy.admin.session import begin, end_session, keep_session
from plexus_proxy.config.store import CONFIG
from plexus_proxy.manage.admin_key import is_admin_key

_log = logging.getLogger(__name__)

_HOME = NAVIGATION[0].path
_OWN_ADDRESS = re.compile(r"[A-Za-z0-9_~-]+(?:[./][A-Za-z0-9_~-]+)*(?:\?[!$-~]*)?")
"""Of a page of ours, relative to the pages' folder: no scheme, host, or way out of the folder."""


class SignIn:
    def __init__(self, failures: FailedSignIns) -> None:
        self._failures = failures

    async def show(self, request: web.Request) -> web.Response:
        """GET sign-in"""
        wanted = _own(request.query.get("next", ""))
        if current_session(request) is not None:
            return redirect(request, wanted)
        return _page(request, wanted)

    async def submit(self, request: web.Request) -> web.Response:
        """POST sign-in: `key` and `next`."""
        form = await read_form(request)
        wanted = _own(form.get("next", ""))
        now_s = time.monotonic()
        wait_s = self._failures.wait_s(now_s)
        if wait_s:
            message = "Too many wrong keys. Wait a minute, then try again."
            response = _page(request, wanted, message, status=429)
            response.headers["Retry-After"] = str(math.ceil(wait_s))
            return response
        digest = request.app[CONFIG].current.admin_digest
        if not is_admin_key(form.get("key", "").strip(), digest):
            self._failures.add(now_s)
            _log.warning("sign-in with a wrong admin key from %s", request.remote)
            return _page(request, wanted, "This is not the admin key.", status=403)
        response = redirect(request, wanted)
        today_s = int(time.time())
        keep_session(response, request, begin(today_s), digest, today_s)
        return response


async def sign_out(request: web.Request) -> web.Response:
    """POST sign-out"""
    response = redirect(request, "sign-in")
    end_session(response, request)
    return response


def _own(address: str) -> str:
    return address if _OWN_ADDRESS.fullmatch(address) else _HOME


def _page(
    request: web.Request, wanted: str, problem: str | None = None, *, status: int = 200
) -> web.Response:
    context = {"next": wanted, "problem": problem}
    return render(request, "sign_in.html", context, status=status, signed_in=False)
