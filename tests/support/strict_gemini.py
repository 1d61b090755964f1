"""The Gemini API's own view of a request: everything it would answer with a 400.

Written from the vendor's rules (gemini.md §2-4 of the design notes) and sharing no code with the
package. `problems(body)` lists what is wrong; an empty list is a request the API would take.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

FIELDS = {
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings",
    "cachedContent", "serviceTier", "labels", "store", "continuationToken",
}  # fmt: skip
CONFIG_FIELDS = {
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences",
    "presencePenalty", "frequencyPenalty", "seed", "responseLogprobs", "logprobs",
    "responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities",
    "speechConfig", "imageConfig", "mediaResolution", "thinkingConfig",
}  # fmt: skip
KINDS = {"text", "inlineData", "functionCall", "functionResponse"}
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
SENTINEL = "skip_thought_signature_validator"
BUDGETS = {"pro": range(128, 32769), "flash": range(24577), "lite": range(512, 24577)}
LEVELS = {"MINIMAL", "LOW", "MEDIUM", "HIGH"}
SCHEMA_FIELDS = {
    "type", "format", "title", "description", "nullable", "enum", "items", "properties", "required",
    "propertyOrdering", "minItems", "maxItems", "minProperties", "maxProperties", "minLength",
    "maxLength", "pattern", "minimum", "maximum", "default", "example", "anyOf",
}  # fmt: skip
JSON_SCHEMA_FIELDS = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items",
    "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties",
    "additionalProperties", "required",
}  # fmt: skip
TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}


VERBATIM = {
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema",
    "responseJsonSchema", "labels",
}  # fmt: skip
"""Fields whose value is the client's own JSON."""


def problems(
    body: dict[str, Any],
    *,
    model: str = "gemini-3-pro-preview",
    signatures: frozenset[str] = frozenset(),
) -> list[str]:
    """`signatures`: those this model has issued; any other is forged."""
    return list(_problems(camel(body), model, signatures))


