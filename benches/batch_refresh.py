"""The same eleven answers as one batch refresh in DuckDB over the same files: what one live pass has to beat."""
import pathlib
import sys

import duckdb

folder = pathlib.Path(sys.argv[1])
questions = pathlib.Path(__file__).parent.parent / "dataflows" / "src" / "questions"
db = duckdb.connect()
read = "read_json('{}', format='newline_delimited', columns={{{}}})"
pin = read.format(folder / "pin.jsonl", "index: 'BIGINT', poster_name: 'VARCHAR', follower_count: 'VARCHAR', category: 'VARCHAR'")
geo = read.format(folder / "geo.jsonl", "ind: 'BIGINT', timestamp: 'TIMESTAMP', country: 'VARCHAR'")
user = read.format(folder / "user.jsonl", "ind: 'BIGINT', first_name: 'VARCHAR', last_name: 'VARCHAR', age: 'INTEGER', date_joined: 'TIMESTAMP'")
db.execute(f"""
create table pin as select "index" as ind, nullif(poster_name, 'User Info Error') as poster_name, category,
  case when follower_count like '%k' then 1000 * try_cast(replace(follower_count, 'k', '') as bigint)
       when follower_count like '%M' then 1000000 * try_cast(replace(follower_count, 'M', '') as bigint)
       else try_cast(follower_count as bigint) end as follower_count from {pin};
create table geo as select * from {geo};
create table "user" as select ind, first_name || ' ' || last_name as user_name, age, date_joined from {user};
""")
for path in sorted(questions.glob("*.sql")):
    sql = path.read_text()
    values = {"ties": "first", "top": 1, "median": "exact"}
    used = {name: value for name, value in values.items() if f"${name}" in sql}
    rows = db.execute(sql, used).fetchall()
    print(path.stem, len(rows))
