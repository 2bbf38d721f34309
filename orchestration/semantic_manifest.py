"""The metrics' definitions as readers get them, published in one step with the marts that they are about."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Beside `publication.current`, on every target.
MANIFEST_TABLE = "publication.semantic_manifest"
FILL = "fill_nulls_with"


def for_readers(manifest: Mapping[str, Any], schema_of: Callable[[str], str]) -> str:
    """dbt's semantic manifest as JSON text, with every table named as readers find it.

    dbt names tables by database and by the schema that it builds in. Readers open another file, or other schemas, and
    the name of the database has no part in it. dbt 1.12 also drops what the newer YAML says of empty sums
    (`fill_nulls_with`), so metrics say it in their `meta`, and it goes where MetricFlow looks for it.

    Args:
        manifest: content of dbt's semantic_manifest.json.
        schema_of: the readers' schema of one that dbt builds in.
    """
    published = copy.deepcopy(dict(manifest))
    for relation in _relations(published):
        schema = schema_of(relation["schema_name"])
        relation["schema_name"] = schema
        relation["database"] = None
        relation["relation_name"] = f'"{schema}"."{relation["alias"]}"'
    for metric in published["metrics"]:
        fill = ((metric.get("config") or {}).get("meta") or {}).get(FILL)
        if fill is not None and metric["type"] == "simple":
            metric["type_params"][FILL] = fill
    return json.dumps(published, sort_keys=True, separators=(",", ":"))


def _relations(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for model in manifest["semantic_models"]:
        yield model["node_relation"]
    for spine in manifest["project_configuration"]["time_spines"]:
        yield spine["node_relation"]
