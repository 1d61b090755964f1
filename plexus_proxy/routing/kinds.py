"""What a model is for, and which requests may go to it. Pure.

Source: behaviour reference §1.5 (a `type` opens only its endpoints, as documented) and §3.3.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from plexus_proxy.config.model import ApiType, ModelType
from plexus_proxy.errors import BadRequest

RequestKind = Literal["text", "embeddings", "transcriptions", "speech", "image"]
"""What a request asks for. All four text formats are one kind."""

API_TYPES: Mapping[RequestKind, ApiType] = {
    "embeddings": "embeddings",
    "transcriptions": "transcriptions",
    "speech": "speech",
    "image": "images",
}
"""How providers are spoken to for each kind that has one way only."""

_KINDS: Mapping[ModelType, RequestKind] = {
    "chat": "text",
    "responses": "text",
    "text": "text",
    "embeddings": "embeddings",
    "transcriptions": "transcriptions",
    "speech": "speech",
    "image": "image",
}
_PURPOSES: Mapping[RequestKind, str] = {
    "text": "text",
    "embeddings": "embeddings",
    "transcriptions": "transcriptions",
    "speech": "speech",
    "image": "images",
}
_PATHS: Mapping[RequestKind, str] = {
    "text": (
        "/v1/chat/completions, /v1/messages, /v1/responses"
        " or /v1beta/models/<model>:generateContent"
    ),
    "embeddings": "/v1/embeddings",
    "transcriptions": "/v1/audio/transcriptions",
    "speech": "/v1/audio/speech",
    "image": "/v1/images/generations",
}


def admits(model_type: ModelType | None, kind: RequestKind) -> bool:
    """Whether a model of this type takes such requests; one without a type takes all."""
    return model_type is None or _KINDS[model_type] == kind


def purpose(model_type: ModelType) -> str:
    """What a model of this type is for, as clients are told."""
    return f"is for {_PURPOSES[_KINDS[model_type]]}"


def wrong_endpoint(model: str, model_type: ModelType) -> BadRequest:
    """What a client is told that asks `model` for another kind than its own."""
    return BadRequest(
        f"Model '{model}' {purpose(model_type)}: ask for it at {_PATHS[_KINDS[model_type]]}.",
        param="model",
    )


def embeds(
    model_type: ModelType | None, alias_type: ModelType | None, offered: Collection[str]
) -> bool:
    """Whether a target is likely to make embeddings; `offered` are the API types it has."""
    if model_type is not None:
        return model_type == "embeddings"
    return alias_type == "embeddings" or "embeddings" in offered
