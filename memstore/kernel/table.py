"""Records and the trivial statements: a row is a tuple, a record is that tuple with names.

1. Records are filled positionally from explicit columns; a table without JSON or flags pays nothing for decoding.
2. The DDL and the record are both written by hand; a test holds their names, nullability and types equal.
3. Everything that is not trivial is SQL in its room, read back with `records`.
4. What its schema says is sealed is encrypted on its way in and decrypted on its way out, where the store has a codec.
5. A damaged page can give any type to a value, whatever STRICT has seen go in: a record has the types that it says, or is Corrupt.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .errors import Corrupt
from .values import from_json, shorten

R = TypeVar("R")

if TYPE_CHECKING:
    from typing import dataclass_transform

    from .cipher import Cipher
    from .schema import Schema

    @dataclass_transform(frozen_default=True)
    def record(cls: type[R]) -> type[R]: ...

else:

    def record(cls):
        """Make a record class: slots, positional, frozen for type checkers (really frozen ones read twice as slowly)."""
        return dataclasses.dataclass(slots=True, repr=False)(cls)


class Record:
    """What every record can do beside holding its fields."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-ready dict."""
        return {name: _plain(getattr(self, name)) for name in _names(self)}

    def __repr__(self) -> str:
        shown = (f"{name}={_cut(getattr(self, name))}" for name in _names(self) if getattr(self, name) is not None)
        return f"{type(self).__name__}({', '.join(shown)})"


class Reader(Protocol):
    """What can answer a query: a connection, or a room for a single statement."""

    @property
    def cipher(self) -> Cipher | None: ...

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


class Writer(Protocol):
    """What can insert and change."""

    @property
    def cipher(self) -> Cipher | None: ...

    def run(self, sql: str, params: Sequence[Any] = ()) -> int: ...

    def insert(self, sql: str, params: Sequence[Any] = ()) -> int: ...


