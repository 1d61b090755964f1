"""Where Claude Code and its like say which session a request belongs to: in `metadata.user_id`,
as `user_<hash>_account_<uuid>_session_<uuid>` or as JSON text with a `session_id`."""

import re

_SESSION = re.compile(r"_session_([0-9a-zA-Z-]+)|\"session_id\"\s*:\s*\"([^\"]+)\"")


def session_in(user_id: str) -> str | None:
    """The session that a user id holds; None if it names the user alone."""
    match = _SESSION.search(user_id)
    return match[1] or match[2] if match else None
