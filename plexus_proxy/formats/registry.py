"""The wire formats we speak. A new one is a folder beside this file and a line here."""

from collections.abc import Mapping

from plexus_proxy.formats import chat, completions, gemini, messages, responses
from plexus_proxy.formats.format import ClientFormat, Format

FORMATS: Mapping[str, Format] = {
    fmt.name: fmt for fmt in (chat.FORMAT, messages.FORMAT, responses.FORMAT, gemini.FORMAT)
}
CLIENT_FORMATS: Mapping[str, ClientFormat] = {
    **FORMATS,
    completions.FORMAT.name: completions.FORMAT,
}
"""Those that providers speak too, and those that are always translated."""
