"""Reads log files with DuckDB: splits every line of a folder of logs into fields with one regular expression, with the names
and types of AWS's Athena guide. Python only decompresses the files and replaces bytes that are not UTF-8."""

import gzip
import re
from pathlib import Path

import duckdb

import java

MAX_LINE_BYTES = 256 * 1024

# A field and the space after it; a space is appended to each line. A quoted field ends with a quote before a space, unless a
# backslash escapes the quote. An unterminated one extends to the end of the line.
FIELD = r'(?s)"(?:[^"\\]|\\.|"+(?:[^ "\\]|\\.))*(?:"+ |$)|[^ ]* '
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"

# Each column, and the SQL that computes it from `f`, the line's fields, counted from 1.
ALB_COLUMNS = {
    "type": "text(f[1])",
    "time": "text(f[2])",
    "elb": "text(f[3])",
    "client_ip": "address(text(f[4]))",
    "client_port": "port(text(f[4]))",
    "target_ip": "address(text(f[5]))",
    "target_port": "port(text(f[5]))",
    "request_processing_time": "decimals(text(f[6]))",
    "target_processing_time": "decimals(text(f[7]))",
    "response_processing_time": "decimals(text(f[8]))",
    "elb_status_code": "TRY_CAST(digits(text(f[9])) AS INTEGER)",
    "target_status_code": "text(f[10])",
    "received_bytes": "digits(text(f[11]))",
    "sent_bytes": "digits(text(f[12]))",
    "request_verb": "request_part(text(f[13]), 1)",
    "request_url": "request_part(text(f[13]), 2)",
    "request_proto": "request_part(text(f[13]), 3)",
    "user_agent": "text(f[14])",
    "ssl_cipher": "text(f[15])",
    "ssl_protocol": "text(f[16])",
    "target_group_arn": "text(f[17])",
    "trace_id": "text(f[18])",
    "domain_name": "text(f[19])",
    "chosen_cert_arn": "text(f[20])",
    "matched_rule_priority": "text(f[21])",
    "request_creation_time": "text(f[22])",
    "actions_executed": "text(f[23])",
    "redirect_url": "text(f[24])",
    "lambda_error_reason": "text(f[25])",
    "target_port_list": "text(f[26])",
    "target_status_code_list": "text(f[27])",
    "classification": "text(f[28])",
    "classification_reason": "text(f[29])",
    "conn_trace_id": "text(f[30])",
    "transformed_host": "text(f[31])",
    "transformed_uri": "text(f[32])",
    "request_transform_status": "text(f[33])",
    "ip_address": "text(f[34])",
    "unhandled_fields": "CASE WHEN len(f) > 34 THEN array_to_string(f[35:], ' ') END",
}
ELB_COLUMNS = {
    "timestamp": "text(f[1])",
    "elb_name": "text(f[2])",
    "request_ip": "address(text(f[3]))",
    "request_port": "port(text(f[3]))",
    "backend_ip": "address(text(f[4]))",
    "backend_port": "port(text(f[4]))",
    "request_processing_time": "decimals(text(f[5]))",
    "backend_processing_time": "decimals(text(f[6]))",
    "client_response_time": "decimals(text(f[7]))",
    "elb_response_code": "text(f[8])",
    "backend_response_code": "text(f[9])",
    "received_bytes": "digits(text(f[10]))",
    "sent_bytes": "digits(text(f[11]))",
    "request_verb": "request_part(text(f[12]), 1)",
    "url": "request_part(text(f[12]), 2)",
    "protocol": "request_part(text(f[12]), 3)",
    "user_agent": "f[13]",  # AWS's regular expression leaves the quotes
    "ssl_cipher": "text(f[14])",
    "ssl_protocol": "text(f[15])",
}
TIME_COLUMN = {"alb_access_logs": "time", "elb_logs": "timestamp"}

MACROS = r"""
    CREATE MACRO text(field) AS regexp_replace(field, '(?s)^"(.*?)"?$', '\1');
    CREATE MACRO address(field) AS
        CASE WHEN contains(field, ':') THEN regexp_extract(field, '(?s)^(.*):', 1) ELSE rtrim(field, '-') END;
    CREATE MACRO digits(field) AS CASE WHEN regexp_full_match(field, '[-+]?[0-9]+') THEN TRY_CAST(field AS BIGINT) END;
    CREATE MACRO port(field) AS TRY_CAST(digits(regexp_extract(field, '(?s):([^:]*)$', 1)) AS INTEGER);
    CREATE MACRO decimals(field) AS
        CASE WHEN regexp_full_match(field, '[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?')
             THEN TRY_CAST(field AS DOUBLE) END;
    CREATE MACRO request_part(field, part) AS
        CASE WHEN regexp_matches(field, '(?s) .* ') THEN regexp_extract(field, '(?s)^([^ ]*) (.*) ([^ ]*)$', part) END;
"""


