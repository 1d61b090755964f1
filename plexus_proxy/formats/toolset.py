"""The tools of a conversation as another format's provider may be offered them."""

from plexus_proxy.errors import BadRequest
from plexus_proxy.formats.conversation import (
    Conversation,
    Crossing,
    ServerTool,
    Tool,
    ToolCall,
    WebSearch,
)


def offered_tools(
    conversation: Conversation,
    crossing: Crossing,
    *,
    search: WebSearch | None = None,
    narrowed: bool = True,
) -> list[Tool]:
    """The client's own tools, each name once, `narrowed` to those its choice allows.

    Tools that a provider would execute belong to that provider, but for the `search` that is
    offered beside these: they are dropped, and refused when nothing else is offered or one of them
    is forced. Raises BadRequest.
    """
    choice = conversation.tool_choice
    tools: dict[str, Tool] = {}
    servers: dict[str, ServerTool] = {}
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            tools.setdefault(tool.name, tool)
        else:
            servers.setdefault(tool.name, tool)
    offered = len(tools) + (search is not None)
    if offered < len(conversation.tools):
        conversation.lose("tools", crossing)
    barred = choice is not None and choice.mode == "none"
    names = choice.names if choice and not barred else ()
    forced = choice is not None and choice.mode == "required"
    foreign = [
        tool
        for name, tool in servers.items()
        if tool is not search and (not offered or (forced and name in names and name not in tools))
    ]
    if foreign and not barred:
        raise BadRequest(
            f"The tool '{foreign[0].name}' ({foreign[0].type}) is executed by the provider it"
            " belongs to; this model's provider has none like it.",
            param="tools",
        )
    if unknown := [name for name in names if name not in tools and name not in servers]:
        raise BadRequest(f"tool_choice names an unknown tool: '{unknown[0]}'.", param="tool_choice")
    if not narrowed or not names or (forced and len(names) == 1):
        return list(tools.values())
    return [tool for name, tool in tools.items() if name in names]


def tools_of_history(conversation: Conversation) -> list[Tool]:
    """Declarations for calls that a conversation holds though it declares no tools: without any,
    Messages and some Chat servers refuse it."""
    found = {
        part.name: Tool(name=part.name, custom=part.custom)
        for turn in conversation.turns
        for part in turn.parts
        if isinstance(part, ToolCall)
    }
    return list(found.values())
