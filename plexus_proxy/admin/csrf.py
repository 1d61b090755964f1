"""Writes that another site makes a signed-in browser send are recognised by their headers.

Browsers set both headers and no page can forge them; programs that are no browsers send neither and
carry no ambient cookie. Source: Filippo Valsorda, "Cross-Site Request Forgery" (the algorithm of
Go's http.CrossOriginProtection).
"""

from urllib.parse import urlsplit

from aiohttp import web

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_cross_site_write(request: web.Request) -> bool:
    if request.method in _SAFE_METHODS:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")  # browsers before 2023, and all over plain http
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != request.host.lower()
    except ValueError:
        return True
