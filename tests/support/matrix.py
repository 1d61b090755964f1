"""A gateway in front of one strict server that can play every format, and the SDKs that ask it.

Starting them costs more than any test of them, so a module shares one set and each test finds it
swept clean. Its tests run on the module's loop:

    pytestmark = pytest.mark.asyncio(loop_scope="module")
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.fake_provider import FakeProvider, Received, fake_provider
from support.gateway import Reply, Stand, StandBuilder, reply_of
from support.sdks import Sdks, sdks_of
from support.strict_provider import MODELS, problems, refusal

from plexus_proxy.db.database import DATABASE
from plexus_proxy.usage.recorder import RECORDER
from plexus_proxy.usage.store import UsageStore

FORMATS = ("chat", "messages", "responses", "gemini")
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}


@dataclass(frozen=True)
class Matrix:
    """The alias `to-<format>` leads to `upstream`, which refuses what the real API would."""

    stand: Stand
    upstream: FakeProvider
    sdks: Sdks

    @property
    def asked(self) -> list[Received]:
        """Every request that has reached the provider."""
        return self.upstream.requests

    async def post(
        self, client: str, alias: str, body: dict[str, Any], *, stream: bool = False
    ) -> Reply:
        """Without an SDK: `body` as the format names its fields, model and stream added."""
        if client == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            path, sent = f"/v1beta/models/{alias}:{verb}", body
        else:
            path, sent = PATHS[client], {"model": alias, **body}
            sent |= {"stream": True} if stream else {}
        gateway = self.stand.gateway
        headers = {"authorization": f"Bearer {self.stand.secrets.app}"}
        async with gateway.session.post(gateway.url + path, json=sent, headers=headers) as response:
            return await reply_of(response)


def builder_of(folder: Path, upstream: FakeProvider) -> StandBuilder:
    """Of gateways whose alias `to-<format>` leads to `upstream`; any number may be started on
    their one database."""
    builder = StandBuilder(folder, dict.fromkeys(FORMATS, upstream))
    builder.config["providers"] = {
        fmt: {
            "api_base_url": {fmt: upstream.url},
            "api_key": "k",
            "models": {MODELS[fmt]: {}},
            "disable_cooldown": True,  # each failure of a test is its own
        }
        for fmt in FORMATS
    }
    builder.config["models"] = {
        f"to-{fmt}": {"targets": [{"provider": fmt, "model": MODELS[fmt]}]} for fmt in FORMATS
    }
    return builder


@pytest.fixture
async def matrix_builder(tmp_path: Path) -> AsyncIterator[StandBuilder]:
    """For tests that change the config, or start more than one gateway."""
    async with fake_provider() as upstream:
        yield builder_of(tmp_path, upstream)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with fake_provider() as upstream:
        builder = builder_of(tmp_path_factory.mktemp("matrix"), upstream)
        async with builder.started() as stand, sdks_of(stand) as sdks:
            yield Matrix(stand, upstream, sdks)


@pytest_asyncio.fixture(loop_scope="module")
async def matrix(shared_matrix: Matrix) -> AsyncIterator[Matrix]:
    upstream, gateway = shared_matrix.upstream, shared_matrix.stand.gateway
    upstream.forget()
    upstream.strict = refusal
    await gateway.app[RECORDER].flush()
    await UsageStore(gateway.app[DATABASE]).delete_all()
    yield shared_matrix
    if upstream.strict is not None:
        illegal = [found for each in upstream.requests if (found := problems(each))]
        assert illegal == [], "the provider was sent what it refuses"
