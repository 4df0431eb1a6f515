"""SQL takes values as parameters only: no statement is put together from them.

The checks read the code: what reaches Postgres must be a constant, a file under `sql/`, a statement
composed by `psycopg.sql`, or be listed below with the reason why it may differ.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "worker").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")])
STATEMENTS = sorted((ROOT / "worker" / "store" / "sql").glob("*.sql"))

ALLOWED = {
    ("worker/local/postgres.py", "f'CREATE DATABASE {name}'"): (
        "a name of our own for the embedded server; CREATE DATABASE takes no parameters"
    ),
    **{
        (
            str(file.relative_to(ROOT)),
            "path.read_text(encoding='utf-8')",
        ): "the migration's own file beside it"
        for file in (ROOT / "migrations" / "versions").glob("*.py")
    },
    **{
        ("worker/store/steps.py", statement): "SQLAlchemy's own, whose values are parameters"
        for statement in (
            "schema_revisions.insert().values(values)",
            "schema_revisions.delete().where(schema_revisions.c.revision == revision)",
        )
    },
}
SQL_WORDS = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|MERGE|COPY|CALL|SET|RESET|LOCK|TRUNCATE|"
    r"CREATE|ALTER|DROP|GRANT|REVOKE|ATTACH|VACUUM|EXPLAIN|LISTEN|NOTIFY)\s"
)


class Checker:
    """The expressions of one module that make SQL of values."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._constants = {
            target.id: statement.value
            for statement in tree.body
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
            for target in (
                statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            )
            if isinstance(target, ast.Name)
        }

    def faults(self) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                sink = self._sink(node)
                if sink is not None and not self._constant(sink):
                    yield sink
            if isinstance(node, ast.expr) and self._made_of_values(node):
                yield node

    def _sink(self, call: ast.Call) -> ast.expr | None:
        """The statement in a call that sends one, or that vouches for one."""
        if not call.args:
            return None
        match call.func:
            case (
                ast.Attribute(attr="execute" | "executemany" | "stream")
                | ast.Attribute(value=ast.Name(id="cursor" | "connection"), attr="copy")
                | ast.Attribute(value=ast.Name(id="sql"), attr="SQL")
                | ast.Attribute(value=ast.Name(id="sa" | "sqlalchemy"), attr="text")
                | ast.Name(id="SQL")
            ):
                return call.args[0]
        return None

    def _constant(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._constants and self._constant(self._constants[name])
            case ast.IfExp(body=one, orelse=other):
                return self._constant(one) and self._constant(other)
            case ast.JoinedStr():
                return self._of_numbers(node)
            case ast.Call(func=ast.Attribute(value=ast.Call() as made, attr="format")):
                return isinstance(made.func, ast.Attribute | ast.Name) and self._constant(made)
            # `query` reads a file of ours; the others' arguments are looked at by themselves.
            case (
                ast.Constant()
                | ast.Call(func=ast.Name(id="query" | "SQL"))
                | ast.Call(func=ast.Attribute(attr="SQL" | "text"))
            ):
                return True
        return False

    def _of_numbers(self, made: ast.JoinedStr) -> bool:
        """Whether an f-string holds no values but numbers that stand in this module."""
        return all(
            isinstance(value, ast.Name)
            and isinstance(number := self._constants.get(value.id), ast.Constant)
            and isinstance(number.value, int | float)
            for part in made.values
            if isinstance(part, ast.FormattedValue)
            for value in [part.value]
        )

    def _made_of_values(self, node: ast.expr) -> bool:
        """Whether this puts a text together that begins like a statement."""
        match node:
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                return bool(SQL_WORDS.match(text)) and not self._of_numbers(node)
            case ast.BinOp(
                op=ast.Add() | ast.Mod(), left=ast.Constant(value=str(text) | bytes(text))
            ):
                return _begins_like_sql(text)
            case ast.Call(
                func=ast.Attribute(
                    attr="format" | "replace" | "join", value=ast.Constant(value=str(text))
                )
            ):
                return _begins_like_sql(text)
            case ast.Call(
                func=ast.Attribute(
                    attr="format" | "replace" | "join" | "decode", value=ast.Call() as made
                )
            ):
                return isinstance(made.func, ast.Name) and made.func.id == "query"
        return False


def _begins_like_sql(text: str | bytes) -> bool:
    return bool(SQL_WORDS.match(text if isinstance(text, str) else text.decode("latin-1")))


def _faults(source: str) -> list[str]:
    return [ast.unparse(node) for node in Checker(ast.parse(source)).faults()]


def test_the_code_puts_no_sql_together() -> None:
    found = {
        (str(file.relative_to(ROOT)), fault)
        for file in FILES
        for fault in _faults(file.read_text(encoding="utf-8"))
    }
    assert found - ALLOWED.keys() == set()


def test_what_is_allowed_still_exists() -> None:
    for file, allowed in ALLOWED:
        source = (ROOT / file).read_text(encoding="utf-8")
        written = {
            ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.expr)
        }
        assert allowed in written, (file, allowed)


