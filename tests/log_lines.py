"""Reads log files with DuckDB: splits every line of a folder of logs into fields, with the names and types of AWS's Athena
guide. Python only decompresses the files, replaces bytes that are not UTF-8, and tells what kind of log a file is.

Lines of text are split with one regular expression, and those of W3C logs with the same one for another separator. JSON is read
by DuckDB's own functions."""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

import java

MAX_LINE_BYTES = 256 * 1024

# A field and the separator after it; a separator is appended to each line. A quoted field ends with a quote before a separator,
# unless a backslash escapes the quote. An unterminated one extends to the end of the line.
FIELD = r'(?s)"(?:[^"\\]|\\.|"+(?:[^ "\\]|\\.))*(?:"+ |$)|[^ ]* '
# Network balancers write no zone. Times are in UTC then.
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?"
# What separates the values of a W3C log, in the order in which they are tried.
SEPARATORS = {"\t": "chr(9)", " ": "' '", ",": "','"}

# Each column, and the SQL that computes it. `v` are the values of a line's fields, counted from 1, and `f` the fields with their
# quotes. `rest` are the fields that AWS does not document. `is_named` says that the log has names for its fields.
ALB_COLUMNS = {
    "type": "v[1]",
    "time": "v[2]",
    "elb": "v[3]",
    "client_ip": "address(v[4], is_named)",
    "client_port": "port(v[4], is_named)",
    "target_ip": "address(v[5], is_named)",
    "target_port": "port(v[5], is_named)",
    "request_processing_time": "decimals(v[6])",
    "target_processing_time": "decimals(v[7])",
    "response_processing_time": "decimals(v[8])",
    "elb_status_code": "TRY_CAST(digits(v[9]) AS INTEGER)",
    "target_status_code": "v[10]",
    "received_bytes": "digits(v[11])",
    "sent_bytes": "digits(v[12])",
    "request_verb": "request_part(v[13], 1)",
    "request_url": "request_part(v[13], 2)",
    "request_proto": "request_part(v[13], 3)",
    "user_agent": "v[14]",
    "ssl_cipher": "v[15]",
    "ssl_protocol": "v[16]",
    "target_group_arn": "v[17]",
    "trace_id": "v[18]",
    "domain_name": "v[19]",
    "chosen_cert_arn": "v[20]",
    "matched_rule_priority": "v[21]",
    "request_creation_time": "v[22]",
    "actions_executed": "v[23]",
    "redirect_url": "v[24]",
    "lambda_error_reason": "v[25]",
    "target_port_list": "v[26]",
    "target_status_code_list": "v[27]",
    "classification": "v[28]",
    "classification_reason": "v[29]",
    "conn_trace_id": "v[30]",
    "transformed_host": "v[31]",
    "transformed_uri": "v[32]",
    "request_transform_status": "v[33]",
    "ip_address": "v[34]",
    "unhandled_fields": "rest",
}
ELB_COLUMNS = {
    "timestamp": "v[1]",
    "elb_name": "v[2]",
    "request_ip": "address(v[3], is_named)",
    "request_port": "port(v[3], is_named)",
    "backend_ip": "address(v[4], is_named)",
    "backend_port": "port(v[4], is_named)",
    "request_processing_time": "decimals(v[5])",
    "backend_processing_time": "decimals(v[6])",
    "client_response_time": "decimals(v[7])",
    "elb_response_code": "v[8]",
    "backend_response_code": "v[9]",
    "received_bytes": "digits(v[10])",
    "sent_bytes": "digits(v[11])",
    "request_verb": "request_part(v[12], 1)",
    "url": "request_part(v[12], 2)",
    "protocol": "request_part(v[12], 3)",
    "user_agent": "f[13]",  # AWS's regular expression leaves the quotes
    "ssl_cipher": "v[14]",
    "ssl_protocol": "v[15]",
}
# AWS's DDL ends at the trace id.
CONNECTION_COLUMNS = {
    "time": "v[1]",
    "client_ip": "v[2]",
    "client_port": "TRY_CAST(digits(v[3]) AS INTEGER)",
    "listener_port": "TRY_CAST(digits(v[4]) AS INTEGER)",
    "tls_protocol": "v[5]",
    "tls_cipher": "v[6]",
    "tls_handshake_latency": "decimals(v[7])",
    "leaf_client_cert_subject": "v[8]",
    "leaf_client_cert_validity": "v[9]",
    "leaf_client_cert_serial_number": "v[10]",
    "tls_verify_status": "v[11]",
    "conn_trace_id": "v[12]",
    "tls_keyexchange": "v[13]",
    "elb": "v[14]",
    "ip_address": "v[15]",
    "unhandled_fields": "rest",
}
# AWS has no DDL. These are the fields of its guide.
HEALTH_CHECK_COLUMNS = {
    "type": "v[1]",
    "time": "v[2]",
    "latency": "decimals(v[3])",
    "target_addr": "v[4]",
    "target_group_id": "v[5]",
    "status": "v[6]",
    "status_code": "v[7]",
    "reason_code": "v[8]",
    "elb": "v[9]",
    "ip_address": "v[10]",
    "unhandled_fields": "rest",
}
NLB_COLUMNS = {
    "type": "v[1]",
    "version": "v[2]",
    "time": "v[3]",
    "elb": "v[4]",
    "listener_id": "v[5]",
    "client_ip": "address(v[6], is_named)",
    "client_port": "port(v[6], is_named)",
    "target_ip": "address(v[7], is_named)",
    "target_port": "port(v[7], is_named)",
    "tcp_connection_time_ms": "decimals(v[8])",
    "tls_handshake_time_ms": "decimals(v[9])",
    "received_bytes": "digits(v[10])",
    "sent_bytes": "digits(v[11])",
    "incoming_tls_alert": "TRY_CAST(digits(v[12]) AS INTEGER)",
    "cert_arn": "v[13]",
    "certificate_serial": "v[14]",
    "tls_cipher_suite": "v[15]",
    "tls_protocol_version": "v[16]",
    "tls_named_group": "v[17]",
    "domain_name": "v[18]",
    "alpn_fe_protocol": "v[19]",
    "alpn_be_protocol": "v[20]",
    "alpn_client_preference_list": "f[21]",
    "tls_connection_creation_time": "v[22]",
    "unhandled_fields": "rest",
}

