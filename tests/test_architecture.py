"""Promises about the whole codebase, read from its syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "plexus_proxy"
NAME = PACKAGE.name

TABLE = (
    ("errors · settings · resources · log · tasks · crypto · drain · egress",),
    ("formats", "config", "db"),
    ("cluster",),
    ("adapters", "routing", "limits", "usage", "vault", "tokens"),
    ("upstream", "demo"),
    ("gateway",),
    ("manage",),
    ("api", "admin"),
    ("app",),
    ("server",),
    ("__main__",),
)
"""Who may import whom: a package may use those on lines above it, never below or beside; what a
dot joins may use each other. A new package is added here in the same commit."""

MAX_LINES = 900
MUTATORS = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "discard", "insert"}
MUTATORS |= {"remove", "appendleft", "popleft", "popitem"}
MUTABLE_STATE = {
    ("tasks", "_running"),  # the event loop keeps only weak references to tasks
}

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if "_resources" not in path.parts
}


def _cells() -> dict[str, tuple[int, str]]:
    """Package → its line of the table and its cell on that line."""
    return {
        name: (line, cell)
        for line, cells in enumerate(TABLE)
        for cell in cells
        for name in cell.split(" · ")
    }


def _package(module: str) -> str:
    return module.partition("/")[0]


def _imports(module: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Packages of ours that a module imports, `TYPE_CHECKING` and functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            base = node.module or ""
            dotted = [f"{base}.{alias.name}" if base == NAME else base for alias in node.names]
        else:
            continue
        for name in dotted:
            root, _, rest = name.partition(".")
            if root == NAME and rest:
                yield rest.partition(".")[0], node.lineno


def test_every_package_is_in_the_table() -> None:
    assert {_package(module) for module in MODULES} - {"__init__"} == set(_cells())


def test_packages_import_only_from_above() -> None:
    cells = _cells()
    wrong = [
        f"{module}:{line} imports {target}"
        for module, tree in MODULES.items()
        for target, line in _imports(module, tree)
        if target in cells
        and target != _package(module)
        and cells[target] != cells[_package(module)]
        and cells[target][0] >= cells[_package(module)][0]
    ]
    assert not wrong


def _uses(names: set[str], *, but_not_in: set[str]) -> list[str]:
    return [
        f"{module}:{node.lineno} {used}"
        for module, tree in MODULES.items()
        if module not in but_not_in
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (used := node.attr if isinstance(node, ast.Attribute) else node.id) in names
    ]


def test_only_tasks_start_background_work() -> None:
    assert not _uses({"create_task", "ensure_future", "TaskGroup"}, but_not_in={"tasks"})


def test_only_resources_knows_where_files_are() -> None:
    assert not _uses({"__file__"}, but_not_in={"resources"})


def test_only_settings_reads_the_environment() -> None:
    assert not _uses({"environ", "getenv"}, but_not_in={"settings"})


def _assigned(statement: ast.stmt) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def _mutations(tree: ast.Module, names: set[str]) -> Iterator[tuple[str, int]]:
    """Where functions change what `names`, defined at module level, hold."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            target: ast.expr | None = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                target = node.func.value if node.func.attr in MUTATORS else None
            elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                target = node.value
            if isinstance(target, ast.Name) and target.id in names:
                yield target.id, node.lineno


def test_modules_hold_no_mutable_state() -> None:
    found: list[str] = []
    for module, tree in MODULES.items():
        found += [
            f"{module}:{node.lineno} global"
            for node in ast.walk(tree)
            if isinstance(node, ast.Global)
        ]
        names = {name for statement in tree.body for name in _assigned(statement)}
        found += [
            f"{module}:{line} changes {name}"
            for name, line in _mutations(tree, names)
            if (module, name) not in MUTABLE_STATE
        ]
    assert not found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_says_what_it_is(module: str) -> None:
    path = (PACKAGE / module).with_suffix(".py")
    assert len(path.read_text().splitlines()) <= MAX_LINES
    if module != "__init__" and path.name != "__init__.py":
        assert ast.get_docstring(MODULES[module]), f"{module} has no docstring"
