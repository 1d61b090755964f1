"""Every client format in front of every provider format: what was said is what is heard.

The official SDKs ask the running gateway, a real server answers as each format's own servers do.
"""

from dataclasses import replace

import pytest
from support.matrix import Matrix

from matrix.axes import CLIENTS, PROVIDERS, STREAMS
from matrix.cases import CASES, Call, Case, Refusal, Thought, Usage
from matrix.clients import Heard, ask
from matrix.providers import answering, says

pytestmark = pytest.mark.asyncio(loop_scope="module")


def expected(client: str, provider: str, case: Case) -> Heard:
    """The case itself, less what a format cannot say."""
    text, refusal, end = case.text, "".join(each.text for each in case.of(Refusal)), str(case.end)
    if client == "messages" and refusal:
        text, refusal, end = refusal, "", "filter"  # stop_reason refusal stands for both
    if client == "gemini":
        text, refusal = text or refusal, ""
    if end == "sequence" and {client, provider} != {"messages"}:
        end = "stop"  # only Messages says why
    return Heard(
        text=text,
        thought="".join(each.text for each in case.of(Thought)),
        refusal=refusal,
        calls=tuple(marked(case) if client != provider else case.of(Call)),
        end=end,
        usage=counted(case, client, provider),
    )


def marked(case: Case) -> list[Call]:
    """Ids of calls before which something was thought say so to clients of other formats."""
    mark = "_gw" if case.of(Thought) else ""
    return [replace(call, id=call.id + mark) for call in case.of(Call)]


def counted(case: Case, *formats: str) -> Usage:
    """Gemini cannot tell tokens written to a cache from fresh ones."""
    usage = case.usage
    if "gemini" not in formats:
        return usage
    return replace(usage, fresh=usage.fresh + usage.written, written=0)


@STREAMS
@PROVIDERS
@CLIENTS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.pitfall("B33")
async def test_what_a_provider_says_is_what_a_client_hears(
    matrix: Matrix, client: str, provider: str, case: Case, stream: bool
) -> None:
    if not says(provider, case):
        pytest.skip(f"{provider} cannot say it")
    matrix.upstream.default = answering(provider, case, stream=stream)
    heard = await ask(matrix.sdks, client, f"to-{provider}", stream=stream)
    assert heard == expected(client, provider, case)
    row = await matrix.stand.gateway.row()
    in_row = Usage(
        row["input_tokens"],
        row["cache_read_tokens"],
        row["cache_write_tokens"],
        row["output_tokens"],
        row["reasoning_tokens"],
    )
    assert in_row == counted(case, provider)
    assert (row["status"], row["tool_calls"]) == ("success", len(case.of(Call)))