def camel(value: Any) -> Any:
    """With the names of fields as the API documents them; it takes them in snake_case as well."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda m: m[1].upper(), name): name for name in value}
    return {
        name: value[sent] if name in VERBATIM else camel(value[sent])
        for name, sent in named.items()
    }


def _problems(body: dict[str, Any], model: str, signatures: frozenset[str]) -> Iterator[str]:
    for name in body.keys() - FIELDS:
        yield f"Unknown name {name!r}: Cannot find field"
    if not body.get("contents"):
        yield "contents: must not be empty"
        return
    if "systemInstruction" in body:
        parts = body["systemInstruction"].get("parts")
        if not parts or any(part.keys() != {"text"} or not part["text"].strip() for part in parts):
            yield "systemInstruction: must be non-empty text"
    if body.get("serviceTier", "flex") not in ("flex", "standard", "priority"):
        yield "serviceTier: unknown"
    yield from _tools(body, model)
    yield from _config(body, model)
    yield from _contents(body["contents"], model, signatures)


def _is_newer(model: str) -> bool:
    match = re.search(r"gemini-(\d+)", model)
    return match is None or int(match[1]) >= 3


def _tools(body: dict[str, Any], model: str) -> Iterator[str]:
    tools = body.get("tools", [])
    kinds = [name for tool in tools for name in tool]
    if "tools" in body and not tools:
        yield "tools: empty"
    if len(set(kinds)) < len(kinds) or {*kinds} - {"functionDeclarations", "googleSearch"}:
        yield "tools: all functions in one tool, and one search"
        return
    declared = next((t["functionDeclarations"] for t in tools if "functionDeclarations" in t), [])
    if "functionDeclarations" in kinds and not declared:
        yield "tools.functionDeclarations: empty"
    searches = "googleSearch" in kinds
    if searches and next(tool["googleSearch"] for tool in tools if "googleSearch" in tool) != {}:
        yield "googleSearch: Unknown name"
    traced = body.get("toolConfig", {}).get("includeServerSideToolInvocations", False)
    if searches and declared and not (_is_newer(model) and traced):
        yield "Tool use with function calling is unsupported"
    if searches and model.startswith("gemini-1"):
        yield "googleSearch: please use google_search_retrieval field instead"
    if traced and not searches:
        yield "includeServerSideToolInvocations: only with server side tools"
    names = [each["name"] for each in declared]
    if len(set(names)) < len(names):
        yield "tools.functionDeclarations: duplicate function declaration"
    for each in declared:
        if each.keys() - {"name", "description", "parameters", "parametersJsonSchema"}:
            yield "tools.functionDeclarations: Unknown name"
        if not NAME.fullmatch(each["name"]):
            yield f"function name {each['name']!r} is illegal"
        if "parameters" in each and "parametersJsonSchema" in each:
            yield "parameters and parametersJsonSchema are exclusive"
        if "parameters" in each:
            if each["parameters"].get("type", "").lower() != "object":
                yield "parameters.type: must be OBJECT"
            if not each["parameters"].get("properties"):
                yield "parameters.properties: should be non-empty for OBJECT type"
            yield from subset(each["parameters"])
        if "parametersJsonSchema" in each:
            if model.startswith("gemini-1"):
                yield "parametersJsonSchema: Cannot find field"
            if each["parametersJsonSchema"].get("type") != "object":
                yield "parametersJsonSchema.type: must be object"
            yield from json_schema(each["parametersJsonSchema"])
    if "toolConfig" not in body:
        return
    if body["toolConfig"].keys() - {"functionCallingConfig", "includeServerSideToolInvocations"}:
        yield "toolConfig: Unknown name"
    if "functionCallingConfig" not in body["toolConfig"]:
        if not traced:
            yield "toolConfig: empty"
        return
    config = body["toolConfig"]["functionCallingConfig"]
    if not declared:
        yield "toolConfig: only with functions"
    if config.get("mode") not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        yield "functionCallingConfig.mode: unknown"
    if "allowedFunctionNames" in config:
        if config["mode"] not in ("ANY", "VALIDATED") or not config["allowedFunctionNames"]:
            yield "allowedFunctionNames: only in mode ANY and VALIDATED"
        if set(config["allowedFunctionNames"]) - set(names):
            yield "allowedFunctionNames: no such function"


def subset(schema: Any, depth: int = 0) -> Iterator[str]:
    """Problems of a schema in `parameters` or `responseSchema`."""
    if not isinstance(schema, dict) or depth > 60:
        yield "schema: must be an object of finite depth"
        return
    for name in schema.keys() - SCHEMA_FIELDS:
        yield f"schema: Unknown name {name!r}: Cannot find field"
    kind = schema.get("type")
    if not isinstance(kind, str | None):
        yield "schema.type: Proto field is not repeating"
        return
    kind = kind.lower() if kind else None
    if kind not in TYPES and not (kind is None and schema.get("anyOf")):
        yield f"schema.type: {kind!r} must be specified"
    enum = schema.get("enum", [])
    if enum and (kind != "string" or not all(isinstance(e, str) and e for e in enum)):
        yield "schema.enum: only allowed for STRING type"
    if kind == "string" and schema.get("format", "enum") not in ("enum", "date-time"):
        yield "schema.format: only 'enum' and 'date-time' are supported for STRING type"
    properties = schema.get("properties", {})
    if "properties" in schema and not properties:
        yield "schema.properties: should be non-empty for OBJECT type"
    if set(schema.get("required", [])) - set(properties):
        yield "schema.required: property is not defined"
    if kind == "array" and "items" not in schema:
        yield "schema.items: missing field"
    if kind != "array" and "items" in schema:
        yield "schema.items: only allowed for ARRAY type"
    for each in (*properties.values(), *schema.get("anyOf", [])):
        yield from subset(each, depth + 1)
    if "items" in schema:
        yield from subset(schema["items"], depth + 1)


def json_schema(schema: Any, root: Any = None) -> Iterator[str]:
    """Problems of a schema in `parametersJsonSchema` or `responseJsonSchema`."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        yield "JSON schema: must be an object"
        return
    for name in schema.keys() - JSON_SCHEMA_FIELDS:
        yield f"JSON schema: {name!r} is not supported"
    kinds = schema.get("type", "object")
    if set(kinds if isinstance(kinds, list) else [kinds]) - TYPES:
        yield "JSON schema.type: unknown"
    if "$ref" in schema and schema["$ref"].removeprefix("#/$defs/") not in root.get("$defs", {}):
        yield "JSON schema.$ref: cannot be resolved"
    if set(schema.get("required", [])) - set(schema.get("properties", {})):
        yield "JSON schema.required: property is not defined"
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("prefixItems", [])]
    inner += [schema["items"]] if "items" in schema else []
    if not isinstance(schema.get("additionalProperties", False), bool):
        inner.append(schema["additionalProperties"])
    for each in inner:
        yield from json_schema(each, root)


