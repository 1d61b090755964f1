"""The adapters by their names in the config, and what a list of them does to an exchange."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from plexus_proxy.adapters import answers, requests
from plexus_proxy.adapters.payload import Fields, read_fields, write
from plexus_proxy.config.model import (
    Adapter,
    ModelOverride,
    NormalizeToolIds,
    ReasoningContent,
    ReasoningRewrite,
    SuppressDeveloperRole,
    SuppressGpt5Options,
    WebSearchCoercion,
)

AnswerPatch = Callable[[bytes], bytes]


class _Adapter(Struct, frozen=True):
    request: Callable[[Fields, Any], Fields]
    answer: AnswerPatch | None = None


_ADAPTERS: dict[type[Struct], _Adapter] = {
    ReasoningContent: _Adapter(
        lambda payload, _: requests.with_reasoning_content(payload), answers.with_reasoning
    ),
    SuppressDeveloperRole: _Adapter(lambda payload, _: requests.without_developer_role(payload)),
    SuppressGpt5Options: _Adapter(lambda payload, _: requests.without_gpt5_options(payload)),
    NormalizeToolIds: _Adapter(lambda payload, _: requests.with_legal_tool_ids(payload)),
    ModelOverride: _Adapter(lambda payload, use: requests.with_model(payload, use.options)),
    ReasoningRewrite: _Adapter(
        lambda payload, use: requests.with_reasoning_rewritten(payload, use.options)
    ),
    WebSearchCoercion: _Adapter(
        lambda payload, use: requests.with_web_search(payload, use.options)
    ),
}


def chosen(uses: Iterable[Adapter]) -> list[Adapter]:
    """Those that are in use: `enabled: false` takes away what was listed before it."""
    kept: list[Adapter] = []
    for use in uses:
        if use.enabled:
            kept.append(use)
        else:
            kept = [each for each in kept if type(each) is not type(use)]
    return kept


def adapted(body: bytes, uses: Iterable[Adapter]) -> bytes:
    """A payload with all its patches; the very same bytes if none has anything to do."""
    payload = read_fields(body)
    if payload is None:
        return body
    patched = payload
    for use in chosen(uses):
        patched = _ADAPTERS[type(use)].request(patched, use)
    return body if patched is payload else bytes(write(patched))


def answer_patch(uses: Iterable[Adapter]) -> AnswerPatch | None:
    """What a client of the provider's own format gets in place of each frame or whole answer;
    None if that is the very bytes."""
    patches = [each for use in chosen(uses) if (each := _ADAPTERS[type(use)].answer)]
    if not patches:
        return None

    def patched(text: bytes) -> bytes:
        for patch in patches:
            text = patch(text)
        return text

    return patched
