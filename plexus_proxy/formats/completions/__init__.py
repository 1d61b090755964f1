"""OpenAI's legacy Completions: a prompt, or a gap to fill. Spoken by clients alone."""

from plexus_proxy.formats.chat.errors import write_error
from plexus_proxy.formats.chat.stream_writer import KEEPALIVE
from plexus_proxy.formats.completions.request import read_call, read_request
from plexus_proxy.formats.completions.response import write_response
from plexus_proxy.formats.completions.stream_writer import CompletionsWriter
from plexus_proxy.formats.format import ClientFormat

FORMAT = ClientFormat(
    name="completions",
    keepalive=KEEPALIVE,
    read_call=read_call,
    read_request=read_request,
    write_response=write_response,
    writer=CompletionsWriter,
    write_error=write_error,
)
