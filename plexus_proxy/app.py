"""Composition root: builds every long-lived object and wires the routes. Holds no logic."""

from aiohttp import web

from plexus_proxy.admin import routes as admin
from plexus_proxy.api import auth as api_auth
from plexus_proxy.api import cooldowns as api_cooldowns
from plexus_proxy.api import health as api_health
from plexus_proxy.api import performance as api_performance
from plexus_proxy.api import sessions as api_sessions
from plexus_proxy.api import usage as api_usage
from plexus_proxy.cluster.cluster import cluster
from plexus_proxy.config.store import config_store
from plexus_proxy.db.open import database
from plexus_proxy.demo.server import demo_upstream
from plexus_proxy.drain import DRAIN, Drain
from plexus_proxy.gateway import routes as gateway
from plexus_proxy.limits.concurrency import places
from plexus_proxy.limits.cooldown_store import cooldowns
from plexus_proxy.routing.bindings import bindings
from plexus_proxy.settings import Settings
from plexus_proxy.usage.recorder import recorder
from plexus_proxy.usage.stats import statistics
from plexus_proxy.vault.reasoning import reasoning_vault


def build(settings: Settings, drain: Drain) -> web.Application:
    """The whole application; nothing is opened before the runner starts it."""
    app = web.Application()
    app[DRAIN] = drain
    # In start order; aiohttp unwinds them backwards.
    app.cleanup_ctx.append(config_store(settings))
    app.cleanup_ctx.append(database(settings.database_url))
    app.cleanup_ctx.append(cluster)
    app.cleanup_ctx.append(recorder(settings.data_dir))
    app.cleanup_ctx.append(statistics)
    app.cleanup_ctx.append(reasoning_vault(settings.encryption_key))
    app.cleanup_ctx.append(cooldowns)
    app.cleanup_ctx.append(places)
    app.cleanup_ctx.append(bindings)
    app.cleanup_ctx.append(demo_upstream)
    app.cleanup_ctx.append(gateway.gateway)

    gateway.setup(app)
    app.router.add_routes(api_health.routes())
    app.router.add_routes(api_auth.routes())
    app.router.add_routes(api_usage.routes())
    app.router.add_routes(api_performance.routes())
    app.router.add_routes(api_cooldowns.routes())
    app.router.add_routes(api_sessions.routes())
    admin.setup(app)
    gateway.catch_all(app)
    return app
