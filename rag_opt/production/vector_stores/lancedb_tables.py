"""Tables of LanceDB in a folder, or in an object store; an alias is a table of one row that names another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import lancedb
import numpy as np
import pyarrow as pa

from rag_opt.core.arrays import IntArray, Vectors
from rag_opt.core.filters import SYMBOLS, Absent, Condition, OneOf, Scalar
from rag_opt.core.ranked_lists import RankedLists
from rag_opt.production.vector_stores.interfaces import CollectionShape, MetadataType, Records

_TYPES = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_TARGET = "rag_opt_collection"


def open_store(address: str) -> LancedbTables:
    """Return the store of a folder or an address that LanceDB knows (s3://…)."""
    return LancedbTables(address)


class LancedbTables:
    """Rows with `chunk`, `vector`, `text`, `document`, `start`, `end`, and a column `metadata` of typed fields.

    Metadata that are of one type in some documents and of another elsewhere have no column, and no filter.
    """

    exact: ClassVar[bool] = True
    most_asked: ClassVar[int] = 1_000_000

    def __init__(self, address: str) -> None:
        self._database = lancedb.connect(address)
        self._open: dict[str, Any] = {}

    def _table(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = self._database.open_table(name)
        return self._open[name]

    def names(self) -> set[str]:
        """Return the names of all tables."""
        found, token = set[str](), None
        while True:
            page = self._database.list_tables(page_token=token)
            found |= set(page.tables)
            token = page.page_token
            if not token:
                return found

    def create(self, collection: str, shape: CollectionShape) -> None:
        """Create a table."""
        metadata = [pa.field(name, _TYPES[kind]) for name, kind in shape.metadata.items() if kind in _TYPES]
        fields = [
            pa.field("chunk", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), shape.dimensions), nullable=False),
            pa.field("text", pa.string()),
            pa.field("document", pa.string()),
            pa.field("start", pa.int64()),
            pa.field("end", pa.int64()),
            *([pa.field("metadata", pa.struct(metadata))] if metadata else []),
        ]
        self._open[collection] = self._database.create_table(collection, schema=pa.schema(fields))

    def stored(self, collection: str) -> IntArray:
        """Return the numbers of the chunks in a table."""
        table = self._table(collection)
        found = table.search().select(["chunk"]).limit(table.count_rows()).to_arrow()["chunk"]
        return np.array(found.to_pylist(), np.int64)

    def write(self, collection: str, records: Records) -> None:
        """Write records."""
        table = self._table(collection)
        schema = table.schema
        known = {field.name for field in schema.field("metadata").type} if "metadata" in schema.names else set()
        columns = {
            "chunk": records.chunks,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(records.vectors.ravel()), records.vectors.shape[1]),
            "text": list(records.texts),
            "document": [place.document_id for place in records.places],
            "start": [place.start for place in records.places],
            "end": [place.end for place in records.places],
            "metadata": [{name: one.get(name) for name in known} for one in records.metadata],
        }
        rows = pa.table([columns[name] for name in schema.names], schema=schema)
        table.merge_insert("chunk").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def target(self, alias: str) -> str | None:
        """Return the table that an alias stands for."""
        if alias not in self.names():
            return None
        table = self._database.open_table(alias)
        if table.schema.names != [_TARGET]:  # somebody's own table
            return None
        return str(table.to_arrow()[_TARGET][0].as_py())

    def switch(self, alias: str, collection: str) -> None:
        """Let an alias stand for another table."""
        self._database.create_table(alias, data=[{_TARGET: collection}], mode="overwrite")

    def drop(self, collection: str) -> None:
        """Remove a table."""
        self._open.pop(collection, None)
        self._database.drop_table(collection)

    def search(self, collection: str, queries: Vectors, depth: int, conditions: Sequence[Condition]) -> RankedLists:
        """Return the nearest chunks of each query."""
        table = self._table(collection)
        types = _types_of(table.schema)
        where = " AND ".join(f"({_test(condition, types)})" for condition in conditions)
        rows = []
        for query in queries:
            search = table.search(query, vector_column_name="vector").distance_type("dot").bypass_vector_index()
            search = search.limit(depth).select(["chunk", "_distance"])
            found = (search.where(where, prefilter=True) if where else search).to_arrow()
            scores = (1 - found["_distance"].to_numpy()).astype(np.float32)
            rows.append((found["chunk"].to_numpy().astype(np.int32), scores))
        return RankedLists.stack(rows, depth)

    def vectors(self, collection: str, chunks: IntArray) -> Vectors:
        """Return the vectors of some chunks."""
        wanted = sorted(set(chunks.tolist()))
        where = f"chunk IN ({', '.join(map(str, wanted))})"
        found = self._table(collection).search().where(where).select(["chunk", "vector"]).limit(len(wanted)).to_arrow()
        known = dict(zip(found["chunk"].to_pylist(), found["vector"].to_pylist(), strict=True))
        return np.array([known[chunk] for chunk in chunks.tolist()], np.float32)

    def refusal(self, condition: Condition, kind: MetadataType) -> str:
        """Return why a condition cannot be asked: a column has one type, and a name without marks of its own."""
        if kind == "mixed":
            return "has values of several types, and a column of LanceDB has one"
        if "`" in condition.name or "." in condition.name:
            return "LanceDB's filters cannot name it"
        return ""

    def close(self) -> None:
        """Forget the open tables."""
        self._open.clear()


def _types_of(schema: pa.Schema) -> dict[str, str]:
    """Return the types of the metadata by name, as conditions know them: text, number or boolean."""
    if "metadata" not in schema.names:
        return {}
    kinds: Mapping[pa.DataType, str] = {_TYPES["text"]: "text", _TYPES["boolean"]: "boolean"}
    return {field.name: kinds.get(field.type, "number") for field in schema.field("metadata").type}


def _test(condition: Condition, types: Mapping[str, str]) -> str:
    """Return a condition in SQL; a value of another type than the column's fits nothing."""
    field = f"metadata.`{condition.name}`"
    if isinstance(condition, Absent):
        return f"{field} IS NULL" if condition.name in types else "true"
    kind = types.get(condition.name)
    if isinstance(condition, OneOf):
        values = [value for value in condition.values if _kind(value) == kind]
        return f"{_as_compared(field, values)} IN ({', '.join(map(_literal, values))})" if values else "false"
    if kind != ("text" if condition.of_texts else "number"):
        return "false"
    left = _as_compared(field, [value for _, value in condition.bounds])
    return " AND ".join(f"{left} {SYMBOLS[operator]} {_literal(value)}" for operator, value in condition.bounds)


def _as_compared(field: str, values: Sequence[Scalar]) -> str:
    """Return a column as it is compared with some values: one of integers is compared with nothing but integers."""
    return f"CAST({field} AS DOUBLE)" if any(isinstance(value, float) for value in values) else field


def _kind(value: Scalar) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
