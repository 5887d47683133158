"""croissant.json of an export: what its files hold, as tools for data sets read it (Croissant 1.0, docs.mlcommons.org/croissant)."""

import hashlib
import json
from typing import Any

from boostqa.export.card import machine_made
from boostqa.schemas import MIX
from udfs.files import write_text

FILE = "croissant.json"
_TYPES = {
    "string": "sc:Text",
    "int": "sc:Integer",
}  # by Spark's type; columns of others are in the files and not told here
_OWN = (
    "citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "separator", "source", "subField", "transform", "equivalentProperty",
)  # fmt: skip
# The context of the specification: readers warn of any other.
_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/", "sc": "https://schema.org/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, **{name: f"cr:{name}" for name in _OWN},
}  # fmt: skip


def describe(manifest: dict[str, Any]) -> dict[str, Any]:
    """The metadata of an export by its manifest; its records are those of the Parquet files, where there are any."""
    by = manifest["tokens_by"]
    about: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "boostqa-export",
        "description": f"{manifest['rows']:,} documents, {manifest['tokens']:,} tokens. {machine_made(manifest)}",
        "license": sorted({name for joined in by["licence"] for name in joined.split(" AND ")}),
        "inLanguage": list(by["lang"]),
        "version": "1.0.0",
    }
    if any(shard["format"] == "parquet" for shard in manifest["shards"]):
        files = {"@type": "cr:FileSet", "@id": "parquet", "name": "parquet", "includes": "parquet/*.parquet"}
        about["distribution"] = [files | {"encodingFormat": "application/x-parquet"}]
        about["recordSet"] = [{"@type": "cr:RecordSet", "@id": "items", "name": "items", "field": _fields()}]
    return about


def _fields() -> list[dict[str, Any]]:
    told = [(c.name, c.metadata["comment"], _TYPES.get(c.dataType.simpleString())) for c in MIX.columns]
    return [
        {
            "@type": "cr:Field", "@id": f"items/{name}", "name": name, "description": meaning, "dataType": kind,
            "source": {"fileSet": {"@id": "parquet"}, "extract": {"column": name}},
        }
        for name, meaning, kind in told
        if kind and name != "shard"
    ]  # fmt: skip


def write(folder: str, manifest: dict[str, Any]) -> str:
    """Write the metadata into the export's folder; returns their sha256."""
    text = json.dumps(describe(manifest), indent=2, ensure_ascii=False) + "\n"
    write_text(f"{folder}/{FILE}", text)
    return hashlib.sha256(text.encode()).hexdigest()
