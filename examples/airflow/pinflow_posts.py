"""The daily job as an Airflow DAG: ingest what came since the last time, prove that every row is where it belongs, then
write one small CSV file for each answer.

    ingest ──▶ verify ──▶ answers (one task each)

Put this file into the DAGs folder of Airflow 3, and say where things are by the environment of its workers:

    PINFLOW           the program (default: pinflow, on the PATH)
    PINFLOW_CONFIG    a configuration with [tables] (default: /etc/pinflow/flow.toml)
    PINFLOW_TABLES    the folder of [tables] url (default: /var/lib/pinflow/tables)
    PINFLOW_RESULTS   where the results go (default: /var/lib/pinflow/results)

A task that is run again does the same again: positions are in the tables, and results are replaced whole.
"""

import csv
import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, task, task_group
from airflow.sdk.exceptions import AirflowFailException

PINFLOW = os.environ.get("PINFLOW", "pinflow")
CONFIG = os.environ.get("PINFLOW_CONFIG", "/etc/pinflow/flow.toml")
TABLES = os.environ.get("PINFLOW_TABLES", "/var/lib/pinflow/tables")
RESULTS = Path(os.environ.get("PINFLOW_RESULTS", "/var/lib/pinflow/results"))
SNAPSHOT = RESULTS / "snapshot.jsonl"

ANSWERS = [
    "popular_category_by_country",
    "popular_category_by_year",
    "most_followed_user_by_country",
    "most_followed_poster_by_country",
    "country_with_most_followed_poster",
    "popular_category_by_age_group",
    "median_followers_by_age_group",
    "users_joined_by_year",
    "user_names_joined_by_year",
    "median_followers_by_join_year",
    "median_followers_by_join_year_and_age_group",
]

# Exit code of a run that another pinflow has fenced. A retry would only fence that one.
FENCED = 75


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    # Concurrent runs would fence each other.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["pinflow"],
)
def pinflow_posts():
    @task
    def ingest():
        """Reads what is there, cleans it, commits it, and keeps the answers as they are then."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        written = SNAPSHOT.with_suffix(".part")
        with written.open("wb") as out:
            command = [PINFLOW, "run", "--until-caught-up", "--output", "snapshots", CONFIG]
            done = subprocess.run(command, stdout=out, check=False)
        if done.returncode == FENCED:
            raise AirflowFailException("another pinflow writes these tables now")
        if done.returncode != 0:
            raise RuntimeError(f"pinflow ended with {done.returncode}; the log above says why")
        written.replace(SNAPSHOT)

    @task
    def verify():
        """Proves that every row that was read is in one of the four tables, once.

        All four are checked together: rows read = rows written + rejections can be seen in no table alone.
        """
        subprocess.run([PINFLOW, "table", TABLES, "--verify"], check=True)

    @task_group
    def answers():
        """One result for each answer."""
        for answer in ANSWERS:

            @task(task_id=answer)
            def result(name):
                with SNAPSHOT.open(encoding="utf-8") as lines:
                    found = [line for line in map(json.loads, lines) if line.get("answer") == name]
                # The last snapshot is the final one.
                rows = found[-1]["rows"]
                written = RESULTS / f"{name}.csv.part"
                with written.open("w", newline="", encoding="utf-8") as out:
                    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [])
                    writer.writeheader()
                    writer.writerows(rows)
                written.replace(RESULTS / f"{name}.csv")

            result(answer)

    ingest() >> verify() >> answers()


pinflow_posts()
