"""Server-sent events: bytes → frames. Source: WHATWG HTML, "9.2.6 Interpreting an event stream"."""

from msgspec import Struct


class Frame(Struct, frozen=True, gc=False):
    """One SSE record.

    `data` joins the data lines by a newline; `raw` is the very bytes of the record with the blank
    line that ended it (and any comments before it), so that frames joined again are the stream.
    A record without data (comments, a lone `event:`) has `data == b""`.
    """

    event: str
    data: bytes
    raw: bytes
