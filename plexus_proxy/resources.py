"""Where templates/, static/, sql/ and catalogue/ are: in the wheel, else in the checkout. And the
vocabulary of the tokenizer, which is in the package itself."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "_resources" if (_PACKAGE / "_resources").is_dir() else _PACKAGE.parent

TEMPLATES = _ROOT / "templates"
STATIC = _ROOT / "static"
MIGRATIONS = _ROOT / "sql" / "migrations"
QUERIES = _ROOT / "sql" / "queries"
CATALOGUE = _ROOT / "catalogue" / "models.json"
EXAMPLE_CONFIG = _ROOT / "config" / "plexus.example.yaml"
VOCABULARY = _PACKAGE / "tokens" / "o200k_base.tiktoken.xz"
