#!/usr/bin/env python3
"""Shows what tools on the JVM (DBeaver, Metabase, Tableau) see of a table of answers through PostgreSQL's JDBC driver, as JSON.

usage: jdbc.py URL USER PASSWORD SCHEMA TABLE

URL is one of JDBC. The driver is Debian's libpostgresql-jdbc-java.
"""
import json
import sys

import jpype

DRIVER = "/usr/share/java/postgresql.jar"


def rows(results):
    """The rows of a result set, each as a function from column names to values."""
    while results.next():
        yield lambda column: results.getObject(column)


def inspect(url, user, password, schema, table):
    connection = jpype.java.sql.DriverManager.getConnection(url, user, password)
    metadata = connection.getMetaData()
    tables = metadata.getTables(None, schema, "%", ["TABLE"])
    described = {str(row("TABLE_NAME")): str(row("REMARKS")) for row in rows(tables)}
    columns = metadata.getColumns(None, schema, table, "%")
    types = {str(row("COLUMN_NAME")): str(row("TYPE_NAME")) for row in rows(columns)}
    key = [str(row("COLUMN_NAME")) for row in rows(metadata.getPrimaryKeys(None, schema, table))]
    statement = connection.createStatement()
    read = statement.executeQuery(f'SELECT * FROM "{schema}"."{table}"')
    shape = read.getMetaData()
    classes = {str(shape.getColumnName(n)): str(shape.getColumnClassName(n)) for n in range(1, shape.getColumnCount() + 1)}
    posts = [int(row("posts").longValue()) for row in rows(read)]
    newest = statement.executeQuery(f'SELECT max(newest) AS newest FROM "{schema}"."{table}"')
    return {
        "tables": sorted(described),
        "comment": described[table],
        "columns": types,
        "key": key,
        "classes": classes,
        "rows": len(posts),
        "posts": sum(posts),
        "newest": [str(row("newest").toInstant()) for row in rows(newest)][0],
    }


jpype.startJVM(classpath=[DRIVER], convertStrings=False)
print(json.dumps(inspect(*sys.argv[1:])))
