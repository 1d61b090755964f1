"""Every known way to spoil a request, an answer or a stream has a test that carries its number.

P: pitfalls of translation and of plumbing. B: cases of the behaviour reference that are about the
state of Responses (10 to 30), translation (31 to 65), fail-over (66 to 77) and cooldowns. A test
says with
`@pytest.mark.pitfall("P01", "B31")` what it proves.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

CASES = {
    # Streams towards Messages clients
    "P01": "block indices are 0, 1, 2 and every delta belongs to the open block",
    "P02": "chunks with an empty id and name continue the call",
    "P03": "an id in every chunk is still one call",
    "P04": "reasoning, tool, reasoning, text are four blocks, each closed before the next",
    "P05": "between two block starts there is exactly one stop",
    "P06": "interleaved fragments of parallel calls are not mixed",
    "P07": "text in the role chunk is kept",
    "P08": "message_delta has usage.output_tokens whatever the provider said",
    "P09": "message_start has usage with integers",
    "P10": "every event is named by its event line and its type alike",
    "P11": "message_start has an estimate above 0, message_delta the exact value",
    "P12": "counts of message_delta replace those of message_start",
    "P13": "a usage chunk after the finish reaches message_delta",
    "P14": "the end of the stream before a finish is an error, never end_turn",
    "P15": "an error chunk in a stream of status 200 is an error event",
    "P16": "an error as the first event is an HTTP status",
    "P17": "any call makes the stop reason tool_use, unless the limit was reached",
    "P18": "never tool_use without a call",
    "P19": "the signature precedes the stop of its thinking block",
    "P20": "thinking without text but with a signature survives the round trip",
    "P21": "null texts say nothing",
    "P22": "n deltas give at least n events, at their time",
    # Streams towards Chat clients
    "P23": "tool_calls count from 0 after thinking and text",
    "P24": "tool_calls count from 0 when nothing comes before",
    "P25": "name and id stand in the opening chunk only",
    "P26": "delta is always an object",
    "P27": "a call in an early chunk and STOP in a late one is tool_calls",
    "P28": "the token limit and filters are not masked by a call",
    "P29": "the usage chunk has no choices and stands between finish and [DONE]",
    "P30": "the usage chunk is sent only when asked for",
    "P31": "the provider's stream is read to its end, after the finish too",
    "P32": "content after a chunk with usage is kept",
    "P33": "a finish reason on the last content chunk: both are told",
    "P34": "a call without arguments has the arguments {}",
    "P35": "reasoning said in two fields is told once",
    "P36": "all three spellings of reasoning are read",
    "P37": "one id and created for all chunks",
    "P38": "an error in mid-stream is followed by neither finish nor [DONE]",
    "P39": "byte by byte and with CRLF the result is the same",
    "P40": "a last event without its blank line is read",
    # Streams towards Responses and Gemini clients
    "P41": "exactly one terminal event for every ending",
    "P42": "the token limit is response.incomplete",
    "P43": "items and parts are added before they are filled, and done in order",
    "P44": "the final output equals the items that were done",
    "P45": "an item's id begins with fc_ and is not its call_id",
    "P46": "sequence numbers are 0 to n-1",
    "P47": "failed, incomplete and error events are read as such",
    "P48": "every item has its own output_index, deltas the right item_id",
    "P49": "items a client executes pass unchanged; a custom call is delivered",
    "P50": "Gemini clients get nothing but data lines",
    "P51": "thoughtSignature is base64",
    "P52": "functionCall.args is always an object",
    "P53": "parts are there and not empty in every candidate",
    "P54": "one complete functionCall per call",
    # Requests to Messages providers
    "P55": "three tool messages and a text are one user message, results first",
    "P56": "a missing result is made, an orphaned one becomes text",
    "P57": "illegal tool ids are mapped alike on call and result and do not collide",
    "P58": "blank text is left out, its cache marker moves",
    "P59": "max_tokens has a default and exceeds the budget",
    "P60": "sampling is filtered by model and version, none is injected",
    "P61": "newer models think adaptively, unknown ones too",
    "P62": "a forced tool and thinking are not sent together",
    "P63": "foreign or fabricated signatures never arrive",
    "P64": "thinking is replayed byte for byte",
    "P65": "thinking stands where it stood",
    "P66": "empty arguments are an empty object",
    "P67": "the root of a schema is an object",
    "P68": "no tool_choice without tools",
    "P69": "at most four cache markers",
    "P70": "no documents in the assistant's history",
    "P71": "image/jpg, data URLs with parameters and http URLs are understood",
    "P72": "later system messages are kept in order",
    "P73": "every tool_use block of a whole answer is a call",
    "P74": "text of a result stays with it, its image follows",
    "P75": "tool_call_id is the original id",
    # Requests to Gemini providers
    "P76": "schemas keep to the provider's vocabulary",
    "P77": "properties named like keywords survive",
    "P78": "references are inlined and circles end",
    "P79": "functionResponse has the name of its call",
    "P80": "parallel results share one turn",
    "P81": "functionResponse.response is an object",
    "P82": "signatures are replayed on their part, the sentinel stands in",
    "P83": "only the first call of a step is signed",
    "P84": "thinking is said as a budget or a level or not at all",
    "P85": "a model that cannot stop thinking gets its least",
    "P86": "both spellings of field names are equal",
    "P87": "image URLs are fetched and inlined, private addresses refused",
    "P88": "no empty system text and no empty contents",
    "P89": "text and call of one candidate are one choice",
    "P90": "a blocked prompt is filtered content",
    "P91": "calls without ids get unique ones, results are matched by order",
    "P92": "a malformed call is an error",
    "P93": "cumulative usage is not summed",
    "P94": "thoughts count as completion",
    "P95": "a missing total is computed",
    # Requests to Chat and Responses providers
    "P96": "tools are flat for Responses and wrapped for Chat",
    "P97": "the assistant's history is output_text",
    "P98": "strict is said to Responses",
    "P99": "own reasoning items go back before what they led to, foreign ids do not",
    "P100": "encrypted content of another issuer stays behind",
    "P101": "encrypted reasoning is asked of models that reason only",
    "P102": "no message without content",
    "P103": "call ids longer than 64 are shortened alike",
    "P104": "max_output_tokens is at least 16",
    "P105": "parameters a model refuses are filtered",
    "P106": "no developer role to servers that know only system",
    "P107": "cached tokens are counted once",
    "P108": "cache writes belong to the prompt",
    "P109": "reasoning tokens are part of the completion",
    "P110": "previous_response_id is never ignored",
    "P111": "a server tool never becomes a function",
    "P112": "equal requests give equal bytes, without the billing line",
    "P113": "tool names come back as declared",
    "P114": "no image in a tool message",
    "P115": "arguments keep their spelling and order",
    "P116": "integers above 2^53 survive",
    # Plumbing
    "P117": "reading ahead loses no bytes, however slow the first is",
    "P118": "the provider's refusal is the client's HTTP status",
    "P119": "no other provider after the first byte",
    "P120": "a provider's 401 is not the client's",
    "P121": "error bodies of every shape become the client's JSON",
    "P122": "every error has the shape of the route",
    "P123": "a client that leaves stops the provider within a second, usage is kept",
    "P124": "no content-encoding of a body that was decoded",
    "P125": "keys are taken from every place SDKs put them",
    "P126": "the list of models has the shape of the SDK that asks",
    "P127": "Gemini's paths are served under v1, v1beta and v1alpha",
    "P128": "count_tokens answers for every provider",
    "P129": "bodies hold nothing of ours",
    "P130": "a same-format body changes its model only",
    # State of Responses
    "B10": "the id of an answer is the id it is stored under",
    "B11": "streamed answers are stored",
    "B12": "previous_response_id brings the whole chain, inputs too",
    "B13": "history and previous_response_id are not both sent",
    "B14": "a conversation is made on first use",
    "B15": "each item stands in a conversation once",
    "B16": "deleting what is not there is a 404",
    "B17": "failing to store after the answer sends nothing more",
    "B18": "conversations are cleaned up on their own",
    "B19": "the terminal event has the full output",
    "B20": "failed and incomplete are told in every format, with usage",
    "B21": "a fragment that is valid JSON by itself is appended like any other",
    "B22": "interleaved calls of Responses stay apart",
    "B23": "calls of Responses finish as tool_calls, also when told at the end only",
    "B24": "composite ids of replayed items are shortened only if too long",
    "B25": "ids of function_call items are not replayed",
    "B26": "items a client executes are carried and count as an answer",
    "B27": "no temperature is injected",
    "B28": "a stream in answer to a whole request becomes one answer",
    "B29": "translated whenever the formats differ",
    "B30": "the same format keeps unknown fields",
    # Translation
    "B31": "indices of calls count calls only",
    "B32": "a turn with calls finishes as one",
    "B33": "limits, filters and refusals are told in whole answers",
    "B34": "an empty list of calls is none",
    "B35": "an empty id continues a call",
    "B36": "the same id continues a call",
    "B37": "the name of a call is told once",
    "B38": "Gemini clients get calls when complete",
    "B39": "calls of Gemini have an index and unique ids",
    "B40": "systemInstruction, tools and toolConfig are translated",
    "B41": "Gemini requests have system, mime types, schema, thinking and tool choice",
    "B42": "no content with empty parts",
    "B43": "thoughtSignatures are kept both ways",
    "B44": "thinking_config is understood, empty objects are not sent",
    "B45": "a malformed call is a fault another provider may mend",
    "B46": "streamed calls of Gemini accumulate",
    "B47": "thinking stands before the text and calls it led to",
    "B48": "Messages providers get real images and system blocks",
    "B49": "arguments that are no JSON are kept, not a crash",
    "B50": "malformed JSON of a provider is a bad gateway",
    "B51": "tools without optional members are tolerated",
    "B52": "nested schemas and $defs pass unchanged",
    "B53": "illegal ids are rewritten alike on call and result",
    "B54": "an unsupported parameter is stripped and the target asked again",
    "B55": "signatures are stripped only where they are refused",
    "B56": "delta.reasoning is read",
    "B57": "usage inside choices is read",
    "B58": "usage is asked of the provider and hidden from who did not ask",
    "B59": "an assistant's content may be a string or a list",
    "B60": "billing headers stay behind",
    "B61": "anthropic-beta flags are merged, typed tools untouched",
    "B62": "tool search shorthands are stripped where they are refused",
    "B63": "Gemini paths take names with colons and slashes",
    "B64": "base URLs with and without the version",
    "B65": "characters cut in two are whole everywhere",
    # Streams, cancellation, fail-over
    "B66": "a client that leaves ends the upstream, and its row says what is known",
    "B67": "no byte is lost or moved by looking at the beginning",
    "B68": "a time-out of an attempt moves on, and is a 504 in the end",
    "B69": "stall settings are those of each attempt's provider",
    "B70": "a place is given back on every way out",
    "B71": "a probe gives its place back",
    "B72": "a 200 that begins with an error is one",
    "B73": "what comes before the first content does not commit",
    "B74": "an empty completion is left for another target",
    "B75": "a target that begins to cool down meanwhile is left out",
    "B76": "a provider's huge words are capped",
    "B77": "a stop does not wait for open pages",
    # Cooldowns
    "B78": "ids with colons are whole",
    "B79": "exactly one is cleared",
    "B80": "network faults cool down too",
    "B81": "a 400 cools down only if it is about a quota",
    "B82": "413 and 422 never cool down",
    "B83": "an expired deadline fails over without a cooldown",
    "B84": "an empty balance cools until there is one",
    "B85": "disable_cooldown is obeyed everywhere",
    "B86": "a success on any endpoint resets",
    "B87": "Retry-After is honoured",
}

PENDING = {
    "B10": "stateful Responses",
    "B11": "stateful Responses",
    "B12": "stateful Responses",
    "B13": "stateful Responses",
    "B14": "stateful Responses",
    "B15": "stateful Responses",
    "B16": "stateful Responses",
    "B17": "stateful Responses",
    "B18": "stateful Responses",
    "B71": "the provider test",
    "B77": "live pages",
    "B84": "account meters",
    "B86": "media endpoints",
}
"""Cases of capabilities that are still to come."""

TESTS = Path(__file__).parent


def marked() -> set[str]:
    """What the tests say they prove."""
    return {case for path in TESTS.rglob("test_*.py") for case in _in_file(path)}


def _in_file(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and node.name.startswith("test"):
            for decorator in node.decorator_list:
                yield from _in_decorator(decorator)


def _in_decorator(decorator: ast.expr) -> Iterator[str]:
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.pitfall":
            for argument in node.args:
                yield ast.literal_eval(argument)


def test_the_table_leaves_no_number_out() -> None:
    numbers = [f"P{n:02}" for n in range(1, 131)] + [f"B{n}" for n in range(10, 88)]
    assert list(CASES) == numbers


def test_every_case_has_a_test() -> None:
    uncovered = {case: CASES[case] for case in CASES.keys() - marked() - PENDING.keys()}
    assert uncovered == {}


def test_tests_name_known_cases_only() -> None:
    assert marked() <= CASES.keys()


def test_what_is_pending_is_known_and_has_no_test_yet() -> None:
    assert PENDING.keys() <= CASES.keys()
    assert PENDING.keys() & marked() == set()
