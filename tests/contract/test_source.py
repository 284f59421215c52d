"""What the source itself must hold to: who imports whom, how SQL is written, how long things may be."""

from __future__ import annotations

import ast
import functools
import re
import statistics
import sys

import pytest

from memstore.store import ROOMS

from .rooms import PACKAGE, ROOT

NAMES = sorted(file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py"))
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|SAVEPOINT|RELEASE|ROLLBACK|WHERE|VALUES|ORDER BY|FROM|CHECK)\b")

every_file = pytest.mark.parametrize("name", NAMES)


@functools.cache
def tree_of(name):
    """The syntax tree of a file; only these tests need it, and a process that forks copies the pages of what it holds."""
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def felled():
    yield
    tree_of.cache_clear()


def part_of(name):
    """kernel, the name of a room, store, cli, ..."""
    return name.split("/")[0].removesuffix(".py")


def for_type_checkers(tree):
    """Nodes inside `if TYPE_CHECKING:`, which never run."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }


def imports(name, *, running=True):
    """Absolute names of the modules that a file imports, with the names taken from them."""
    package = ["memstore", *name.removesuffix(".py").split("/")][: -1]
    skipped = for_type_checkers(tree_of(name)) if running else ()
    for node in ast.walk(tree_of(name)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def ours(name, **options):
    """Which parts of memstore a file imports."""
    return {module.split(".")[1] for module in imports(name, **options) if module.startswith("memstore.")}


def strings(tree):
    """Every text in the code, f-strings with ? for what they interpolate; docstrings left out."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node, clean=False)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


# -- who imports whom ---------------------------------------------------------------------------------------------------


@every_file
def test_only_the_kernel_knows_sqlite3(name):
    # The demo changes a byte of an event behind memstore's back, which is the point of it.
    if part_of(name) not in ("kernel", "cli"):
        assert "sqlite3" not in {module.split(".")[0] for module in imports(name, running=False)}


@every_file
def test_the_kernel_knows_no_room_and_a_room_no_store(name):
    part = part_of(name)
    if part == "kernel":
        assert ours(name, running=False) <= {"kernel"}
    elif part in ROOMS:
        assert ours(name) <= {"kernel", part}, "another room comes in by the constructor"
        assert not ours(name, running=False) & {"store", "cli", "testing"}
    elif part != "cli":
        assert "cli" not in ours(name, running=False) or part == "__main__"


@every_file
def test_there_is_nothing_to_install(name):
    known = set(sys.stdlib_module_names) | {"memstore"}
    assert {module.split(".")[0] for module in imports(name)} - {""} <= known


# -- SQL ----------------------------------------------------------------------------------------------------------------


@every_file
def test_no_script_is_executed(name):
    assert "executescript" not in {node.attr for node in ast.walk(tree_of(name)) if isinstance(node, ast.Attribute)}


@every_file
def test_sql_names_its_columns_and_uses_plain_placeholders(name):
    for text in strings(tree_of(name)):
        assert not re.search(r"\bSELECT\s+(\w+\.)?\*", text, re.I), text
        if SQL.search(text):
            assert not re.search(r"\?\d|[:@$]\w+\s*(,|\)|$)", re.sub(r"'[^']*'", "''", text)), text


@every_file
def test_no_connection_is_its_own_block(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                text = ast.unparse(item.context_expr)
                assert not re.search(r"(^|\.)(conn|con|connection|raw|writer|reader|sibling)$", text), f"line {node.lineno}: with {text}"


STATEMENT = re.compile(
    r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|SAVEPOINT|RELEASE|ROLLBACK|FROM|WHERE|AND|ORDER BY|\{\} WHERE)\b"
)
FRAGMENTS = {"clause", "clauses", "column", "columns", "fresh", "hidden", "name", "order", "pragma", "table", "term", "where"}
PARTS = {"APPLICATION_ID", "columns", "kind", "name", "options", "select", "stored", "_levels"}


