"""What a model behind the Chat Completions API takes, by its name.

Vendors of compatible servers are many; only what is known to be refused is left out. Versions rise,
so a later model is taken to be like the newest known. Sources: OpenAI documentation, "Reasoning
models", "Latest model", "Web search"; documentation of DeepSeek and Moonshot, "Thinking mode" with
tools; of Perplexity and OpenRouter, for models that search.
"""

import re

from msgspec import Struct
from msgspec.structs import replace

from plexus_proxy.formats.conversation import Effort
from plexus_proxy.formats.effort import EFFORTS
from plexus_proxy.formats.websearch import SearchUse


class Capabilities(Struct, frozen=True, kw_only=True):
    max_completion_tokens: bool = False
    """The limit is called max_completion_tokens; other servers know max_tokens only."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """Values of reasoning_effort, lowest first; empty: the field is refused."""
    sampling: bool = True
    """temperature and top_p other than 1, and stop."""
    custom_tools: bool = False
    """Tools that take free text; others get a function of one string."""
    wants_reasoning: bool = False
    """Tool calls of earlier turns must come with the reasoning that led to them."""
    web_search: SearchUse = "never"
    """web_search_options: taken by models that search whenever they are asked."""


_OPENAI_PLAIN = Capabilities(max_completion_tokens=True, efforts=())
_OPENAI_UNKNOWN = Capabilities(max_completion_tokens=True, efforts=EFFORTS, custom_tools=True)
_O_SERIES = Capabilities(max_completion_tokens=True, sampling=False)
_GPT_EFFORTS: tuple[tuple[tuple[int, int], tuple[Effort, ...]], ...] = (
    ((5, 0), ("minimal", "low", "medium", "high")),
    ((5, 1), ("none", "low", "medium", "high")),
    ((5, 2), ("none", "low", "medium", "high", "xhigh")),
    ((5, 6), ("none", "low", "medium", "high", "xhigh", "max")),
)
_FIRST_REASONING_GPT = (5, 0)

_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_O = re.compile(r"o\d(-|$)")
_WANTS_REASONING = re.compile(r"deepseek|kimi|moonshot|glm-|minimax|mimo")
_SEARCHES = re.compile(r"(?<![a-z])search(?![a-z])|sonar|:online$")


def capabilities_of(model: str) -> Capabilities:
    """Of a provider's own slug; what stands before the last slash is its vendor."""
    found = _of_family(model)
    return replace(found, web_search="always") if _SEARCHES.search(model.lower()) else found


def _of_family(model: str) -> Capabilities:
    name = model.lower().rpartition("/")[2]
    if _O.match(name):
        return _O_SERIES
    if name.startswith(("gpt-", "chatgpt-")) and not name.startswith("gpt-oss"):
        return _of_gpt(name)
    if _WANTS_REASONING.search(model.lower()):
        return Capabilities(wants_reasoning=True)
    return Capabilities()


def _of_gpt(name: str) -> Capabilities:
    match = _GPT.match(name)
    if match is None:
        return _OPENAI_UNKNOWN
    version = int(match[1]), int(match[2] or 0)
    if version < _FIRST_REASONING_GPT or "-chat" in name:
        return _OPENAI_PLAIN
    efforts = next(found for least, found in reversed(_GPT_EFFORTS) if version >= least)
    return Capabilities(
        max_completion_tokens=True, efforts=efforts, sampling=False, custom_tools=True
    )
