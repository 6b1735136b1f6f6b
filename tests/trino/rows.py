"""Compares what another engine reads of a table with what `logmill query` reads, row by row."""


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
