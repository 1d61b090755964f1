"""OpenAI Responses."""

from plexus_proxy.formats.chat.errors import read_error, write_error
from plexus_proxy.formats.chat.headers import provider_headers
from plexus_proxy.formats.format import Format
from plexus_proxy.formats.responses.call import read_call, splice
from plexus_proxy.formats.responses.count import TOKEN_COUNT
from plexus_proxy.formats.responses.errors import stream_error
from plexus_proxy.formats.responses.observer import ResponsesObserver
from plexus_proxy.formats.responses.request_reader import read_request
from plexus_proxy.formats.responses.request_writer import write_request
from plexus_proxy.formats.responses.response import read_response, write_response
from plexus_proxy.formats.responses.stream_reader import ResponsesReader
from plexus_proxy.formats.responses.stream_writer import KEEPALIVE, ResponsesWriter

FORMAT = Format(
    name="responses",
    endpoint=lambda _model, _stream: "/responses",
    done=b"",  # response.completed has said it all
    keepalive=KEEPALIVE,
    token_count=TOKEN_COUNT,
    read_call=read_call,
    splice=splice,
    read_request=read_request,
    write_request=write_request,
    read_response=read_response,
    write_response=write_response,
    reader=ResponsesReader,
    writer=ResponsesWriter,
    stream_error=stream_error,
    observer=ResponsesObserver,
    estimated_usage=lambda _last, _chars, _crossing: b"",  # the final response holds it
    is_usage_only=lambda _frame: False,
    provider_headers=provider_headers,
    read_error=read_error,
    write_error=write_error,
)