# The names that AWS's CDK has for the record fields of deliveries through CloudWatch Logs, in the order of a line of text. Classic
# balancers have no such deliveries.
ALB_FIELDS = """
    type time elb client_port target_port request_processing_time target_processing_time response_processing_time elb_status_code
    target_status_code received_bytes sent_bytes request_line user_agent ssl_cipher ssl_protocol target_group_arn trace_id
    domain_name chosen_cert_arn matched_rule_priority request_creation_time actions_executed redirect_url error_reason
    target_port_list target_status_code_list classification classification_reason conn_trace_id transformed_host transformed_uri
    request_transform_status ip_address
"""
CONNECTION_FIELDS = """
    time client_ip client_port listener_port tls_protocol tls_cipher tls_handshake_latency leaf_client_cert_subject
    leaf_client_cert_validity leaf_client_cert_serial_number tls_verify_status conn_trace_id tls_keyexchange elb ip_address
"""
HEALTH_CHECK_FIELDS = "type time latency target_addr target_group_id status status_code reason_code elb ip_address"
NLB_FIELDS = """
    type version time elb listener client_port destination_port connection_time tls_handshake_time received_bytes sent_bytes
    incoming_tls_alert chosen_cert_arn chosen_cert_serial tls_cipher tls_protocol_version tls_keyexchange domain_name
    alpn_fe_protocol alpn_be_protocol alpn_client_preference_list tls_connection_creation_time
"""


@dataclass
class LogTable:
    columns: dict[str, str]
    # The names of its fields.
    fields: list[str]
    # The minimum number of fields of a line of text, and the position of its time, from 1.
    fewest: int
    time: int
    # A field of no other kind of log.
    telling: str
    time_column: str = "time"


TABLES = {
    "alb_access_logs": LogTable(ALB_COLUMNS, ALB_FIELDS.split(), 12, 2, "elb_status_code"),
    "elb_logs": LogTable(ELB_COLUMNS, [], 12, 1, "", "timestamp"),
    "alb_connection_logs": LogTable(CONNECTION_COLUMNS, CONNECTION_FIELDS.split(), 7, 1, "tls_verify_status"),
    "alb_health_check_logs": LogTable(HEALTH_CHECK_COLUMNS, HEALTH_CHECK_FIELDS.split(), 6, 2, "target_addr"),
    "nlb_tls_logs": LogTable(NLB_COLUMNS, NLB_FIELDS.split(), 11, 3, "incoming_tls_alert"),
}
TIME_COLUMN = {name: table.time_column for name, table in TABLES.items()}

