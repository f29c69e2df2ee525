"""Merges OpenAPI documents into one, since Prism serves one.

usage: merge.py OUTPUT INPUT.json...

Components of two documents may share a name and differ, so each is renamed after its document. Security schemes keep
their names: operations name them without a reference, and they must not differ. Servers are left out: Prism is told
where to forward.
"""

import json
import sys
from pathlib import Path


def renamed(node, prefix):
    """Returns a copy in which every reference to a component carries the prefix."""
    if isinstance(node, dict):
        return {key: reference(value, prefix) if key == "$ref" and isinstance(value, str) else renamed(value, prefix)
                for key, value in node.items()}
    if isinstance(node, list):
        return [renamed(value, prefix) for value in node]
    return node


def reference(target, prefix):
    parts = target.split("/")
    if parts[:2] != ["#", "components"]:
        raise SystemExit(f"merge.py: {target} is not a reference to a component")
    if parts[2] != "securitySchemes":
        parts[3] = prefix + parts[3]
    return "/".join(parts)


def add(section, key, value, source):
    if section.setdefault(key, value) != value:
        raise SystemExit(f"merge.py: {key} of {source} differs from the same in an earlier document")


def main(output, inputs):
    merged = {"openapi": "3.0.0", "info": {"title": "merged contracts", "version": "1"}, "paths": {}, "components": {}}
    for path in map(Path, inputs):
        document = json.loads(path.read_text())
        prefix = path.stem + "."
        for route, item in document["paths"].items():
            add(merged["paths"], route, renamed(item, prefix), path)
        for kind, components in document.get("components", {}).items():
            section = merged["components"].setdefault(kind, {})
            for name, component in components.items():
                key = name if kind == "securitySchemes" else prefix + name
                add(section, key, renamed(component, prefix), path)
        add(merged, "security", document.get("security", []), path)
    Path(output).write_text(json.dumps(merged))


main(sys.argv[1], sys.argv[2:])
