#!/usr/bin/env python3
"""Reads the four tables with two independent Delta engines and compares every row with what was fed to the sink.

usage: check.py ROOT EXPECTED.json

EXPECTED holds, for each table, the names of its columns in order, the number of rows, the sum of `ind` (or of
`payload_bytes`) and a hash of all rows that does not depend on their order: the sum, modulo 2^64, of the first 8
bytes of each row's SHA-256. A row is hashed as a JSON array of its cells: times as microseconds since 1970, bytes as
hexadecimal digits.
"""
import datetime
import hashlib
import json
import os
import sys

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def cell(value):
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [cell(item) for item in value]
    return value


def summary(table, measure):
    total, digest = 0, 0
    for row in table.to_pylist():
        total += row[measure]
        text = json.dumps([cell(value) for value in row.values()], ensure_ascii=False, separators=(",", ":"))
        digest += int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return {"columns": table.column_names, "rows": table.num_rows, "sum": total, "hash": "%016x" % (digest % 2**64)}


def read_deltalake(path):
    import deltalake

    return deltalake.DeltaTable(path).to_pyarrow_table()


def read_duckdb(path):
    import duckdb
    from duckdb_extensions import import_extension

    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    import_extension("delta", con=connection)
    connection.execute("LOAD delta")
    result = connection.execute("SELECT * FROM delta_scan(?)", [path])
    return result.to_arrow_table() if hasattr(result, "to_arrow_table") else result.fetch_arrow_table()


def main():
    root, expected = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8"))
    agree = True
    for name, wanted in expected.items():
        measure = "payload_bytes" if name == "rejected" else "ind"
        for read in (read_deltalake, read_duckdb):
            found = summary(read(os.path.join(root, name)), measure)
            if found != wanted:
                agree = False
                print(f"{read.__name__} {name}: found {found}, expected {wanted}")
    return 0 if agree else 1


def finish(main):
    """Runs a program and ends the process with its code."""
    try:
        code = main()
    except Exception as error:  # The exit below would swallow it.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A process with `deltalake` may abort while it ends, after all work is done.
    os._exit(code)


if __name__ == "__main__":
    finish(main)
