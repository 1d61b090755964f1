"""Ids we mint for clients, all from the exchange's own random text."""

from plexus_proxy.formats.conversation import Crossing


def completion_id(crossing: Crossing) -> str:
    return f"chatcmpl-{crossing.response_id}"


def message_id(crossing: Crossing) -> str:
    return f"msg_{crossing.response_id}"


def tool_id(crossing: Crossing, index: int) -> str:
    """For a call the upstream gave no id; `index` is the block's."""
    return f"call_{crossing.response_id}_{index}"
