"""The pages' addresses. Everything lives in /ui/; nothing here touches any other request."""

import jinja2
from aiohttp import web

from plexus_proxy.admin import requests
from plexus_proxy.admin.assets import Assets, read_assets
from plexus_proxy.admin.door import not_found, public, signed_in
from plexus_proxy.admin.failures import FailedSignIns
from plexus_proxy.admin.headers import PAGE_HEADERS
from plexus_proxy.admin.layout import FOLDER, NAVIGATION, redirect, set_up_templates
from plexus_proxy.admin.sign_in import SignIn, sign_out
from plexus_proxy.resources import STATIC, TEMPLATES


def setup(app: web.Application) -> None:
    """Wire the pages; they look up CONFIG and DATABASE in `app` when they are asked for."""
    assets = Assets(read_assets(STATIC))
    set_up_templates(app, jinja2.FileSystemLoader(TEMPLATES), assets)
    sign_in = SignIn(FailedSignIns())
    app.router.add_routes(
        [
            web.get("/", _to_pages),
            web.get("/ui", _to_pages),
            web.get(FOLDER, _to_first_page),
            web.get(FOLDER + "static/{name:.+}", assets.serve),
            web.get(FOLDER + "sign-in", public(sign_in.show)),
            web.post(FOLDER + "sign-in", public(sign_in.submit)),
            web.post(FOLDER + "sign-out", public(sign_out)),
            web.get(FOLDER + requests.PATH, signed_in(requests.show)),
            web.get(FOLDER + requests.PATH + "/{request_id:[^/]+}", signed_in(requests.details)),
            web.route("*", FOLDER + "{path:.*}", not_found),
        ]
    )


async def _to_pages(request: web.Request) -> web.Response:
    """GET / and /ui: the same relative address is right from both, under any prefix."""
    return web.Response(status=303, headers={**PAGE_HEADERS, "Location": "ui/"})


async def _to_first_page(request: web.Request) -> web.Response:
    return redirect(request, NAVIGATION[0].path)
