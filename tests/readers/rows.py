#!/usr/bin/env python3
"""Prints the rows of tables as independent Delta engines read them: two of a folder, which must agree; delta-rs of a bucket.

usage: rows.py ROOT NAME...   → {"NAME": [row, ...], ...}; times as microseconds since 1970. A ROOT of s3://BUCKET/PREFIX is
in the store of the AWS variables.
"""
import json
import sys

from check import cell, finish, read_deltalake, read_duckdb


def rows(table):
    found = [{name: cell(value) for name, value in row.items()} for row in table.to_pylist()]
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


def main():
    root, names = sys.argv[1], sys.argv[2:]
    engines = [read_deltalake] if root.startswith("s3://") else [read_deltalake, read_duckdb]
    found = {}
    for name in names:
        found[name], *others = [rows(read(f"{root}/{name}")) for read in engines]
        for other in others:
            if other != found[name]:
                raise ValueError(f"{name}: the engines read {len(found[name])} and {len(other)} rows that differ")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    finish(main)
