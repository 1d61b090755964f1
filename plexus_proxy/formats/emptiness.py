"""When an answer that ended well counts as empty, so that another target may do better.

Only answers that came to their natural end are judged: a length limit, a filter or a stop sequence
may well leave nothing. What observers do not read (images, audio) shows in the usage.
Source: behaviour reference, appendix C, "Empty-completion test".
"""

from plexus_proxy.formats.events import Usage

_FEW_TOKENS = 4
"""What an end of turn or some white space may count as."""


def counts_as_empty(usage: Usage | None) -> bool:
    """Of an answer in which nothing was seen: whether its usage agrees."""
    return usage is None or usage.completion_tokens <= _FEW_TOKENS
