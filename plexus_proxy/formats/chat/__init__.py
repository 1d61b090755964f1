"""OpenAI Chat Completions."""

from plexus_proxy.formats.chat.call import read_call, splice
from plexus_proxy.formats.chat.errors import read_error, write_error
from plexus_proxy.formats.chat.headers import provider_headers
from plexus_proxy.formats.chat.observer import ChatObserver, is_usage_only
from plexus_proxy.formats.chat.request_reader import read_request
from plexus_proxy.formats.chat.request_writer import write_request
from plexus_proxy.formats.chat.response import read_response, write_response
from plexus_proxy.formats.chat.stream_reader import ChatReader
from plexus_proxy.formats.chat.stream_writer import (
    DONE,
    KEEPALIVE,
    ChatWriter,
    estimated_usage,
    stream_error,
)
from plexus_proxy.formats.format import Format

FORMAT = Format(
    name="chat",
    endpoint=lambda _model, _stream: "/chat/completions",
    done=DONE,
    keepalive=KEEPALIVE,
    read_call=read_call,
    splice=splice,
    read_request=read_request,
    write_request=write_request,
    inlines=("document",),
    read_response=read_response,
    write_response=write_response,
    reader=ChatReader,
    writer=ChatWriter,
    stream_error=stream_error,
    observer=ChatObserver,
    estimated_usage=estimated_usage,
    is_usage_only=is_usage_only,
    provider_headers=provider_headers,
    read_error=read_error,
    write_error=write_error,
)
