"""The operator as a program: a client of the management API that holds the admin key."""

from typing import Any

from support.gateway import Reply, RunningGateway, reply_of
from support.rows import STARTED_AT_MS
from yarl import URL

from plexus_proxy.db.database import DATABASE
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.store import UsageStore

USAGE = "/v0/management/usage"


class Api:
    """A client of the management API that holds the admin key."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.usage = UsageStore(gateway.app[DATABASE])

    async def call(
        self, method: str, path: str, *, key: str | None = "", **params: str | int
    ) -> Reply:
        """`key`: None sends none, empty the right one. The path is sent as it is."""
        headers = {} if key is None else {"x-admin-key": key or self.gateway.secrets.admin}
        url = URL(self.gateway.url + path, encoded=True)
        if params:
            url = url.with_query({name: str(value) for name, value in params.items()})
        async with self.gateway.session.request(method, url, headers=headers) as response:
            return await reply_of(response)

    async def insert(self, *rows: UsageRow) -> None:
        await self.usage.insert_rows(rows, STARTED_AT_MS + 5000)

    async def page(self, **params: str | int) -> dict[str, Any]:
        reply = await self.call("GET", USAGE, key="", **params)
        assert reply.status == 200, reply.text
        return reply.json()

    async def ids(self, **params: str | int) -> list[str]:
        """Of the rows found, in their order; the total must agree if all fit."""
        page = await self.page(**params)
        if not {"limit", "offset"} & params.keys():
            assert page["total"] == len(page["data"])
        return [row["requestId"] for row in page["data"]]
