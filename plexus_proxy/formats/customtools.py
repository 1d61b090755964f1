"""Custom (freeform) tools for providers that know functions only.

The function that stands for one takes a single string. Its arguments are wrapped and unwrapped by
`arguments`; `Crossing.custom_tools` says which calls of the answer are meant.
"""

from msgspec import Raw
from msgspec.structs import replace

from plexus_proxy.formats.conversation import Conversation, Crossing, Tool

_SCHEMA = Raw(b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}')


def as_function(tool: Tool, conversation: Conversation, crossing: Crossing) -> Tool:
    """A tool as it is, or the function in place of a custom one. What format its input must have
    can only be asked for in words."""
    if not tool.custom:
        return tool
    crossing.custom_tools.add(tool.name)
    description = tool.description
    if tool.custom_format is not None:
        conversation.lose("tools.custom_format", crossing)
        told = f"The input must have this format: {bytes(tool.custom_format).decode()}"
        description = f"{description}\n{told}" if description else told
    return replace(tool, description=description, schema=_SCHEMA, custom=False, custom_format=None)
