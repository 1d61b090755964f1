"""The list of models, as each SDK reads it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from anthropic import AsyncAnthropic
from anthropic import NotFoundError as AnthropicNotFound
from google import genai
from google.genai import types as google
from openai import AsyncOpenAI
from openai import NotFoundError as OpenAINotFound
from support.gateway import FORMATS, Stand, StandBuilder
from support.sdks import anthropic_settings, openai_settings
from yarl import URL

from plexus_proxy.config.load import load
from plexus_proxy.gateway.models import ModelLists
from plexus_proxy.usage.catalogue import Catalogue

NAMES = [*(f"to-{fmt}" for fmt in FORMATS), "org/model:free", "other"]


@pytest.fixture
async def stand(stand_builder: StandBuilder) -> AsyncIterator[Stand]:
    models = stand_builder.config["models"]
    models["org/model:free"] = {**models["to-chat"], "additional_aliases": ["other"]}
    async with stand_builder.started() as running:
        yield running


@pytest.mark.pitfall("P126")
async def test_p126_openais_sdk(stand: Stand) -> None:
    async with AsyncOpenAI(**openai_settings(stand)) as client:
        found = [each async for each in client.models.list()]
        assert [each.id for each in found] == NAMES
        assert {each.object for each in found} == {"model"}
        assert (await client.models.retrieve("org/model:free")).id == "org/model:free"
        with pytest.raises(OpenAINotFound) as caught:
            await client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


@pytest.mark.pitfall("P126")
async def test_p126_anthropics_sdk(stand: Stand) -> None:
    """P126; page by page."""
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        found = [each async for each in client.models.list(limit=3)]
        assert [each.id for each in found] == NAMES
        assert found[0].created_at.year >= 2026
        assert (await client.models.retrieve("other")).display_name == "other"
        before = await client.models.list(limit=1, before_id="org/model:free")
        assert ([each.id for each in before.data], before.has_more) == ([NAMES[-3]], True)
        with pytest.raises(AnthropicNotFound) as caught:
            await client.models.retrieve("nobody")
    assert caught.value.type == "not_found_error"


@pytest.mark.parametrize("version", ["v1", "v1beta", None])
@pytest.mark.pitfall("P126", "P127")
async def test_p126_googles_sdk(stand: Stand, version: str | None) -> None:
    client = genai.Client(
        api_key=stand.secrets.app,
        http_options=google.HttpOptions(base_url=stand.gateway.url, api_version=version),
    )
    pager = await client.aio.models.list(config={"page_size": 3, "query_base": True})
    found = [each async for each in pager]
    assert [each.name for each in found] == [f"models/{name}" for name in NAMES]
    assert found[0].supported_actions == ["generateContent", "streamGenerateContent", "countTokens"]
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
    for sent in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        async with stand.gateway.session.get(url, headers={"if-none-match": sent}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["etag"] == tag
    headers = {"if-none-match": tag, "anthropic-version": "2023-06-01"}
    async with stand.gateway.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert (await response.json())["first_id"] == NAMES[0]


@pytest.mark.pitfall("P127", "B63")
@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("name", ["org/model:free", "org%2Fmodel:free", "org%2Fmodel%3Afree"])
async def test_a_gemini_path_takes_names_with_slashes_and_colons(
    stand: Stand, version: str, name: str
) -> None:
    url = URL(f"{stand.gateway.url}/{version}/models/{name}:generateContent", encoded=True)
    body = {"contents": [{"role": "user", "parts": [{"text": "What is teal?"}]}]}
    headers = {"x-goog-api-key": stand.secrets.app}
    async with stand.gateway.session.post(url, json=body, headers=headers) as response:
        said = await response.json()
    assert response.status == 200, said
    assert said["candidates"][0]["content"]["parts"] == [{"text": "Teal is a colour."}]
    assert stand.chat.last.json()["model"] == "up-chat"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=²", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("pageSize=-1", "pageSize"),
        ("pageToken=next", "pageToken"),
    ],
    ids=["zero", "word", "not-ascii", "endless", "negative", "token"],
)
async def test_a_page_that_cannot_be_is_refused(stand: Stand, query: str, field: str) -> None:
    anthropic = {"anthropic-version": "2023-06-01"} if field == "limit" else {}
    path = "/v1/models" if anthropic else "/v1beta/models"
    url = f"{stand.gateway.url}{path}?{query}"
    async with stand.gateway.session.get(url, headers=anthropic) as response:
        said = await response.json()
    assert response.status == 400
    assert field in said["error"]["message"]


ID = "org/model:free"
OVERRIDES = {
    "name": "The Free One",
    "description": "It is free.",
    "context_length": 100000,
    "architecture": {
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "tokenizer": "o200k_base",
    },
    "pricing": {"prompt": "0.000002", "completion": 8e-06},
    "supported_parameters": ["tools", "temperature"],
    "top_provider": {"max_completion_tokens": 32000},
}
PRICES = {"prompt": "0.000002", "completion": "0.000008", "input_cache_read": "0.0000003"}
"""The last from what the target is charged."""


@pytest.fixture
async def told(stand_builder: StandBuilder) -> AsyncIterator[Stand]:
    """A model of which everything is known, under two names."""
    models = stand_builder.config["models"]
    models[ID] = {
        **models["to-chat"],
        "additional_aliases": ["other"],
        "metadata": {"source": "custom", "overrides": OVERRIDES},
    }
    async with stand_builder.started() as running:
        yield running


@pytest.mark.parametrize("name", [ID, "other"])
async def test_openais_sdk_reads_what_is_known(told: Stand, name: str) -> None:
    async with AsyncOpenAI(**openai_settings(told)) as client:
        found = await client.models.retrieve(name)
        (listed,) = [each async for each in client.models.list() if each.id == name]
        unknown = await client.models.retrieve("to-messages")
    assert found == listed
    assert found.model_dump() == {
        **OVERRIDES,
        "id": name,
        "object": "model",
        "created": found.created,
        "owned_by": "plexus",
        "pricing": PRICES,
        "top_provider": {"context_length": 100000, "max_completion_tokens": 32000},
        "shutdown_date": None,
    }
    extra = unknown.model_extra or {}
    assert set(extra) == {"pricing"}
    assert extra["pricing"]["completion"] == "0.000015"


async def test_anthropics_sdk_reads_what_is_known(told: Stand) -> None:
    async with AsyncAnthropic(**anthropic_settings(told)) as client:
        found = await client.models.retrieve("other")
        unknown = await client.models.retrieve("to-messages")
    assert (found.id, found.display_name, found.type) == ("other", "The Free One", "model")
    assert (found.max_input_tokens, found.max_tokens) == (100000, 32000)
    assert found.lifecycle == "active"
    assert found.model_extra == {
        "description": "It is free.",
        "architecture": OVERRIDES["architecture"],
        "pricing": PRICES,
    }
    assert (unknown.max_input_tokens, unknown.max_tokens) == (None, None)


async def test_googles_sdk_reads_what_is_known(told: Stand) -> None:
    client = genai.Client(
        api_key=told.secrets.app, http_options=google.HttpOptions(base_url=told.gateway.url)
    )
    found = await client.aio.models.get(model="org/model:free")
    await client.aio.aclose()
    assert (found.name, found.display_name) == ("models/org/model:free", "The Free One")
    assert (found.input_token_limit, found.output_token_limit) == (100000, 32000)
    assert found.description == "It is free."
    headers = {"x-goog-api-key": told.secrets.app}
    url = f"{told.gateway.url}/v1beta/models/org/model:free"
    async with told.gateway.session.get(url, headers=headers) as response:
        said = await response.json()
    assert said == {
        "name": "models/org/model:free",
        "version": "1",
        "displayName": "The Free One",
        "description": "It is free.",
        "inputTokenLimit": 100000,
        "outputTokenLimit": 32000,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }


async def test_vendors_models_are_known_without_a_word_in_the_config(
    stand_builder: StandBuilder,
) -> None:
    """From the catalogue that is shipped; nothing is asked of anybody."""
    stand_builder.config["providers"]["vendor"] = {
        "api_base_url": "https://api.openai.com/v1",
        "api_key": "k",
        "models": ["gpt-5.2"],
    }
    targets = [{"provider": "vendor", "model": "gpt-5.2"}]
    stand_builder.config["models"]["smart"] = {"targets": targets}
    async with (
        stand_builder.started() as stand,
        AsyncOpenAI(**openai_settings(stand)) as openai,
        AsyncAnthropic(**anthropic_settings(stand)) as anthropic,
    ):
        found = (await openai.models.retrieve("smart")).model_extra or {}
        assert (await anthropic.models.retrieve("smart")).max_input_tokens == 400_000
    assert found["context_length"] == 400_000
    assert found["pricing"]["prompt"] == "0.00000175"


@pytest.mark.parametrize(
    "path", ["org/model:free", "org%2Fmodel:free", "org%2fmodel%3Afree", "org/model%3Afree"]
)
@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_a_name_may_hold_slashes_colons_and_escapes(
    told: Stand, version: str, path: str
) -> None:
    url = URL(f"{told.gateway.url}/{version}/models/{path}", encoded=True)
    async with told.gateway.session.get(url) as response:
        said = await response.json()
    assert response.status == 200
    named = said["id"] if version == "v1" else said["name"].removeprefix("models/")
    assert named == ID


async def test_strange_names_are_found_by_their_escapes(stand_builder: StandBuilder) -> None:
    strange = "a b/ü?#%2F&ü"
    stand_builder.config["models"][strange] = stand_builder.config["models"]["to-chat"]
    async with (
        stand_builder.started() as stand,
        AsyncOpenAI(**openai_settings(stand)) as client,
    ):
        assert (await client.models.retrieve(strange)).id == strange
        assert strange in [each.id async for each in client.models.list()]


async def test_an_etag_outlives_a_reload_that_changes_no_model(stand: Stand) -> None:
    async def tag(path: str) -> str:
        async with stand.gateway.session.get(stand.gateway.url + path) as response:
            return response.headers["etag"]

    async def changed(since: str) -> str:
        for _ in range(500):
            if (found := await tag("/v1/models")) != since:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError("nothing has changed")

    all_before, one_before = await tag("/v1/models"), await tag("/v1/models/other")
    config = stand.gateway.config
    config["models"]["new"] = {"targets": []}
    stand.gateway.write_config()
    all_after = await changed(all_before)
    assert await tag("/v1/models/other") == one_before
    del config["models"]["new"]
    stand.gateway.write_config()
    assert await changed(all_after) == all_before


async def test_an_etag_belongs_to_one_shape_and_page(stand: Stand) -> None:
    anthropic = {"anthropic-version": "2023-06-01"}
    tags: list[str] = []
    for path, headers in (
        ("/v1/models", {}),
        ("/v1/models", anthropic),
        ("/v1/models?limit=3", anthropic),
        ("/v1/models?limit=1", anthropic),
        ("/v1beta/models", {}),
        ("/v1beta/models?pageSize=3", {}),
        ("/v1/models/other", {}),
        ("/v1/models/other", anthropic),
    ):
        async with stand.gateway.session.get(stand.gateway.url + path, headers=headers) as response:
            assert response.status == 200
            assert "anthropic-version" in response.headers["vary"]
            tags.append(response.headers["etag"])
    assert len(set(tags)) == len(tags)


async def test_all_pages_together_are_the_list(stand: Stand) -> None:
    """Backwards too, as `before_id` goes."""
    async with AsyncAnthropic(**anthropic_settings(stand)) as client:
        for limit in (1, 2, 3, 4, 5):
            found = [each.id async for each in client.models.list(limit=limit)]
            assert found == NAMES
            back: list[str] = []
            page = await client.models.list(limit=limit, before_id=NAMES[-1])
            while page.data:
                assert page.first_id is not None
                back = [each.id for each in page.data] + back
                assert page.has_more == (back != NAMES[:-1])
                assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
                page = await client.models.list(limit=limit, before_id=page.first_id)
            assert back == NAMES[:-1]
            assert (page.has_more, page.first_id, page.last_id) == (False, None, None)
        gone = await client.models.list(after_id="nobody")
        assert (gone.data, gone.has_more) == ([], False)


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/models", {}, "openai"),
        ("/v1/models", {"authorization": "Bearer x"}, "openai"),
        ("/v1/models", {"x-api-key": "x"}, "openai"),
        ("/v1/models", {"user-agent": "OpenAI/Python 3.57.0"}, "openai"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("/v1/models", {"anthropic-version": "2023-06-01", "x-goog-api-key": "x"}, "anthropic"),
        ("/v1/models", {"x-goog-api-key": "x"}, "gemini"),
        ("/v1/models?key=x", {}, "gemini"),
        ("/v1/models", {"user-agent": "google-genai-sdk/3.6.1 gl-python/3.11"}, "gemini"),
        ("/v1/models", {"x-goog-api-client": "google-genai-sdk/3.6.1"}, "gemini"),
        ("/v1beta/models", {}, "gemini"),
        ("/v1beta/models", {"anthropic-version": "2023-06-01"}, "gemini"),
        ("/v1alpha/models", {"authorization": "Bearer x"}, "gemini"),
    ],
    ids=lambda each: each if isinstance(each, str) else "+".join(each) or "plain",
)
async def test_p126_the_shape_is_that_of_who_asks(
    stand: Stand, path: str, headers: dict[str, str], shape: str
) -> None:
    """P126; the rules in their order."""
    fields = {
        "openai": {"object", "data"},
        "anthropic": {"data", "has_more", "first_id", "last_id"},
        "gemini": {"models"},
    }
    async with stand.gateway.session.get(stand.gateway.url + path, headers=headers) as response:
        assert (await response.json()).keys() == fields[shape]
    name = path.replace("/models", "/models/nobody")
    async with stand.gateway.session.get(stand.gateway.url + name, headers=headers) as response:
        said = await response.json()
    assert response.status == 404
    assert {
        "openai": said["error"].get("code") == "model_not_found",
        "anthropic": said.get("type") == "error",
        "gemini": said["error"].get("status") == "NOT_FOUND",
    }[shape]


@pytest.mark.parametrize("shape", ["chat", "messages", "gemini"])
def test_a_list_is_written_once_for_each_config(shape: str) -> None:
    text = "{adminKey: a, providers: {}, models: {m: {targets: []}}, keys: {}}"
    first, _ = load(text)
    second, _ = load(text.replace("{m:", "{n:"))
    assert first is not None
    assert second is not None
    lists = ModelLists(Catalogue(b'{"vendors":[]}'))
    found = lists.all(shape, {}, first)
    assert lists.all(shape, {"unknown": "1"}, first) is found
    assert lists.all(shape, {}, second).tag != found.tag
    again = lists.all(shape, {}, first)
    assert (again, again is found) == (found, False)


async def test_nobody_elses_method_is_allowed(stand: Stand) -> None:
    for path in ("/v1/models", "/v1/models/other", "/v1beta/models"):
        async with stand.gateway.session.delete(stand.gateway.url + path) as response:
            assert (response.status, response.headers["allow"]) == (405, "GET")
        async with stand.gateway.session.head(stand.gateway.url + path) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert int(response.headers["content-length"]) > 2
