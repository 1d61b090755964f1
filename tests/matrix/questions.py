"""What a client may ask, in no format's words, and how the SDK of each format is told to ask it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from google.genai import types as google
from support.strict_provider import GEMINI_SIGNATURE

from matrix.cases import TIME, WEATHER, Call, Text

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
NAMES = ("get_weather", "Get_Time", "ping", "write")


@dataclass(frozen=True)
class Picture:
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Paper:
    """A PDF."""

    title: str
    data: bytes


@dataclass(frozen=True)
class Result:
    call: Call
    text: str


Piece = Text | Picture | Paper | Call | Result
Role = Literal["user", "model"]


@dataclass(frozen=True)
class Turn:
    role: Role
    says: tuple[Piece, ...]


def turns_of(said: Iterator[tuple[Role, Piece]]) -> tuple[Turn, ...]:
    """Turns alternate: what one role says in a row is one."""
    turns: list[Turn] = []
    for role, piece in said:
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, (*turns[-1].says, piece))
        else:
            turns.append(Turn(role, (piece,)))
    return tuple(turns)


@dataclass(frozen=True)
class Question:
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    forced: str = ""
    """The tool that must be called."""
    schema: str = ""
    """Of the answer, as JSON text."""
    stop: tuple[str, ...] = ()
    limit: int = 1000


def _user(*says: Piece) -> Turn:
    return Turn("user", says)


def _model(*says: Piece) -> Turn:
    return Turn("model", says)


PLAIN = Question((_user(Text("What is teal?")),), tools=NAMES)
_BIG = Call("call_Q3", "write", {"text": "Grün 🟢 " * 20_000})
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["city", "n"],
    "additionalProperties": False,
}
QUESTIONS = {
    "text": PLAIN,
    "system": Question((_user(Text("Hi.")),), system="Answer in one word. Ünï 🟢"),
    "multi-turn": Question(
        (
            _user(Text("Name a colour.")),
            _model(Text("Teal, as always.")),
            _user(Text("Another."), Text("Be quick.")),
        )
    ),
    "image": Question((_user(Text("Before."), Picture("image/png", PNG), Text("After.")),)),
    "document": Question((_user(Paper("report.pdf", PDF), Text("Sum up.")),)),
    "tool result": Question(
        (
            _user(Text("Weather?")),
            _model(Text("I look."), WEATHER),
            _user(Result(WEATHER, '4 degrees, "windy"')),
        ),
        tools=NAMES,
    ),
    "parallel results": Question(
        (
            _user(Text("Weather and time?")),
            _model(WEATHER, TIME),
            _user(Result(WEATHER, "4 degrees"), Result(TIME, "noon"), Text("And now?")),
        ),
        tools=NAMES,
    ),
    "huge arguments": Question(
        (_user(Text("Write.")), _model(_BIG), _user(Result(_BIG, "written"))), tools=NAMES
    ),
    "forced tool": Question((_user(Text("Weather?")),), tools=NAMES, forced="get_weather"),
    "structured output": Question((_user(Text("Where?")),), schema=json.dumps(_SCHEMA)),
    "stop sequence": Question((_user(Text("Count.")),), stop=("END", "\n\nHuman:")),
}

_PARAMETERS = {"type": "object", "properties": {}}
SCHEMA_NAME = "response"


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _base64(media_type: str, data: bytes) -> dict[str, Any]:
    return {
        "type": "base64",
        "media_type": media_type,
        "data": base64.b64encode(data).decode(),
    }


def _lean(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


# Chat Completions


def chat(question: Question) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if question.system:
        messages.append({"role": "system", "content": question.system})
    for turn in question.turns:
        messages += _chat_model(turn) if turn.role == "model" else _chat_user(turn)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": _PARAMETERS}}
        for name in question.tools
    ]
    forced = {"type": "function", "function": {"name": question.forced}}
    return _lean(
        messages=messages,
        max_tokens=question.limit,
        tools=tools,
        tool_choice=question.forced and forced,
        stop=list(question.stop),
        response_format=question.schema
        and {
            "type": "json_schema",
            "json_schema": {
                "name": SCHEMA_NAME,
                "schema": json.loads(question.schema),
                "strict": True,
            },
        },
    )


def _chat_model(turn: Turn) -> Iterator[dict[str, Any]]:
    calls = [
        {
            "id": each.id,
            "type": "function",
            "function": {"name": each.name, "arguments": json.dumps(each.arguments)},
        }
        for each in turn.says
        if isinstance(each, Call)
    ]
    text = "".join(each.text for each in turn.says if isinstance(each, Text))
    yield {"role": "assistant", "content": text or None, **_lean(tool_calls=calls)}


def _chat_user(turn: Turn) -> Iterator[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for each in turn.says:
        match each:
            case Result():
                yield {"role": "tool", "tool_call_id": each.call.id, "content": each.text}
            case Picture():
                url = {"url": _data_url(each.media_type, each.data)}
                parts.append({"type": "image_url", "image_url": url})
            case Paper():
                data = _data_url("application/pdf", each.data)
                parts.append({"type": "file", "file": {"filename": each.title, "file_data": data}})
            case Text():
                parts.append({"type": "text", "text": each.text})
            case Call():
                raise AssertionError(each)
    if parts:
        yield {"role": "user", "content": parts}


# Messages


def messages(question: Question) -> dict[str, Any]:
    turns = [
        {
            "role": "user" if turn.role == "user" else "assistant",
            "content": [_block(each) for each in turn.says],
        }
        for turn in question.turns
    ]
    # the SDK's own argument for output_config wants a class of its own
    form = {"type": "json_schema", "schema": json.loads(question.schema or "{}")}
    extra = {"output_config": {"format": form}} if question.schema else {}
    return _lean(
        messages=turns,
        system=question.system,
        max_tokens=question.limit,
        tools=[{"name": name, "input_schema": _PARAMETERS} for name in question.tools],
        tool_choice=question.forced and {"type": "tool", "name": question.forced},
        stop_sequences=list(question.stop),
        extra_body=extra,
    )


def _block(piece: Piece) -> dict[str, Any]:
    match piece:
        case Text():
            return {"type": "text", "text": piece.text}
        case Picture():
            return {"type": "image", "source": _base64(piece.media_type, piece.data)}
        case Paper():
            source = _base64("application/pdf", piece.data)
            return {"type": "document", "title": piece.title, "source": source}
        case Call():
            return {
                "type": "tool_use",
                "id": piece.id,
                "name": piece.name,
                "input": piece.arguments,
            }
        case Result():
            return {"type": "tool_result", "tool_use_id": piece.call.id, "content": piece.text}


# Responses


def responses(question: Question) -> dict[str, Any]:
    schema = json.loads(question.schema or "{}")
    form = {"type": "json_schema", "name": SCHEMA_NAME, "schema": schema, "strict": True}
    return _lean(
        input=[item for turn in question.turns for item in _items(turn)],
        instructions=question.system,
        max_output_tokens=question.limit,
        tools=[
            {"type": "function", "name": name, "parameters": _PARAMETERS, "strict": False}
            for name in question.tools
        ],
        tool_choice=question.forced and {"type": "function", "name": question.forced},
        text=question.schema and {"format": form},
    )


def _items(turn: Turn) -> Iterator[dict[str, Any]]:
    role = "user" if turn.role == "user" else "assistant"
    parts: list[dict[str, Any]] = []
    for each in turn.says:
        match each:
            case Text():
                kind = "input_text" if role == "user" else "output_text"
                parts.append({"type": kind, "text": each.text})
            case Picture():
                url = _data_url(each.media_type, each.data)
                parts.append({"type": "input_image", "image_url": url})
            case Paper():
                data = _data_url("application/pdf", each.data)
                parts.append({"type": "input_file", "filename": each.title, "file_data": data})
            case Call():
                if parts:
                    yield {"type": "message", "role": role, "content": parts}
                    parts = []
                yield {
                    "type": "function_call",
                    "call_id": each.id,
                    "name": each.name,
                    "arguments": json.dumps(each.arguments),
                }
            case Result():
                yield {
                    "type": "function_call_output",
                    "call_id": each.call.id,
                    "output": each.text,
                }
    if parts:
        yield {"type": "message", "role": role, "content": parts}


# Gemini


def gemini(question: Question) -> dict[str, Any]:
    """Contents and config."""
    declared = [
        google.FunctionDeclaration(name=name, parameters_json_schema=_PARAMETERS)
        for name in question.tools
    ]
    calling = google.FunctionCallingConfig(
        mode=google.FunctionCallingConfigMode.ANY, allowed_function_names=[question.forced]
    )
    config = google.GenerateContentConfig(
        system_instruction=question.system or None,
        max_output_tokens=question.limit,
        tools=[google.Tool(function_declarations=declared)] if declared else None,
        tool_config=google.ToolConfig(function_calling_config=calling) if question.forced else None,
        automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=google.ThinkingConfig(include_thoughts=True),
        stop_sequences=list(question.stop) or None,
        response_mime_type="application/json" if question.schema else None,
        response_json_schema=json.loads(question.schema) if question.schema else None,
    )
    contents = [google.Content(role=turn.role, parts=list(_parts(turn))) for turn in question.turns]
    return {"contents": contents, "config": config}


def _parts(turn: Turn) -> Iterator[google.Part]:
    """The first call of a turn is signed."""
    signature: bytes | None = base64.b64decode(GEMINI_SIGNATURE)
    for each in turn.says:
        part = _part(each)
        if part.function_call is not None:
            part.thought_signature, signature = signature, None
        yield part


def _part(piece: Piece) -> google.Part:
    match piece:
        case Text():
            return google.Part(text=piece.text)
        case Picture():
            blob = google.Blob(mime_type=piece.media_type, data=piece.data)
            return google.Part(inline_data=blob)
        case Paper():
            blob = google.Blob(mime_type="application/pdf", data=piece.data)
            return google.Part(inline_data=blob)
        case Call():
            call = google.FunctionCall(id=piece.id, name=piece.name, args=piece.arguments)
            return google.Part(function_call=call)
        case Result():
            response = google.FunctionResponse(
                id=piece.call.id, name=piece.call.name, response={"output": piece.text}
            )
            return google.Part(function_response=response)
