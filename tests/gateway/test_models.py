"""The list of models, as each SDK reads it."""

import json
from collections.abc import AsyncIterator

import pytest
from anthropic import AsyncAnthropic
from anthropic import NotFoundError as AnthropicNotFound
from google import genai
from google.genai import types as google
from openai import AsyncOpenAI
from openai import NotFoundError as OpenAINotFound
from support.gateway import Stand, StandBuilder
from support.sdks import anthropic_settings, openai_settings

NAMES = ["to-chat", "to-messages", "org/model:free", "other"]


@pytest.fixture
async def stand(stand_builder: StandBuilder) -> AsyncIterator[Stand]:
    models = stand_builder.config["models"]
    models["org/model:free"] = {**models["to-chat"], "additional_aliases": ["other"]}
    async with stand_builder.started() as running:
        yield running


async def test_p126_openais_sdk(stand: Stand) -> None:
    """P126."""
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        found = [each async for each in client.models.list()]
        assert [each.id for each in found] == NAMES
        assert {each.object for each in found} == {"model"}
        assert (await client.models.retrieve("org/model:free")).id == "org/model:free"
        with pytest.raises(OpenAINotFound) as caught:
            await client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


async def test_p126_anthropics_sdk(stand: Stand) -> None:
    """P126; page by page."""
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        found = [each async for each in client.models.list(limit=3)]
        assert [each.id for each in found] == NAMES
        assert found[0].created_at.year >= 2026
        assert (await client.models.retrieve("other")).display_name == "other"
        before = await client.models.list(limit=1, before_id="org/model:free")
        assert ([each.id for each in before.data], before.has_more) == (["to-messages"], True)
        with pytest.raises(AnthropicNotFound) as caught:
            await client.models.retrieve("nobody")
    assert caught.value.type == "not_found_error"


@pytest.mark.parametrize("version", ["v1", "v1beta", None])
async def test_p126_googles_sdk(stand: Stand, version: str | None) -> None:
    """P126, P127."""
    client = genai.Client(
        api_key=stand.secrets.app,
        http_options=google.HttpOptions(base_url=stand.gateway.url, api_version=version),
    )
    pager = await client.aio.models.list(config={"page_size": 3, "query_base": True})
    found = [each async for each in pager]
    assert [each.name for each in found] == [f"models/{name}" for name in NAMES]
    assert found[0].supported_actions == ["generateContent", "streamGenerateContent"]
    assert (await client.aio.models.get(model="org/model:free")).display_name == "org/model:free"
    with pytest.raises(genai.errors.ClientError) as caught:
        await client.aio.models.get(model="nobody")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    await client.aio.aclose()


async def test_who_has_the_list_already_is_told_so(stand: Stand) -> None:
    url = stand.gateway.url + "/v1/models"
    async with stand.gateway.session.get(url) as response:
        tag, body = response.headers["etag"], await response.read()
    assert [each["id"] for each in json.loads(body)["data"]] == NAMES
    for sent in (tag, f'"x", W/{tag}', "*"):
        async with stand.gateway.session.get(url, headers={"if-none-match": sent}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["etag"] == tag
    headers = {"if-none-match": tag, "anthropic-version": "2023-06-01"}
    async with stand.gateway.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert (await response.json())["first_id"] == NAMES[0]


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=x", "limit"), ("pageSize=-1", "pageSize")]
)
async def test_a_page_that_cannot_be_is_refused(stand: Stand, query: str, field: str) -> None:
    anthropic = {"anthropic-version": "2023-06-01"} if field == "limit" else {}
    path = "/v1/models" if anthropic else "/v1beta/models"
    url = f"{stand.gateway.url}{path}?{query}"
    async with stand.gateway.session.get(url, headers=anthropic) as response:
        said = await response.json()
    assert response.status == 400
    assert field in said["error"]["message"]
