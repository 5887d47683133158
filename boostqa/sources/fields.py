"""The mapping of a source's fields to our columns: held against the conf and the input, and read from JSON or a
table."""

import json
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources.table_files import as_text
from udfs import json_lines


def check_mapping(source: Source, known: list[str], required: str, where: str) -> None:
    """Raise ConfigError when `source.fields` maps an unknown column, or lacks the `required` one."""
    if unknown := sorted(set(source.fields) - set(known)):
        raise ConfigError(f"{where}.fields: unknown column {', '.join(unknown)}; known: {', '.join(known)}")
    if required not in source.fields:
        raise ConfigError(f"{where}.fields: {required} is not mapped; add `{required}: NAME OF THE FIELD IN THE INPUT`")
    inner = [f for f in source.fields.values() if any(o.startswith(f"{f}.") for o in source.fields.values())]
    if source.format == "jsonl" and inner:
        raise ConfigError(f"{where}.fields: {inner[0]} is mapped both as a value and as an object; map one of them")


# What may be a list or an object; an answer only where options tell what it means.
_NOT_TEXT = {"choices", "licence", "lang"}
# A \\u escape of half a surrogate pair, which no text holds: Java would write `?` for it.
_LONE_SURROGATE = (
    r"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\|\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def not_utf8(text: Column, characters: int) -> Column:
    """What a text shows that is no UTF-8, in valid text; null where it is."""
    shown = F.concat(F.lit("not UTF-8: "), F.left(F.make_valid_utf8(text), F.lit(characters)))
    return F.when(~F.is_valid_utf8(text), shown)


def readable_line(line: Column) -> Column:
    """A line of which each character can be told, else null."""
    return F.when(F.is_valid_utf8(line) & ~line.rlike(_LONE_SURROGATE), line)


def no_text(values: dict[str, Column], nested: dict[str, Column]) -> Column:
    """What a record has in place of a text, as "column is no text: value"; null where nothing. `values` are our columns
    as text, `nested` says which of them are lists or objects."""
    is_open = F.lit(True) if "choices" not in values else values["choices"].isNull()
    faulty = {
        c: is_nested & is_open if c == "answer" else is_nested for c, is_nested in nested.items() if c not in _NOT_TEXT
    }
    shown = (F.when(bad, F.concat(F.lit(f"{c} is no text: "), values[c])) for c, bad in faulty.items())
    return F.coalesce(*shown, F.lit(None).cast("string"))


def nested_in_json(source: Source, line: Column, values: dict[str, Column]) -> dict[str, Column]:
    """Whether each of `values` is a list or an object in a JSON line; what begins like one is looked up there."""

    def nested(column: str) -> Column:
        path = "$" + "".join(f"['{name}']" for name in source.fields[column].split("."))
        kind = F.schema_of_variant(F.try_variant_get(F.try_parse_json(line), path, "variant"))
        # Two fields of one name: not known, and what Spark took may be either.
        is_nested = F.coalesce(kind.rlike("^(?:ARRAY|OBJECT)"), F.lit(True))
        return F.coalesce(F.when(values[column].rlike(r"^\s*[\[{]"), is_nested), F.lit(False))

    return {column: nested(column) for column in values}


def check_json_fields(lines: DataFrame, source: Source, where: str) -> None:
    """Compare the mapping with the first valid line, and only where that lacks a field with all lines."""
    first = lines.select("value").where(json_record(source, F.col("value")).isNotNull()).first()
    if first is None:
        return  # every line is malformed and will say so
    try:
        present = field_names(json.loads(first.value, strict=False))
    except (ValueError, RecursionError):  # what only Spark can read: +INF, say
        present = set()
    if absent := sorted(set(source.fields.values()) - present):
        found = lines.agg(*(F.max(_has(field)).alias(str(i)) for i, field in enumerate(absent))).first()
        assert found is not None
        present |= {field for field, seen in zip(absent, found, strict=True) if seen}
    check_present(present, source, where)


def check_present(present: set[str], source: Source, where: str) -> None:
    """Raise ConfigError when a mapped field is not among the dotted names `present` in the input."""
    for ours, field in source.fields.items():
        if field not in present:
            raise ConfigError(
                f"{where}.fields.{ours}: no record of {source.path} has the field `{field}`\n"
                f"  fields present: {', '.join(sorted(present))}\n"
                f"  fix: map {ours} to one of them, or remove it"
            )


def field_names(tree: dict[str, Any]) -> set[str]:
    """Dotted names of all keys of nested dicts."""
    inner = {f"{name}.{n}" for name, value in tree.items() if isinstance(value, dict) for n in field_names(value)}
    return set(tree) | inner


def field_tree(schema: T.StructType) -> dict[str, Any]:
    """A schema as nested dicts, for `field_names`."""
    return {f.name: field_tree(f.dataType) if isinstance(f.dataType, T.StructType) else None for f in schema}


def _has(field: str) -> Column:
    """Whether a JSON line has a field, be its value null."""
    *parents, leaf = field.split(".")
    parent = F.get_json_object("value", "$" + "".join(f"['{p}']" for p in parents)) if parents else F.col("value")
    return F.coalesce(F.array_contains(F.json_object_keys(parent), leaf), F.lit(False))


def exact_line(value: Column) -> Column:
    """A JSON line in which decimals are text and what is no finite number is null; Python sees only lines with such."""
    exact = F.pandas_udf(json_lines.exact, "string")  # type: ignore[call-overload]
    return F.coalesce(exact(F.when(value.rlike(json_lines.MAY_CHANGE), value)), value)


def json_record(source: Source, line: Column) -> Column:
    """The mapped fields of a JSON line as a nested struct; null when the line is not one object of that shape."""
    tree: dict[str, Any] = {}
    for ours, field in source.fields.items():
        *parents, leaf = field.split(".")
        reduce(lambda node, p: node.setdefault(p, {}), parents, tree)[leaf] = ours

    def struct(node: dict[str, Any]) -> T.StructType:
        kinds = {n: struct(v) if isinstance(v, dict) else T.StringType() for n, v in node.items()}
        return T.StructType([T.StructField(n, kind) for n, kind in kinds.items()])

    fields = {"record": struct(tree), "end": T.StringType(), "malformed": T.StringType()}
    schema = T.StructType([T.StructField(name, kind) for name, kind in fields.items()])
    # Wrapped in an object, text after the line's own object is malformed too; Spark would drop it unsaid. So would a brace
    # that closes the wrapping be: then its end is not seen.
    wrapped = F.concat(F.lit('{"record":'), line, F.lit(',"end":0}'))
    parsed = F.from_json(wrapped, schema, {"columnNameOfCorruptRecord": "malformed", "allowSingleQuotes": "false"})
    return F.when(parsed["malformed"].isNull() & parsed["end"].isNotNull(), parsed["record"])


def field_type(schema: T.StructType, field: str) -> T.DataType | None:
    """The type of a dotted field; None where the schema has none."""
    kind: T.DataType | None = schema
    for name in field.split("."):
        kind = next((f.dataType for f in kind if f.name == name), None) if isinstance(kind, T.StructType) else None
    return kind


def field_value(schema: T.StructType, field: str) -> Column:
    """The value of a dotted field; null where the schema has none."""
    root, *inner = field.split(".")
    if field_type(schema, field) is None:
        return F.lit(None).cast("string")
    return reduce(lambda c, name: c.getField(name), inner, F.col(f"`{root}`"))


def field_text(schema: T.StructType, field: str) -> Column:
    """`field_value` as text (table_files.as_text)."""
    return as_text(field_value(schema, field), field_type(schema, field) or T.StringType())


def nested_in_schema(schema: T.StructType, source: Source) -> dict[str, Column]:
    """Whether each mapped column is a list or an object."""
    kinds = {column: field_type(schema, field) for column, field in source.fields.items()}
    nested = {c: isinstance(kind, T.ArrayType | T.StructType | T.MapType) for c, kind in kinds.items()}
    return {c: F.lit(is_nested) & field_value(schema, source.fields[c]).isNotNull() for c, is_nested in nested.items()}


def no_object(schema: T.StructType, source: Source) -> Column:
    """What a typed row has in place of an object that the mapping looks into, as "field: value"; null where nothing."""
    parents = sorted(
        {field.rsplit(".", n)[0] for field in source.fields.values() for n in range(1, field.count(".") + 1)}
    )
    values = [p for p in parents if not isinstance(field_type(schema, p), T.StructType | None)]
    return F.coalesce(
        *(F.concat(F.lit(f"{p} is not an object: "), field_text(schema, p)) for p in values),
        F.lit(None).cast("string"),
    )
