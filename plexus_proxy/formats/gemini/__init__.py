"""Google Gemini, generateContent."""

from urllib.parse import quote

from plexus_proxy.formats.format import Format
from plexus_proxy.formats.gemini.call import read_call, splice
from plexus_proxy.formats.gemini.count import TOKEN_COUNT
from plexus_proxy.formats.gemini.errors import read_error, write_error
from plexus_proxy.formats.gemini.headers import provider_headers
from plexus_proxy.formats.gemini.names import qualified
from plexus_proxy.formats.gemini.observer import GeminiObserver, is_usage_only
from plexus_proxy.formats.gemini.request_reader import read_request
from plexus_proxy.formats.gemini.request_writer import write_request
from plexus_proxy.formats.gemini.response import read_response, write_response
from plexus_proxy.formats.gemini.stream_reader import GeminiReader
from plexus_proxy.formats.gemini.stream_writer import DONE, KEEPALIVE, GeminiWriter, stream_error


def _endpoint(model: str, stream: bool) -> str:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/{quote(qualified(model), safe='/:@')}:{verb}"


FORMAT = Format(
    name="gemini",
    endpoint=_endpoint,
    done=DONE,
    keepalive=KEEPALIVE,
    token_count=TOKEN_COUNT,
    read_call=lambda body, asked: read_call(body, asked.model, asked.stream),
    splice=splice,
    read_request=lambda body, asked: read_request(body, asked.model, asked.stream),
    write_request=write_request,
    inlines=("image", "document"),
    read_response=read_response,
    write_response=write_response,
    reader=GeminiReader,
    writer=GeminiWriter,
    stream_error=stream_error,
    observer=GeminiObserver,
    estimated_usage=lambda _last, _chars, _crossing: b"",  # the last chunk holds it
    is_usage_only=is_usage_only,
    provider_headers=provider_headers,
    read_error=read_error,
    write_error=write_error,
)
