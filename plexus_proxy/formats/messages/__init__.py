"""Anthropic Messages."""

from plexus_proxy.formats.format import Format
from plexus_proxy.formats.messages.call import read_call, splice
from plexus_proxy.formats.messages.count import TOKEN_COUNT
from plexus_proxy.formats.messages.errors import read_error, write_error
from plexus_proxy.formats.messages.headers import provider_headers
from plexus_proxy.formats.messages.observer import MessagesObserver, is_usage_only
from plexus_proxy.formats.messages.request_reader import read_request
from plexus_proxy.formats.messages.request_writer import write_request
from plexus_proxy.formats.messages.response import read_response, write_response
from plexus_proxy.formats.messages.stream_reader import MessagesReader
from plexus_proxy.formats.messages.stream_writer import PING, STOP, MessagesWriter, stream_error

FORMAT = Format(
    name="messages",
    endpoint=lambda _model, _stream: "/messages",
    done=STOP,
    keepalive=PING,
    token_count=TOKEN_COUNT,
    read_call=read_call,
    splice=splice,
    read_request=read_request,
    write_request=write_request,
    read_response=read_response,
    write_response=write_response,
    reader=MessagesReader,
    writer=MessagesWriter,
    stream_error=stream_error,
    observer=MessagesObserver,
    estimated_usage=lambda _last, _chars, _crossing: b"",  # message_delta holds it
    is_usage_only=is_usage_only,
    provider_headers=provider_headers,
    read_error=read_error,
    write_error=write_error,
)
