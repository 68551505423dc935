"""Sends requests as the original system's scripts do: requests.request(...) with a body made by json.dumps.

Reads one request a line from stdin ({"method", "url", "headers", "json"}) and writes one answer a line.
"""

import json
import sys

import requests

for line in sys.stdin:
    wanted = json.loads(line)
    payload = json.dumps(wanted["json"], default=str)
    answer = requests.request(wanted["method"], wanted["url"], headers=wanted["headers"], data=payload, timeout=60)
    print(json.dumps({"status": answer.status_code, "body": answer.json()}), flush=True)
