"""Compares what another engine reads of a table with what `logmill query` reads, row by row."""

import re


def changed(logmill, rollups, table, log_file):
    """Changes a table in every way, and says after each how. The log file goes in between, so that its hours are kept as they are."""
    logmill.call("erase", "--where", "elb_status_code >= 500", "--table", table)
    yield "without erased lines"
    path = rollups / f"{table}.sql"
    sql = path.read_text()
    path.write_text(re.sub(r"\bcount\(\*\)\s+AS", r"max(client_ip) AS last_client, \g<0>", sql, count=1))
    assert path.read_text() != sql
    log_file.unlink()
    logmill.call("rebuild", "--rollups", rollups, "--table", table)
    yield "rebuilt, with hours that were kept"
    logmill.call("rollback", table)
    yield "put back"
    logmill.call("rebuild", "--rollups", rollups, "--table", table, "--from", "2026-11-20T10")
    yield "rebuilt from some hour on"
    logmill.call("maintain")
    yield "maintained"


def check_rows(checks, ask, logmill, table, when, engine="Trino"):
    answer = ask(f"SELECT * FROM {table}")
    names = sorted(answer.columns)
    ours = logmill.query(f"SELECT * FROM {logmill.groups(table)}").to_pylist()

    def as_text(row):
        return repr([row[name].timestamp() if hasattr(row[name], "timestamp") else row[name] for name in names])

    got, expected = sorted(map(as_text, answer.dicts())), sorted(map(as_text, ours))
    wrong = [f"{engine} {one[:200]}, logmill {other[:200]}" for one, other in zip(got, expected) if one != other]
    wrong += [] if len(got) == len(expected) else [f"{engine} {len(got)} rows, logmill {len(expected)}"]
    checks.check(f"{table} {when}: {engine} reads the {len(got)} rows that logmill reads", wrong)
