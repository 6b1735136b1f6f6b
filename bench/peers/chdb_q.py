"""The reference rollup in chDB, the ClickHouse library.

`csv` reads all fields, as CSV with spaces. `line` reads whole lines and splits only the first 260 bytes. It is
faster, and correct only if all needed fields begin there.
"""

import chdb
from common import COLUMNS, NUMBERS, THREADS, arguments

variant, data, out = arguments("line", "csv")

if variant == "line":
    parameters = f"""
        SELECT substring(field[2], 1, 16) AS at,
               extractURLParameter(line, 'e') AS event,
               extractURLParameter(line, 'c') AS country,
               toUInt16(field[9]) AS elb_status_code,
               extractURLParameter(line, 'amt') AS amt,
               extractURLParameter(line, 'uid') AS uid,
               toUInt32(field[12]) AS bytes
        FROM (SELECT line, splitByChar(' ', substring(line, 1, 260)) AS field
              FROM file('{data}/*.gz', 'LineAsString', 'line String', 'gzip'))
    """
else:
    columns = ", ".join(f"{name} {'UInt32' if name in NUMBERS else 'String'}" for name in COLUMNS)
    parameters = f"""
        SELECT substring(time, 1, 16) AS at,
               extractURLParameter(url, 'e') AS event,
               extractURLParameter(url, 'c') AS country,
               elb_status_code,
               extractURLParameter(url, 'amt') AS amt,
               extractURLParameter(url, 'uid') AS uid,
               sent_bytes AS bytes
        FROM (SELECT time, splitByChar(' ', request)[2] AS url, elb_status_code, sent_bytes
              FROM file('{data}/*.gz', 'CustomSeparated', '{columns}', 'gzip'))
    """

chdb.query(f"""
    INSERT INTO FUNCTION file('{out}', 'Parquet')
    SELECT toDateTime64(concat(at, ':00'), 3, 'UTC') AS minute, event, country, elb_status_code,
           count() AS events,
           sum(toFloat64OrZero(amt)) AS amount,
           sum(bytes) AS sent_bytes,
           uniqIf(uid, uid != '') AS users
    FROM ({parameters})
    GROUP BY at, event, country, elb_status_code
    SETTINGS max_threads = {THREADS}, max_parsing_threads = {THREADS},
             output_format_parquet_compression_method = 'zstd', engine_file_truncate_on_insert = 1,
             format_custom_escaping_rule = 'CSV', format_custom_field_delimiter = ' ',
             format_custom_row_before_delimiter = '', format_custom_row_after_delimiter = '\\n',
             format_custom_row_between_delimiter = '', format_custom_result_before_delimiter = '',
             format_custom_result_after_delimiter = '', input_format_custom_detect_header = 0,
             format_csv_allow_single_quotes = 0
""")
