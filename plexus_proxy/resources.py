"""Where templates/, static/, sql/ and catalogue/ are: in the wheel, else in the checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "_resources" if (_PACKAGE / "_resources").is_dir() else _PACKAGE.parent

TEMPLATES = _ROOT / "templates"
STATIC = _ROOT / "static"
MIGRATIONS = _ROOT / "sql" / "migrations"
QUERIES = _ROOT / "sql" / "queries"
CATALOGUE = _ROOT / "catalogue" / "models.json"
EXAMPLE_CONFIG = _ROOT / "config" / "plexus.example.yaml"
