#!/usr/bin/env python3
"""Shows what SQL tools see of the answers in a database.

usage: databases.py URL TABLE [SCHEMA]   prints what SQLAlchemy's inspector, pandas and the driver see of a table, as JSON
       databases.py URL --listen         prints "listening", then the next cut that PostgreSQL announces

URL is one of SQLAlchemy. --listen takes one of libpq.
"""
import json
import sys

import pandas
import psycopg
import sqlalchemy


def inspect(url, table, schema):
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    frame = pandas.read_sql_table(table, engine, schema=schema)
    selected = sqlalchemy.Table(table, sqlalchemy.MetaData(), schema=schema, autoload_with=engine)
    with engine.connect() as connection:
        whole = sqlalchemy.and_(*(column.is_not(None) for column in selected.columns))
        row = connection.execute(sqlalchemy.select(selected).where(whole)).mappings().first()
    return {
        "tables": sorted(inspector.get_table_names(schema=schema)),
        "columns": {column["name"]: str(column["type"]) for column in inspector.get_columns(table, schema=schema)},
        "key": inspector.get_pk_constraint(table, schema=schema)["constrained_columns"],
        "comment": inspector.get_table_comment(table, schema=schema)["text"],
        "dtypes": {name: str(dtype) for name, dtype in frame.dtypes.items()},
        "rows": len(frame),
        "posts": int(frame["posts"].sum()),
        "newest": str(frame["newest"].max()),
        "python": {name: type(value).__name__ for name, value in row.items()},
    }


def listen(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN pinflow_cut")
        print("listening", flush=True)
        for notification in connection.notifies(timeout=60, stop_after=1):
            print(notification.payload, flush=True)


if sys.argv[2] == "--listen":
    listen(sys.argv[1])
else:
    print(json.dumps(inspect(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)))