# Columns of each table that the name of the log file says, and the day of its folders. `SELECT *` in a rollup does not mean them.
OF_FILE = {
    "day": r"""coalesce(
        nullif(regexp_replace(regexp_extract(log_file, '/((year=)?\d{4}/(month=)?\d\d/(day=)?\d\d)/', 1), '[a-z]+=', '', 'g'), ''),
        nullif(regexp_replace(regexp_extract(log_file, '_(\d{8})T\d{4}Z', 1), '(....)(..)(..)', '\1/\2/\3'), ''))""",
    "account": r"nullif(regexp_extract(log_file, '(\d{12})_elasticloadbalancing_', 1), '')",
    "region": r"nullif(regexp_extract(log_file, '_elasticloadbalancing_([^_]+)_', 1), '')",
    "balancer": r"replace(nullif(regexp_extract(log_file, '_elasticloadbalancing_[^_]+_([^_]+)_\d{8}T\d{4}Z', 1), ''), '.', '/')",
}

MACROS = r"""
    CREATE MACRO text(field) AS regexp_replace(field, '(?s)^"(.*?)"?$', '\1');
    CREATE MACRO digits(field) AS CASE WHEN regexp_full_match(field, '[-+]?[0-9]+') THEN TRY_CAST(field AS BIGINT) END;
    CREATE MACRO is_port(field, is_named) AS is_named AND regexp_full_match(field, '[0-9]+');
    CREATE MACRO address(field, is_named) AS
        CASE WHEN contains(field, ':') THEN regexp_extract(field, '(?s)^(.*):', 1)
             WHEN NOT is_port(field, is_named) THEN rtrim(field, '-') END;
    CREATE MACRO port(field, is_named) AS
        TRY_CAST(digits(CASE WHEN is_port(field, is_named) THEN field ELSE regexp_extract(field, '(?s):([^:]*)$', 1) END) AS INTEGER);
    CREATE MACRO decimals(field) AS
        CASE WHEN regexp_full_match(field, '[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?')
             THEN TRY_CAST(field AS DOUBLE) END;
    CREATE MACRO request_part(field, part) AS
        CASE WHEN regexp_matches(field, '(?s) .* ') THEN regexp_extract(field, '(?s)^([^ ]*) (.*) ([^ ]*)$', part) END;
    CREATE MACRO moment(field) AS CASE WHEN regexp_full_match(field, '{TIME}') THEN from_iso8601_timestamp(field) END;
    CREATE MACRO is_object(line) AS CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END;
    CREATE MACRO member(name) AS '$."' || name || '"';
    CREATE MACRO items(object, name) AS json_extract(object, member(name))::VARCHAR[];
    CREATE MACRO member_text(object, name) AS
        CASE json_type(object, member(name))
             WHEN 'NULL' THEN NULL
             WHEN 'ARRAY' THEN CASE WHEN starts_with(name, 'target_') THEN array_to_string(items(object, name), ' ')
                                    ELSE array_to_string(items(object, name), ',') END
             ELSE json_extract_string(object, member(name)) END;
"""


def kind(log_file, lines):
    """The log table of a file and how its lines are written, by its name or else by its lines. None if it is not a log, or empty."""
    if lines == [""] or log_file.name.endswith("LogTestFile"):
        return None
    shape = "json" if lines[0].startswith("{") else "w3c" if lines[0].startswith("#") else "text"
    table = table_of_name(log_file.name) or (table_of_text(lines) if shape == "text" else table_of_fields(lines))
    return table and (table, shape)


def table_of_name(name):
    named = re.search(r"_elasticloadbalancing_[^_]+_(app\.|net\.)?.*_\d{8}T\d{4}Z", name)
    if not named:
        return None
    if re.match(r"conn_log[_.]", name):
        return "alb_connection_logs"
    if name.startswith("health_check_log"):
        return "alb_health_check_logs"
    return {"app.": "alb_access_logs", "net.": "nlb_tls_logs", None: "elb_logs"}[named[1]]


