"""Tables of PostgreSQL with the extension pgvector; an alias is a view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import orjson
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.filters import SYMBOLS, Absent, Condition, OneOf
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.production.vector_stores.interfaces import CollectionShape, MetadataType, Records

_OPERATORS = {name: sql.SQL(symbol) for name, symbol in SYMBOLS.items()}
_COLUMNS = sql.SQL("chunk, embedding, document, start_character, end_character, text, metadata")
Result = TypeVar("Result")


def open_store(address: str) -> PgvectorTables:
    """Return the store of a database (postgresql://…). Its password is read as PostgreSQL's clients read it."""
    return PgvectorTables(address)


class PgvectorTables:
    """A table a collection, without an index of vectors: every one is compared. A view stands for the one in use."""

    exact: ClassVar[bool] = True
    most_asked: ClassVar[int] = 1_000_000

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection = self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._address, autocommit=True)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        register_vector(connection)
        return connection

    def _with_connection(self, work: Callable[[psycopg.Connection[Any]], Result]) -> Result:
        """Return what some work does, on a new connection where the old one was cut."""
        try:
            return work(self._connection)
        except psycopg.OperationalError:
            if not self._connection.broken:
                raise
            self._connection = self._connect()
            return work(self._connection)

    def _rows(self, query: sql.SQL | sql.Composed, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._with_connection(lambda connection: connection.execute(query, values).fetchall())

    def _run(self, query: sql.SQL | sql.Composed) -> None:
        self._with_connection(lambda connection: connection.execute(query))

    def names(self) -> set[str]:
        """Return the names of all tables and views that can be seen without naming a schema."""
        found = self._rows(sql.SQL("SELECT relname FROM pg_class WHERE pg_table_is_visible(oid)"))
        return {str(name) for (name,) in found}

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create a table."""
        columns = sql.SQL(
            "chunk integer PRIMARY KEY, embedding vector({}) NOT NULL, document text NOT NULL, "
            "start_character integer, end_character integer, text text NOT NULL, metadata jsonb NOT NULL"
        ).format(sql.Literal(shape.dimensions))
        self._run(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(collection), columns))

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a table."""
        found = self._rows(sql.SQL("SELECT chunk FROM {}").format(sql.Identifier(collection)))
        return np.array([chunk for (chunk,) in found], np.int64)

    def write(self, collection: str, records: Records) -> None:
        """Write records in one transaction."""
        query = sql.SQL(
            "INSERT INTO {} ({}) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (chunk) DO UPDATE SET "
            "(embedding, document, start_character, end_character, text, metadata) = (EXCLUDED.embedding, "
            "EXCLUDED.document, EXCLUDED.start_character, EXCLUDED.end_character, EXCLUDED.text, EXCLUDED.metadata)"
        ).format(sql.Identifier(collection), _COLUMNS)
        columns = (records.chunks.tolist(), records.vectors, records.places, records.texts, records.metadata)
        rows = [
            (chunk, vector, place.document_id, place.start, place.end, text.replace("\0", ""), _json(metadata))
            for chunk, vector, place, text, metadata in zip(*columns, strict=True)
        ]

        def insert(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(query, rows)

        self._with_connection(insert)

    def target(self, alias: str) -> str | None:
        """Return the table that a view shows."""
        query = sql.SQL(
            "SELECT DISTINCT used.relname FROM pg_rewrite JOIN pg_class AS view ON view.oid = pg_rewrite.ev_class "
            "JOIN pg_depend ON pg_depend.objid = pg_rewrite.oid JOIN pg_class AS used ON used.oid = pg_depend.refobjid "
            "WHERE view.relname = %s AND view.relkind = 'v' AND used.relkind = 'r' AND pg_table_is_visible(view.oid)"
        )
        found = self._rows(query, [alias])
        return str(found[0][0]) if found else None

    def switch(self, alias: str, collection: str) -> None:
        """Let a view show another table: in one transaction, since the size of its vectors may be another."""
        names = {"view": sql.Identifier(alias), "table": sql.Identifier(collection), "columns": _COLUMNS}

        def replace(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction():
                connection.execute(sql.SQL("DROP VIEW IF EXISTS {view}").format(**names))
                connection.execute(sql.SQL("CREATE VIEW {view} AS SELECT {columns} FROM {table}").format(**names))

        self._with_connection(replace)

    def drop(self, collection: str) -> None:
        """Remove a table."""
        self._run(sql.SQL("DROP TABLE {}").format(sql.Identifier(collection)))

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return the nearest chunks of each query."""
        tests = [_condition(condition) for condition in conditions]
        where = sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(t for t, _ in tests)) if tests else sql.SQL("")
        query = sql.SQL(
            "SELECT chunk, -(embedding <#> %s) AS score FROM {} {} ORDER BY score DESC, chunk LIMIT {}"
        ).format(sql.Identifier(collection), where, sql.Literal(depth))
        values = [value for _, some in tests for value in some]
        rows = []
        for vector in queries:
            found = self._rows(query, [vector, *values])
            chunks, scores = [chunk for chunk, _ in found], [score for _, score in found]
            rows.append((np.array(chunks, np.int32), np.array(scores, np.float32)))
        return RankedLists.stack(rows, depth)

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks."""
        query = sql.SQL("SELECT chunk, embedding FROM {} WHERE chunk = ANY(%s)").format(sql.Identifier(collection))
        known = dict(self._rows(query, [chunks.tolist()]))
        return np.array([known[chunk].to_numpy() for chunk in chunks.tolist()], np.float32)

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return nothing: every condition can be asked."""
        return ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _json(metadata: object) -> Jsonb:
    return Jsonb(metadata, dumps=lambda value: orjson.dumps(value).decode())


def _condition(condition: Condition) -> tuple[sql.Composable, Sequence[object]]:
    """Return a condition with places for values, and the values."""
    name = condition.name
    if isinstance(condition, Absent):
        return sql.SQL("NOT metadata ? %s"), [name]
    if isinstance(condition, OneOf):
        # as JSON: 1 equals 1.0 there, and neither true nor "1"
        equal = [sql.SQL("metadata -> %s = %s")] * len(condition.values)
        values = [part for value in condition.values for part in (name, _json(value))]
        return sql.SQL("({})").format(sql.SQL(" OR ").join(equal)), values
    kind, cast = ("string", 'COLLATE "C"') if condition.of_texts else ("number", "::numeric")
    tests, bounds = [], list[object]()
    for operator, value in condition.bounds:
        compare = sql.SQL("(metadata ->> %s) {} {} %s").format(sql.SQL(cast), _OPERATORS[operator])
        tests.append(compare)
        bounds += [name, value]
    inside = sql.SQL("CASE WHEN jsonb_typeof(metadata -> %s) = {} THEN {} ELSE false END")
    return inside.format(sql.Literal(kind), sql.SQL(" AND ").join(tests)), [name, *bounds]