def kind(log_file, lines):
    """The log table of a file, by its name or else by its lines. None if it is not an access log, or empty."""
    name = log_file.name
    if lines == [""] or re.search(r"(conn_log[_.]|health_check_log).*_elasticloadbalancing_|LogTestFile$", name):
        return None
    named = re.search(r"_elasticloadbalancing_[^_]+_(app\.|net\.)?.*_\d{8}T\d{4}Z", name)
    if named:
        return {"app.": "alb_access_logs", "net.": None, None: "elb_logs"}[named[1]]
    for line in lines[:100]:
        fields = line.split(" ")
        if len(fields) >= 12 and re.fullmatch(TIME, fields[0]) and ":" in fields[2]:
            return "elb_logs"
        if len(fields) >= 12 and re.fullmatch(TIME, fields[1]) and ":" in fields[3]:
            return "alb_access_logs"
    return None


def load(logs, texts):
    """A DuckDB database with the tables log_files, lines, alb_access_logs and elb_logs. `texts` is a folder for plain text."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'; SET integer_division = true")
    add_trino_functions(db)
    db.execute(MACROS)
    db.execute("CREATE TABLE log_files (log_file VARCHAR, log_table VARCHAR, bytes BIGINT, text_bytes BIGINT)")
    db.execute("CREATE TABLE raw (log_file VARCHAR, log_table VARCHAR, line_number BIGINT, line VARCHAR)")
    for log_file in sorted(path for path in Path(logs).resolve().rglob("*") if path.is_file()):
        load_file(db, log_file, Path(texts, "text"))
    split_lines(db)
    return db


def load_file(db, log_file, text):
    stored = log_file.read_bytes()
    inflated = gzip.decompress(stored) if stored.startswith(b"\x1f\x8b") else stored
    decoded = inflated.decode(errors="replace")
    log_table = kind(log_file, decoded.split("\n", 100))
    if log_table is None:
        return
    text.write_bytes(decoded.encode())
    file = [log_file.as_uri(), log_table]
    db.execute("INSERT INTO log_files VALUES ($1, $2, $3, $4)", [*file, len(stored), len(inflated)])
    db.execute(
        """
        INSERT INTO raw
        SELECT $1, $2, line_number, CASE WHEN ends_with(line, chr(13)) THEN line[:-2] ELSE line END
        FROM (SELECT unnest(texts) AS line, generate_subscripts(texts, 1) AS line_number
              FROM (SELECT string_split(regexp_replace(content, '\n$', ''), chr(10)) AS texts
                    FROM read_text($3) WHERE content <> ''))
        """,
        [*file, str(text)],
    )


def split_lines(db):
    db.execute(
        f"""
        CREATE TABLE split AS
        SELECT *, list_transform(regexp_extract_all(line || ' ', '{FIELD.replace("'", "''")}'), lambda field: field[:-2]) AS f
        FROM raw
        """
    )
    db.execute(
        f"""
        CREATE TABLE lines AS
        SELECT *, CASE WHEN line = '' THEN 'empty'
                       WHEN strlen(line) > {MAX_LINE_BYTES} THEN 'longer'
                       WHEN len(f) < 12 THEN 'fields'
                       WHEN moment IS NULL THEN 'timestamp' END AS rejected
        FROM (SELECT *, CASE log_table WHEN 'elb_logs' THEN text(f[1]) ELSE text(f[2]) END AS time_text,
                     CASE WHEN regexp_full_match(time_text, '{TIME}') THEN from_iso8601_timestamp(time_text) END AS moment
              FROM split)
        """
    )
    for table, columns in [("alb_access_logs", ALB_COLUMNS), ("elb_logs", ELB_COLUMNS)]:
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
        db.execute(
            f"CREATE TABLE {table} AS SELECT {columns} FROM lines WHERE log_table = '{table}' AND rejected IS NULL"
        )


def add_trino_functions(db):
    """Adds the functions of Trino that rollups use and that DuckDB lacks or defines differently."""
    for name, function, arguments, result in [
        ("url_extract_path", java.url_extract_path, ["VARCHAR"], "VARCHAR"),
        ("url_extract_parameter", java.url_extract_parameter, ["VARCHAR", "VARCHAR"], "VARCHAR"),
        ("double_of_text", java.double, ["VARCHAR"], "DOUBLE"),
    ]:
        db.create_function(name, function, arguments, result, null_handling="special")
    db.execute("CREATE MACRO split_part(text, separator, part) AS string_split(text, separator)[part]")
    db.execute("CREATE MACRO count_if(condition) AS count(CASE WHEN condition THEN 1 END)")
    db.execute("CREATE MACRO from_iso8601_timestamp(text) AS date_trunc('milliseconds', TRY_CAST(text AS TIMESTAMPTZ))")