@pytest.mark.parametrize(
    "source",
    [
        "cursor.execute(f'SELECT * FROM posts WHERE post_id = {post_id}')",
        "cursor.execute('SELECT * FROM posts WHERE post_id = ' + post_id)",
        "cursor.execute('SELECT * FROM posts WHERE post_id = %s' % post_id)",
        "cursor.execute('SELECT * FROM posts WHERE post_id = {}'.format(post_id))",
        "connection.execute(statement)",
        "connection.execute(query('fence').decode().format(group))",
        "connection.execute(sql.SQL(f'LOCK TABLE {table}'))",
        "connection.execute(sql.SQL('LOCK TABLE ' + table).format())",
        "connection.execute(sa.text(statement))",
        "connection.execute(text.strip())",
        "with cursor.copy(f'COPY {table} FROM STDIN') as copy: pass",
        "statement = f'DELETE FROM {table}'",
        "statement = 'SELECT 1 FROM ' + table",
        "statement = 'SET lock_timeout = %s' % value",
        "statement = query('fence').replace(b'a', b'b')",
        "WAIT_S = name\nconnection.execute(f'SET LOCAL lock_timeout = {WAIT_S}')",
        "connection.execute(f'SET LOCAL lock_timeout = {wait_s}')",
        "connection.execute('SELECT 1' if a else statement)",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert _faults(source)


@pytest.mark.parametrize(
    "source",
    [
        "cursor.execute('SELECT * FROM posts WHERE post_id = %b', (post_id,))",
        "connection.execute(query('fence'), {'group': group})",
        "connection.execute(query(name), parameters)",  # one of our files, whichever
        "WAIT_S: Final = 0.2\nconnection.execute(f\"SET LOCAL lock_timeout = '{WAIT_S}s'\")",
        "COUNT = 'SELECT count(*) FROM posts'\ncursor.execute(COUNT)",
        "cursor.execute(sql.SQL('LOCK TABLE {}').format(sql.Identifier(name)))",
        "connection.execute(sa.text('SELECT :key'), {'key': 1})",
        "with cursor.copy(query('load_posts')) as copy: pass",
        "message = f'Set {name}, or start one.'",
        "rows = dictionary.copy()",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert not _faults(source)


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
def test_a_statement_in_a_file_takes_parameters_and_makes_no_other(path: Path) -> None:
    statement = re.sub(r"--[^\n]*", "", query(path.stem).decode())
    assert not re.search(r"\bEXECUTE\b(?!\s+(FUNCTION|PROCEDURE)\b)", statement, re.IGNORECASE)
    assert not re.search(r"\{[a-z_]*\}", statement), "a place for str.format"
    # Named parameters or, as in COPY, none; a % of anything else must be doubled.
    assert not re.search(r"%(?!\(\w+\)[bst]|%)", statement)
    assert not re.search(r"'\s*%\(|%\(\w+\)\w\s*'", statement), "a parameter is never quoted"
