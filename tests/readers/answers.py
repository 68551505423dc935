#!/usr/bin/env python3
"""Prints the rows of tables, as two independent Delta engines read them, which must agree.

usage: answers.py ROOT NAME...   → {"NAME": [row, ...], ...}; times as microseconds since 1970
"""
import json
import os
import sys

from check import cell, read_deltalake, read_duckdb


def rows(table):
    found = [{name: cell(value) for name, value in row.items()} for row in table.to_pylist()]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


def main():
    root, names = sys.argv[1], sys.argv[2:]
    found = {}
    for name in names:
        path = os.path.join(root, name)
        one, other = rows(read_deltalake(path)), rows(read_duckdb(path))
        if one != other:
            raise ValueError(f"{name}: the engines read {len(one)} and {len(other)} rows that differ")
        found[name] = one
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:  # The exit below would swallow it.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A process with `deltalake` may abort while it ends, after all work is done.
    os._exit(code)