def harmless(node, given):
    """Whether a piece of SQL is ours: a constant, a number, a quoted name, or a fragment that the function has put together."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").isupper() or (node.id in FRAGMENTS and node.id not in given)
    if isinstance(node, ast.Attribute):
        return node.attr in PARTS
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        quoting = called in ("quote", "schemas.quote", "values.among", "len", "int")
        return quoting or (called.endswith("'.join") and all(harmless(item, given) for item in node.args))
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        return harmless(node.elt, given)
    if isinstance(node, ast.IfExp):
        return harmless(node.body, given) and harmless(node.orelse, given)
    if isinstance(node, (ast.BinOp, ast.Subscript, ast.List, ast.JoinedStr, ast.FormattedValue, ast.Starred)):
        inner = [getattr(node, "value", None), getattr(node, "left", None), *getattr(node, "elts", []), *getattr(node, "values", [])]
        return all(harmless(item, given) for item in inner if item is not None)
    return isinstance(node, ast.Constant)


# Pieces of SQL that the rule above cannot judge, each looked at: they come from a schema's own text or from a room's code.
REVIEWED = {
    "audit/__init__.py": {"verifier.log.state"},
    "audit/carrying.py": {"target.chosen", "target.table"},
    "documents/filters.py": {"', '.join(columns)"},
    "documents/fulltext.py": {"self.clause"},
    "kernel/carrying.py": {"', '.join(map(quote, columns))"},
    "transfer/into.py": {"each.where"},
    "kernel/lifecycle.py": {"assigned"},
    "kernel/schema.py": {"', '.join(parts)", "define(sql).columns[column]", "table"},
    "kernel/subject.py": {"clause", "table"},
    "kernel/table.py": {"clause"},
    "kernel/upkeep.py": {"pages"},
    "kernel/wal.py": {"files.LOG_KEPT"},
}


def sql_pieces(tree):
    """(function, what is put into SQL) of every f-string that is a statement."""
    owners = {id(inner): node for node in functions(tree) for inner in ast.walk(node)}  # the innermost function comes last
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            if STATEMENT.match(text):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue):
                        yield owners.get(id(node)), part.value


@every_file
def test_only_pieces_of_ours_are_put_into_sql(name):
    unknown = set()
    for function, piece in sql_pieces(tree_of(name)):
        public = function is not None and not function.name.startswith("_")
        given = {item.arg for item in [*function.args.args, *function.args.kwonlyargs]} if public else set()
        if not harmless(piece, given):
            unknown.add(ast.unparse(piece))
    assert unknown <= REVIEWED.get(name, set()), "look where each comes from; a value belongs into a placeholder"


def test_a_value_put_into_sql_would_be_noticed():
    lines = ["def find(where, value):", "f'SELECT a FROM {where}'", "f'SELECT {value}'", "f'DELETE FROM t WHERE {quote(value)} = {A}'"]
    tree = ast.parse("\n    ".join(lines))
    judged = [harmless(piece, {"where", "value"}) for _, piece in sql_pieces(tree)]
    assert judged == [False, False, True, True]


# -- Python -------------------------------------------------------------------------------------------------------------


@every_file
def test_no_error_is_swallowed_unseen(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: except without a name"
            if ast.unparse(node.type) in ("Exception", "BaseException"):
                assert not all(isinstance(inner, (ast.Pass, ast.Continue)) for inner in node.body), f"line {node.lineno}"


@every_file
def test_the_kernel_never_opens_a_file_of_a_store_itself(name):
    """Closing any descriptor of a file drops this process's locks on it; lines.py writes exports, under new names."""
    if part_of(name) != "kernel":
        return
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.endswith((".read_text", ".write_text", ".read_bytes", ".write_bytes")), f"line {node.lineno}: {called}"
            if called == "os.open":
                assert name in ("kernel/files.py", "kernel/lines.py"), f"line {node.lineno}"
                assert name != "kernel/files.py" or ast.unparse(node.args[1]) == "os.O_RDONLY" or "O_EXCL" in ast.unparse(node.args[1])
            elif called in ("open", "io.open", "os.fdopen") or called.endswith(".open"):
                assert name == "kernel/lines.py", f"line {node.lineno}: {called}"


@every_file
def test_files_and_functions_are_short(name):
    lines = (PACKAGE / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 700
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions(tree_of(name)) if node.end_lineno - node.lineno >= 60}
    assert long == {}


def test_most_functions_are_very_short():
    assert statistics.median(node.end_lineno - node.lineno + 1 for name in NAMES for node in functions(tree_of(name))) < 10


@every_file
def test_every_file_says_what_it_is_for(name):
    assert ast.get_docstring(tree_of(name))


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_nobody_is_told_to_install_another_package_of_our_name(name):
    file = ROOT / name
    if not file.exists():
        pytest.skip(f"no {name} yet")
    assert not re.search(r"pip3? install (-\S+ )*['\"]?memstore\b(?!/)", file.read_text(encoding="utf-8"))
