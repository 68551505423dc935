#!/usr/bin/env python3
"""Reads dashboards with Grafana's own types, and writes them again.

usage: grafana.py DASHBOARD.json ...   prints a JSON object: for each file the fields that Grafana does not know or
                                       reads as something else. Exit status 1 if a file is not a dashboard.
"""
import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def leaves(value, path=""):
    """The paths of all values that are neither an object nor a list."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from leaves(below, f"{path}.{name}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, f"{path}[{index}]")
    else:
        yield path, value


def unknown_fields(path):
    with open(path) as file:
        written = json.load(file)
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(written)))
    known = dict(leaves(read))
    return sorted(field for field, value in leaves(written) if field not in known or known[field] != value)


register_default_plugins()
print(json.dumps({path: unknown_fields(path) for path in sys.argv[1:]}))
