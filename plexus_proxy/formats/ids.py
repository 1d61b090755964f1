"""Ids we mint for clients, all from the exchange's own random text."""

from plexus_proxy.formats.conversation import Crossing


def completion_id(crossing: Crossing) -> str:
    return f"chatcmpl-{crossing.response_id}"


def text_completion_id(crossing: Crossing) -> str:
    return f"cmpl-{crossing.response_id}"


def message_id(crossing: Crossing) -> str:
    return f"msg_{crossing.response_id}"


def response_id(crossing: Crossing) -> str:
    return f"resp_{crossing.response_id}"


def item_id(crossing: Crossing, prefix: str, number: int) -> str:
    """Of an output item of a response: msg, rs, fc or ctc."""
    return f"{prefix}_{crossing.response_id}_{number}"


def tool_id(crossing: Crossing, index: int) -> str:
    """For a call the upstream gave no id; `index` is the block's."""
    return f"call_{crossing.response_id}_{index}"