def table_of_text(lines):
    """Only access logs have names that don't tell, and then a line tells."""
    for line in lines[:100]:
        fields = line.split(" ")
        if len(fields) >= 12 and re.fullmatch(TIME, fields[0]) and ":" in fields[2]:
            return "elb_logs"
        if len(fields) >= 12 and re.fullmatch(TIME, fields[1]) and ":" in fields[3]:
            return "alb_access_logs"
    return None


def table_of_fields(lines):
    names = set(re.findall(r"[\w-]+", lines[0] if lines[0].startswith("#Fields:") else lines[1]))
    return next((name for name, table in TABLES.items() if table.telling in names), None)


def load(logs, texts):
    """A DuckDB database with the tables log_files, lines, and one for each kind of log. `texts` is a folder for plain text."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'; SET integer_division = true")
    add_trino_functions(db)
    db.execute(MACROS.replace("{TIME}", TIME))
    db.execute("CREATE TABLE kinds (log_table VARCHAR, fewest BIGINT, time_position BIGINT, fields VARCHAR[])")
    for name, table in TABLES.items():
        db.execute("INSERT INTO kinds VALUES ($1, $2, $3, $4)", [name, table.fewest, table.time, table.fields])
    db.execute("CREATE TABLE log_files (log_file VARCHAR, log_table VARCHAR, bytes BIGINT, text_bytes BIGINT)")
    db.execute("CREATE TABLE raw (log_file VARCHAR, log_table VARCHAR, shape VARCHAR, line_number BIGINT, line VARCHAR)")
    for log_file in sorted(path for path in Path(logs).resolve().rglob("*") if path.is_file()):
        load_file(db, log_file, Path(texts, "text"))
    split_lines(db)
    return db


def load_file(db, log_file, text):
    stored = log_file.read_bytes()
    inflated = gzip.decompress(stored) if stored.startswith(b"\x1f\x8b") else stored
    decoded = inflated.decode(errors="replace")
    found = kind(log_file, decoded.split("\n", 100))
    if found is None:
        return
    log_table, shape = found
    text.write_bytes(decoded.encode())
    uri = log_file.as_uri().replace("%3D", "=")  # which URLs need not escape
    db.execute("INSERT INTO log_files VALUES ($1, $2, $3, $4)", [uri, log_table, len(stored), len(inflated)])
    db.execute(
        """
        INSERT INTO raw
        SELECT $1, $2, $3, line_number, CASE WHEN ends_with(line, chr(13)) THEN line[:-2] ELSE line END
        FROM (SELECT unnest(texts) AS line, generate_subscripts(texts, 1) AS line_number
              FROM (SELECT string_split(regexp_replace(content, '\n$', ''), chr(10)) AS texts
                    FROM read_text($4) WHERE content <> ''))
        """,
        [uri, log_table, shape, str(text)],
    )


def fields_of(line, separator=" "):
    """The SQL that splits a line into its fields, with their quotes."""
    pattern = FIELD.replace(" ", separator).replace("'", "''")
    written = SEPARATORS[separator]
    return f"list_transform(regexp_extract_all({line} || {written}, '{pattern}'), lambda field: field[:-2])"


def split_lines(db):
    """Makes the table `lines`, and of its log lines the log tables."""
    split_text(db)
    split_w3c(db)
    split_json(db)
    order_values(db)
    db.execute(
        f"""
        CREATE TABLE lines AS
        SELECT *, CASE WHEN line = '' THEN 'empty'
                       WHEN strlen(line) > {MAX_LINE_BYTES} THEN 'longer'
                       WHEN fault IS NOT NULL THEN fault
                       WHEN moment IS NULL AND has_time THEN 'timestamp' END AS rejected
        FROM (SELECT *, moment(v[time_position]) AS moment
              FROM (FROM of_text UNION ALL BY NAME FROM of_named) JOIN kinds USING (log_table))
        """
    )
    for name, table in TABLES.items():
        columns = ", ".join(f'{sql} AS "{column}"' for column, sql in (table.columns | OF_FILE).items())
        db.execute(f"CREATE TABLE {name} AS SELECT {columns} FROM lines WHERE log_table = '{name}' AND rejected IS NULL")


def split_text(db):
    """In a network balancer's line, spaces separate the fields even inside quotes, as in AWS's regular expression."""
    db.execute(
        f"""
        CREATE TABLE split AS
        SELECT *, CASE log_table WHEN 'nlb_tls_logs' THEN string_split(line, ' ') ELSE {fields_of("line")} END AS f
        FROM raw WHERE shape = 'text';
        CREATE TABLE of_text AS
        SELECT split.*, CASE log_table WHEN 'nlb_tls_logs' THEN f ELSE list_transform(f, lambda field: text(field)) END AS v,
               CASE WHEN len(f) > len(fields) THEN array_to_string(f[len(fields) + 1:], ' ') END AS rest,
               CASE WHEN len(f) < fewest THEN 'fields' END AS fault, true AS has_time, false AS is_named
        FROM split JOIN kinds USING (log_table)
        """
    )


def split_w3c(db):
    """The names are those of the last `#Fields:` line. The separator is the one by which the first line after it that has as many
    values as there are names does have them. Values beyond the last name are named by their position."""
    tried = " UNION ALL ".join(
        f"SELECT *, {place} AS tried, {fields_of('line', separator)} AS found FROM w3c" for place, separator in enumerate(SEPARATORS)
    )
    db.execute(
        f"""
        CREATE TABLE w3c AS
        SELECT raw.*, named_at, names
        FROM (SELECT *, max(CASE WHEN starts_with(line, '#Fields:') THEN line_number END)
                            OVER (PARTITION BY log_file ORDER BY line_number) AS named_at
              FROM raw WHERE shape = 'w3c') AS raw
        JOIN (SELECT log_file, line_number AS named_at, regexp_extract_all(line[9:], '[A-Za-z0-9_():-]+') AS names
              FROM raw WHERE shape = 'w3c' AND starts_with(line, '#Fields:')) USING (log_file, named_at)
        WHERE NOT starts_with(line, '#');
        CREATE TABLE w3c_values AS {tried};
        CREATE TABLE members AS
        SELECT log_file, log_table, shape, line_number, line,
               names || [format('field_{{}}', n) FOR n IN range(len(names) + 1, len(found) + 1)] AS names,
               list_transform(found, lambda field: text(field)) AS texts,
               list_transform(found, lambda field: to_json(text(field))::VARCHAR) AS jsons,
               CASE WHEN len(found) < len(names) THEN 'fields' END AS fault
        FROM w3c_values
        JOIN (SELECT log_file, named_at, arg_min(tried, 10 * line_number + tried) AS tried
              FROM w3c_values WHERE len(found) = len(names) GROUP BY ALL) USING (log_file, named_at, tried)
        """
    )


def split_json(db):
    db.execute(
        """
        INSERT INTO members
        SELECT *, list_transform(names, lambda name: member_text(line, name)) AS texts,
               list_transform(names, lambda name: json_extract(line, member(name))::VARCHAR) AS jsons, NULL AS fault
        FROM (SELECT *, json_keys(line) AS names FROM raw WHERE shape = 'json' AND is_object(line));
        INSERT INTO members
        SELECT *, [] AS names, [] AS texts, [] AS jsons, 'object' AS fault FROM raw WHERE shape = 'json' AND NOT is_object(line)
        """
    )


def order_values(db):
    """The values of lines with names, in the order of a line of text. Those without a place there become a JSON object."""
    db.execute(
        """
        CREATE TABLE of_named AS
        SELECT * EXCLUDE (names, texts, jsons, fault, others), v AS f, true AS is_named,
               list_contains(names, 'time') AS has_time,
               CASE WHEN len(others) > 0 THEN '{' || array_to_string(others, ',') || '}' END AS rest,
               CASE WHEN fault IS NOT NULL THEN fault WHEN NOT list_has_any(names, fields) THEN 'no field of' END AS fault
        FROM (SELECT members.*, fields,
                     list_transform(fields, lambda field: texts[list_position(names, field)]) AS v,
                     [to_json(names[n])::VARCHAR || ':' || jsons[n] FOR n IN range(1, len(names) + 1)
                      IF NOT list_contains(fields, names[n])] AS others
              FROM members JOIN kinds USING (log_table));
        ALTER TABLE of_named DROP fields
        """
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
