"""What every frame does again and again, sent by the drivers themselves: rows written, numbers taken, questions asked.

SQLAlchemy compiles, binds and wraps each statement anew from its cache, which costs several times what SQLite takes to
run it. Here a statement is compiled once a dialect; values are still converted by the columns' own types. Everything
runs in the transaction of the connection that is given.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Dialect, SelectBase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from storage.tables import DefectRow, MergedDefectRow, Table

Values = Mapping[str, Any]
Convert = Callable[[Any], Any]


def write_rows(connection: Connection, table: type[Table], rows: Sequence[Values]) -> None:
    """Inserts rows that all have the columns of the first: SQLite's `executemany`, PostgreSQL's `COPY`. Columns that
    are not named get the database's defaults."""
    if not rows:
        return
    writer = _writer(connection.dialect, table, tuple(rows[0]))
    with _cursor(connection, writer.statement) as cursor:
        if connection.dialect.name == "sqlite":
            cursor.executemany(writer.statement, list(writer.converted(rows)))
            return
        with cursor.copy(writer.statement) as copy:
            for values in writer.converted(rows):
                copy.write_row(values)


def take_numbers(connection: Connection, table: type[Table], count: int) -> list[int]:
    """Numbers (`id`) for so many rows that are about to be written. On SQLite the caller's transaction must be a
    writing one, of which there is one at a time. A number that a defect was once known by is never given again."""
    if connection.dialect.name != "sqlite":
        query = f"SELECT nextval('{table.__tablename__}_id_seq') FROM generate_series(1, %s)"
        with _cursor(connection, query) as cursor:
            return [number for (number,) in cursor.execute(query, (count,))]
    tables = (table, MergedDefectRow) if table is DefectRow else (table,)
    highest = (f"coalesce((SELECT max(id) FROM {each.__tablename__}), 0)" for each in tables)
    query = f"SELECT max(0, {', '.join(highest)})"
    with _cursor(connection, query) as cursor:
        (last,) = cursor.execute(query).fetchone()
    return list(range(last + 1, last + 1 + count))


class Question:
    """A statement that is asked often, with named parameters. Its rows are plain tuples, as the driver gives them:
    only for columns that both drivers give as they are (numbers, text, bytes), not times or truth values."""

    def __init__(self, statement: SelectBase) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def ask(self, connection: Connection, **parameters: Any) -> list[tuple[Any, ...]]:
        (rows,) = self.ask_all(connection, [parameters])
        return rows

    def ask_all(self, connection: Connection, parameters: Sequence[Values]) -> list[list[tuple[Any, ...]]]:
        """The rows for each; PostgreSQL is asked all of them at once, without waiting for each answer."""
        compiled = self._compiled.get(connection.dialect.name)
        if compiled is None:
            compiled = self._compiled[connection.dialect.name] = _compile(connection.dialect, self._statement)
        bound = [compiled.bind(each) for each in parameters]
        if connection.dialect.name == "sqlite":
            with _cursor(connection, compiled.statement) as cursor:
                return [cursor.execute(compiled.statement, each).fetchall() for each in bound]
        driver = cast(Any, connection.connection.driver_connection)
        with _as_sqlalchemy(connection, compiled.statement), driver.pipeline():
            cursors = [driver.execute(compiled.statement, each) for each in bound]
            return [cursor.fetchall() for cursor in cursors]


@dataclass(frozen=True, slots=True)
class _Writer:
    statement: str
    names: tuple[str, ...]
    convert: tuple[tuple[int, Convert], ...]  # by position

    def converted(self, rows: Iterable[Values]) -> Iterator[list[Any]]:
        for row in rows:
            values = [row[name] for name in self.names]
            for index, convert in self.convert:
                values[index] = convert(values[index])
            yield values


@dataclass(frozen=True, slots=True)
class _Compiled:
    statement: str
    constants: dict[str, Any]
    convert: dict[str, Convert]
    order: tuple[str, ...] | None  # of positional parameters; None where they are named

    def bind(self, parameters: Values) -> Any:
        values = {**self.constants, **parameters}
        for name, convert in self.convert.items():
            values[name] = convert(values[name])
        return values if self.order is None else [values[name] for name in self.order]


_writers: dict[tuple[str, type[Table], tuple[str, ...]], _Writer] = {}


def _writer(dialect: Dialect, table: type[Table], names: tuple[str, ...]) -> _Writer:
    key = dialect.name, table, names
    if key not in _writers:
        into, columns = table.__tablename__, ", ".join(names)
        if dialect.name == "sqlite":
            statement = f"INSERT INTO {into} ({columns}) VALUES ({', '.join('?' for _ in names)})"
        else:
            statement = f"COPY {into} ({columns}) FROM STDIN"
        converts = ((index, _convert(table.__table__.c[name].type, dialect)) for index, name in enumerate(names))
        convert = tuple((index, each) for index, each in converts if each is not None)
        _writers[key] = _Writer(statement, names, convert)
    return _writers[key]


def _compile(dialect: Dialect, statement: SelectBase) -> _Compiled:
    compiled = statement.compile(dialect=dialect)
    binds = {compiled.bind_names[bind]: bind for bind in compiled.bind_names}
    return _Compiled(
        statement=str(compiled),
        constants={name: bind.value for name, bind in binds.items() if not bind.required},
        convert={name: each for name, bind in binds.items() if (each := _convert(bind.type, dialect)) is not None},
        order=tuple(compiled.positiontup) if compiled.positiontup is not None else None,
    )


def _convert(of: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return cast("Convert | None", of.dialect_impl(dialect).bind_processor(dialect))


@contextmanager
def _cursor(connection: Connection, statement: str) -> Iterator[Any]:
    cursor = cast(Any, connection.connection.cursor())
    with _as_sqlalchemy(connection, statement):
        try:
            yield cursor
        finally:
            cursor.close()


@contextmanager
def _as_sqlalchemy(connection: Connection, statement: str) -> Iterator[None]:
    """The driver's errors as SQLAlchemy raises them, so that those who explain errors need know one kind."""
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as error:
        raise DBAPIError.instance(
            statement, None, cast(Exception, error), driver_error, dialect=connection.dialect
        ) from error
