"""`${NAME}` and `${NAME:-default}` in the strings of a config; `$${` stays a literal `${`.

As in a shell, the default also stands in for a variable that is set but empty. What does not look
like a variable (`${}`, `${a b}`) is left as it is: files of the base release, which knew no
variables, keep their meaning.
"""

import re
from collections.abc import Mapping

MARK = "${"
_PLACE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class NotSet(Exception):
    """A variable without a default is not in the environment."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`text` with its variables replaced, once: values are not looked at again. Raises NotSet."""

    def value(match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return MARK
        found = environment.get(name)
        if found is None or (not found and default is not None):
            if default is None:
                raise NotSet(name)
            return default
        return found

    return _PLACE.sub(value, text)