def _config(body: dict[str, Any], model: str) -> Iterator[str]:
    if "generationConfig" not in body:
        return
    config = body["generationConfig"]
    if not config:
        yield "generationConfig: empty"
    for name in config.keys() - CONFIG_FIELDS:
        yield f"generationConfig: Unknown name {name!r}"
    if not 0 <= config.get("temperature", 0) <= 2:
        yield "generationConfig.temperature: must be in [0, 2]"
    if config.get("maxOutputTokens", 1) < 1:
        yield "generationConfig.maxOutputTokens: must be positive"
    stops = config.get("stopSequences", ["x"])
    if not 1 <= len(stops) <= 5 or not all(stops):
        yield "generationConfig.stopSequences: from 1 to 5, none empty"
    schemas = config.keys() & {"responseSchema", "responseJsonSchema"}
    if len(schemas) > 1:
        yield "responseSchema and responseJsonSchema are exclusive"
    if schemas and config.get("responseMimeType") != "application/json":
        yield "responseSchema: only with responseMimeType application/json"
    if "responseMimeType" in config and "tools" in body and not _is_newer(model):
        yield "Function calling with a response mime type: 'application/json' is unsupported"
    if "responseSchema" in config:
        yield from subset(config["responseSchema"])
    if "responseJsonSchema" in config:
        yield from json_schema(config["responseJsonSchema"])
    if "thinkingConfig" in config:
        yield from _thinking(config["thinkingConfig"], model)


def _thinking(config: dict[str, Any], model: str) -> Iterator[str]:
    if not config:
        yield "thinkingConfig: empty"
    if config.keys() - {"includeThoughts", "thinkingBudget", "thinkingLevel"}:
        yield "thinkingConfig: Unknown name"
    if "thinkingBudget" in config and "thinkingLevel" in config:
        yield "thinkingBudget and thinkingLevel are exclusive"
    family = next(name for name in ("pro", "lite", "flash") if name in model)
    if "thinkingLevel" in config:
        levels = LEVELS - {"MINIMAL"} if family == "pro" else LEVELS
        if not _is_newer(model) or config["thinkingLevel"] not in levels:
            yield "thinkingLevel: not supported by this model"
    if "thinkingBudget" in config:
        budget = config["thinkingBudget"]
        switched_off = budget == 0 and family != "pro"
        if not (budget == -1 or switched_off or budget in BUDGETS[family]):
            yield f"thinkingBudget: {budget} is out of range"
        if not model.startswith("gemini-2.5"):
            yield "thinkingBudget: not supported by this model"


def _contents(
    contents: list[dict[str, Any]], model: str, signatures: frozenset[str]
) -> Iterator[str]:
    newer = _is_newer(model)
    for index, content in enumerate(contents):
        if content.keys() != {"role", "parts"}:
            yield f"contents[{index}]: role and parts, nothing else"
            return
        if content["role"] != ("user", "model")[index % 2]:
            yield f"contents[{index}]: roles must alternate, beginning with user"
        if not content["parts"]:
            yield f"contents[{index}].parts: must not be empty"
        for part in content["parts"]:
            for problem in _part(part, content["role"], newer, signatures):
                yield f"contents[{index}]: {problem}"
    yield from _pairs(contents, newer)
    if newer:
        yield from _unsigned(contents)


