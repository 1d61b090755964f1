"""Who is signed in: a signed cookie that every worker can read and none has to remember.

The token is `<signed in>.<expires>.<signature>` (epoch seconds in hex; HMAC-SHA256 in base64url).
Its key is made from the admin key's digest, so a new admin key ends every session. Signing out
removes the cookie; nothing on this side could revoke a copy of it before it expires.

The cookie names no path: a browser then scopes it to the folder of the address that set it (RFC
6265 §5.1.4), which is the pages' folder under whatever prefix a reverse proxy put in front. It must
therefore only be set by addresses directly in that folder.
"""

import base64
import hashlib
import hmac
import re

from aiohttp import web
from msgspec import Struct

LIFETIME_S = 12 * 3600
"""A session ends when no page was opened for this long."""
LONGEST_S = 7 * 24 * 3600
"""And in any case this long after signing in."""
RENEW_AFTER_S = 15 * 60
COOKIE = "plexus_session"

_PURPOSE = b"plexus-proxy/session/v1"
_TOKEN = re.compile(r"([0-9a-f]{1,12})\.([0-9a-f]{1,12})\.([A-Za-z0-9_-]{43})")


class Session(Struct, frozen=True):
    signed_in_s: int
    expires_s: int

    def renewed(self, now_s: int) -> "Session":
        return Session(self.signed_in_s, min(now_s + LIFETIME_S, self.signed_in_s + LONGEST_S))


def begin(now_s: int) -> Session:
    return Session(now_s, now_s + LIFETIME_S)


def write_token(session: Session, admin_digest: bytes) -> str:
    content = f"{session.signed_in_s:x}.{session.expires_s:x}"
    return f"{content}.{_signature(content, admin_digest)}"


def read_token(token: str, admin_digest: bytes, now_s: int) -> Session | None:
    """The session of a token; None if it is forged, of another admin key, or over."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    content = f"{match[1]}.{match[2]}"
    if not hmac.compare_digest(match[3], _signature(content, admin_digest)):
        return None
    session = Session(int(match[1], 16), int(match[2], 16))
    return session if now_s < session.expires_s else None


def _signature(content: str, admin_digest: bytes) -> str:
    key = hmac.digest(admin_digest, _PURPOSE, hashlib.sha256)
    signature = hmac.digest(key, content.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def session_of(request: web.Request, admin_digest: bytes, now_s: int) -> Session | None:
    return read_token(request.cookies.get(COOKIE, ""), admin_digest, now_s)


def keep_session(
    response: web.StreamResponse,
    request: web.Request,
    session: Session,
    admin_digest: bytes,
    now_s: int,
) -> None:
    """Set the cookie. Only for addresses directly in the pages' folder."""
    response.set_cookie(
        COOKIE,
        write_token(session, admin_digest),
        max_age=session.expires_s - now_s,
        path="",
        httponly=True,
        samesite="Lax",
        secure=came_by_https(request),
    )


def renew_session(
    response: web.StreamResponse,
    request: web.Request,
    session: Session,
    admin_digest: bytes,
    now_s: int,
) -> None:
    """Let the session last longer, if that is worth a new cookie."""
    renewed = session.renewed(now_s)
    if renewed.expires_s - session.expires_s >= RENEW_AFTER_S:
        keep_session(response, request, renewed, admin_digest, now_s)


def end_session(response: web.StreamResponse, request: web.Request) -> None:
    """Remove the cookie. Only for addresses directly in the pages' folder."""
    response.set_cookie(
        COOKIE,
        "",
        max_age=0,
        path="",
        httponly=True,
        samesite="Lax",
        secure=came_by_https(request),
    )


def came_by_https(request: web.Request) -> bool:
    """Also when a reverse proxy ended TLS. Whoever forges the header only harms himself."""
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    return request.secure or forwarded.split(",")[0].strip().lower() == "https"