class Table(Generic[R]):
    """Map one record class to the columns it is read from and written to."""

    def __init__(
        self,
        record_class: type[R],
        name: str,
        *,
        json: Sequence[str] = (),
        flags: Sequence[str] = (),
        hidden: Sequence[str] = (),
        computed: Mapping[str, str] | None = None,
        schema: Schema | None = None,
    ) -> None:
        annotations = {field.name: str(field.type) for field in dataclasses.fields(record_class)}  # type: ignore[arg-type]
        fields = list(annotations)
        self.record = record_class
        self.name = name
        self.json = tuple(json)
        self.flags = tuple(flags)
        self.hidden = tuple(hidden)  # columns of the table that no record shows
        self.computed = dict(computed or {})  # fields of the record that are no column: name -> SQL
        self.stored = tuple(field for field in fields if field not in self.computed)
        self.columns = ", ".join(self.computed.get(field, f"{name}.{field}") for field in fields)
        self.select = f"SELECT {self.columns} FROM {name}"
        self._values = attrgetter(*self.stored) if len(self.stored) > 1 else lambda item: (getattr(item, self.stored[0]),)
        self._positions = {field: position for position, field in enumerate(self.stored)}
        legal = {field: _types(annotations[field]) for field in fields}
        self._shapes = {field: legal[field] for field in self.json}
        legal.update({field: types & {type(None)} | {str} for field, types in self._shapes.items()})
        self._carried = next((each for each in schema.carried if each.table == name), None) if schema is not None else None
        sealed = () if self._carried is None else (*self._carried.sealed, *self._carried.documents)
        self._sealed = [(place, field) for place, field in enumerate(fields) if field in sealed]
        self._documents = [(place, field) for place, field in enumerate(fields) if field in self.json]
        self._flags = [place for place, field in enumerate(fields) if field in self.flags]
        self._legal = [(place, field, legal[field]) for place, field in enumerate(fields) if field in self._positions and legal[field]]

    def records(self, rows: Iterable[tuple[Any, ...]], cipher: Cipher | None = None) -> list[R]:
        """Turn rows of `columns` into records."""
        rows = list(rows)
        if not rows:
            return []
        if cipher is not None and self._sealed:
            rows = [self._unsealed(cipher, row) for row in rows]
        columns = list(zip(*rows))
        for place, field, types in self._legal:
            if not types.issuperset(map(type, columns[place])):
                key, value = next((row[0], row[place]) for row in rows if type(row[place]) not in types)
                raise self._damaged(field, key, value)
        for place, field in self._documents:
            if columns[place].count(None) < len(rows):
                columns[place] = self._read_documents(field, columns[place], columns[0])
        for place in self._flags:
            columns[place] = tuple([None if value is None else bool(value) for value in columns[place]])
        return list(map(self.record, *columns))

    def _read_documents(self, field: str, sources: tuple[Any, ...], keys: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values of a JSON column."""
        make = dict if dict in self._shapes[field] else list
        empty = "{}" if make is dict else "[]"  # most are, and reading even that costs a microsecond
        return tuple(
            [
                None if source is None else make() if source == empty else self.decode(field, source, key)
                for source, key in zip(sources, keys)
            ]
        )

    def decode(self, field: str, source: Any, key: Any = None) -> Any:
        """The value of a JSON column in the row with this key."""
        try:
            value = from_json(source)
        except Corrupt as error:
            raise self._damaged(field, key, source) from error
        return self.shaped(field, value, key)

    def shaped(self, field: str, value: Any, key: Any = None) -> Any:
        """Pass on what a JSON column held; of another shape than the record's it is damage too."""
        shape = self._shapes[field]
        if shape and type(value) not in shape:
            raise self._damaged(field, key, value)
        return value

    def _damaged(self, field: str, key: Any, value: Any) -> Corrupt:
        return Corrupt(f"{field} of {shorten(key)} in {self.name} is damaged, it holds {shorten(value)}; check() lists what else is")

    def find(self, reader: Reader, clause: str = "", params: Sequence[Any] = ()) -> list[R]:
        """Select the records that a WHERE / ORDER BY / LIMIT clause picks."""
        return self.records(reader.rows(f"{self.select} {clause}", params), reader.cipher)

    def first(self, reader: Reader, clause: str = "", params: Sequence[Any] = ()) -> R | None:
        """Select one record, or None."""
        found = self.find(reader, clause, params)
        return found[0] if found else None

    def values(self, item: R) -> list[Any]:
        """Column values of a record in the order of `stored`, ready to bind."""
        values = list(self._values(item))
        for field in self.json:
            position = self._positions.get(field)
            if position is not None and values[position] is not None:
                values[position] = encode(values[position])
        for field in self.flags:
            position = self._positions[field]
            if values[position] is not None:
                values[position] = int(values[position])
        return values

    def sealed(self, writer: Writer, key: str, **sealed: str | None) -> list[Any]:
        """The values of sealed columns, ready to bind into the row with this id."""
        if writer.cipher is None or self._carried is None:
            return list(sealed.values())
        return [writer.cipher.seal_column(self._carried, field, (key,), value) for field, value in sealed.items()]

    def _unsealed(self, cipher: Cipher, row: tuple[Any, ...]) -> tuple[Any, ...]:
        assert self._carried is not None
        result = list(row)
        for place, field in self._sealed:
            result[place] = cipher.unseal_column(self._carried, field, row[:1], row[place])
        return tuple(result)

    def insert(self, writer: Writer, item: R, **hidden: Any) -> int:
        """Insert a record, with values for hidden columns where given, and return its integer key."""
        columns, values = (*self.stored, *hidden), self.bound(writer, item)
        return writer.insert(
            f"INSERT INTO {self.name}({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            (*values, *hidden.values()),
        )

    def rewrite(self, writer: Writer, item: R, **hidden: Any) -> None:
        """Give the row with the id of a record all of the record's values, and hidden columns those that are given."""
        values = self.bound(writer, item)
        columns = ", ".join(f"{column} = ?" for column in (*self.stored, *hidden))
        writer.run(f"UPDATE {self.name} SET {columns} WHERE id = ?", (*values, *hidden.values(), values[self._positions["id"]]))

    def bound(self, writer: Writer, item: R) -> list[Any]:
        """Column values of a record in the order of `stored` as the file has them, ready to bind."""
        values = self.values(item)
        for _, field in self._sealed if writer.cipher is not None else ():
            position = self._positions[field]
            (values[position],) = self.sealed(writer, values[0], **{field: values[position]})
        return values


def encode(value: Any) -> str:
    """JSON text of a value that `values.to_json` has checked already."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _types(annotation: str) -> frozenset[type]:
    """What SQLite returns for a field, or JSON for one of a document; nothing where the annotation is a name of its own."""
    bare = annotation.removesuffix(" | None")
    types = _TYPES.get(bare.partition("[")[0], frozenset())
    return types | {type(None)} if types and bare != annotation else types


_TYPES: dict[str, frozenset[type]] = {
    "str": frozenset({str}),
    "int": frozenset({int}),
    "bool": frozenset({int}),
    "float": frozenset({float, int}),  # RETURNING gives a whole number as it is stored
    "list": frozenset({list}),
    "dict": frozenset({dict}),
}


def _names(item: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(item)]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _cut(value: Any) -> str:
    if isinstance(value, str) and len(value) > 80:
        return repr(value[:79] + "…")
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:79] + "…"