def _part(
    part: dict[str, Any], role: str, newer: bool, signatures: frozenset[str]
) -> Iterator[str]:
    kinds = part.keys() & KINDS
    if len(kinds) != 1 or part.keys() - KINDS - {"thoughtSignature"}:
        yield f"part: exactly one kind of data, got {sorted(part)}"
        return
    kind = kinds.pop()
    signature = part.get("thoughtSignature")
    if signature is not None:
        yield from _signature(signature, kind, role, newer, signatures)
    data = part[kind]
    if kind == "text":
        if not data.strip() and signature is None:
            yield "text: must not be empty"
    elif kind == "inlineData":
        yield from _blob(data)
    elif kind == "functionCall":
        if role != "model" or data.keys() - {"id", "name", "args"}:
            yield "functionCall: Unknown name, or not the model's"
        if not NAME.fullmatch(data["name"]):
            yield f"functionCall.name: {data['name']!r} is illegal"
        if not isinstance(data["args"], dict):
            yield "functionCall.args: must be an object"
    else:
        if role != "user" or data.keys() - {"id", "name", "response", "parts"}:
            yield "functionResponse: Unknown name, or not the user's"
        if not NAME.fullmatch(data["name"]):
            yield "functionResponse.name: cannot be empty"
        if not isinstance(data["response"], dict):
            yield "functionResponse.response: must be an object"
        if "parts" in data and not (newer and data["parts"]):
            yield "functionResponse.parts: not supported"
        for each in data.get("parts", []):
            yield from _blob(each["inlineData"])


def _blob(data: dict[str, Any]) -> Iterator[str]:
    if data.keys() != {"mimeType", "data"} or not re.fullmatch(r"\w+/\S+", data["mimeType"]):
        yield "inlineData: mimeType and data"
    try:
        base64.b64decode(data["data"].replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        yield "inlineData.data: Base64 decoding failed"


def _signature(
    signature: str, kind: str, role: str, newer: bool, signatures: frozenset[str]
) -> Iterator[str]:
    try:
        code = signature.replace("-", "+").replace("_", "/")
        base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
    except (binascii.Error, ValueError):
        yield "thoughtSignature: Base64 decoding failed"
    if role != "model":
        yield "thoughtSignature: only the model's"
    if signature == SENTINEL:
        if not newer or kind != "functionCall":
            yield "thoughtSignature: the sentinel is for calls of newer models"
    elif signature not in signatures:
        yield "thoughtSignature: Corrupted thought signature"


def _pairs(contents: list[dict[str, Any]], newer: bool) -> Iterator[str]:
    calls: list[dict[str, Any]] = []
    used: set[str] = set()
    for index, content in enumerate(contents):
        parts = content["parts"]
        responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if any("functionResponse" not in part for part in parts[: len(responses)]):
            yield f"contents[{index}]: function responses come first"
        if content["role"] == "user":
            if len(responses) != len(calls):
                yield (
                    f"contents[{index}]: the number of function response parts must be equal to the"
                    " number of function call parts of the function call turn"
                )
            told = [(each["name"], each.get("id")) for each in responses]
            if told != [(each["name"], each.get("id")) for each in calls]:
                yield f"contents[{index}]: responses must be those of the calls, in their order"
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        for call in calls:
            if not newer and "id" in call:
                yield "functionCall.id: not of this model"
            if newer and ("id" not in call or call["id"] in used):
                yield "functionCall.id: must be there once"
            used.add(call.get("id", ""))
        signed = ["thoughtSignature" in part for part in parts if "functionCall" in part]
        if any(signed[1:]):
            yield f"contents[{index}]: only the first call of a step carries the signature"
    if calls:
        yield "contents: a function call turn must be followed by a function response turn"


def _unsigned(contents: list[dict[str, Any]]) -> Iterator[str]:
    texts = [
        index
        for index, content in enumerate(contents)
        if content["role"] == "user" and any("text" in part for part in content["parts"])
    ]
    for content in contents[texts[-1] if texts else 0 :]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            yield "Function call is missing a thought_signature in functionCall parts"
