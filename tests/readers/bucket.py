#!/usr/bin/env python3
"""Prints the rows of tables that lie in a bucket, as delta-rs for Python reads them.

usage: bucket.py s3://BUCKET/PREFIX NAME...   → {"NAME": [row, ...], ...}; the store is that of the AWS variables
"""
import json
import os
import sys

from check import cell
from deltalake import DeltaTable


def main():
    root, names = sys.argv[1], sys.argv[2:]
    found = {}
    for name in names:
        table = DeltaTable(f"{root}/{name}").to_pyarrow_table()
        rows = [{key: cell(value) for key, value in row.items()} for row in table.to_pylist()]
        found[name] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
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
