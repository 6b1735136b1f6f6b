"""Seeded log lines of each kind as records, by the names that AWS documents for deliveries through CloudWatch Logs, and the SQL
that makes the columns of AWS's tables of them."""

import importlib.util
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

TESTDATA = Path(__file__).resolve().parent.parent.parent / "testdata" / "make.py"
DAY = datetime(2026, 11, 20)


def made():
    """The script that makes the lines of testdata."""
    spec = importlib.util.spec_from_file_location("make", TESTDATA)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- SQL of columns --------------------------------------------------------------------------------------------------


def text(field):
    return f'CAST("{field}" AS varchar)'


def number(field, kind):
    return f'TRY_CAST("{field}" AS {kind})'


def address(field):
    """The field has `address:port`. A text of digits is a port alone."""
    return (
        f"CASE WHEN strpos({text(field)}, ':') > 0 THEN regexp_extract({text(field)}, '^(.*):', 1)"
        f" WHEN NOT regexp_like({text(field)}, '^[0-9]+$') THEN regexp_replace({text(field)}, '-+$', '') END"
    )


def port(field):
    return f"TRY_CAST(regexp_extract({text(field)}, '(^|:)([0-9]+)$', 2) AS integer)"


def part_of_request(part):
    return f"regexp_extract(request_line, '^([^ ]*) (.*) ([^ ]*)$', {part})"


def texts(names):
    return {name: text(name) for name in names.split()}


# ---- kinds -----------------------------------------------------------------------------------------------------------


@dataclass
class Kind:
    table: str
    # The names of the fields, in the order of a line of text, and those in double quotes there.
    fields: list[str]
    quoted: set[str]
    # Columns of the table that are not texts of the same name.
    columns: dict[str, str]
    # The types of fields in Parquet files that have types: int, bigint, double or timestamp.
    types: dict[str, str]
    # The SQL of a rollup.
    rollup: str
    # The beginning of a file's name, and the load balancer in it.
    prefix: str
    balancer: str

    def select(self, typed=False):
        """The SQL of the table's columns over fields with names."""
        columns = self.columns
        if typed:
            columns = columns | {name: as_text(self, name) for name, kind in self.types.items() if kind == "timestamp"}
        return ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())

    def file_name(self, number, suffix):
        return f"{self.prefix}123456789012_elasticloadbalancing_us-east-2_{self.balancer}_20261120T10{5 * number:02}Z_{number:08x}{suffix}"

    def line(self, record):
        """The record as a line of text."""
        return " ".join(f'"{record[name]}"' if name in self.quoted else record[name] for name in self.fields)


def as_text(kind, field):
    """A time as the log writes it. Athena's times have milliseconds, and so have those of typed records."""
    if kind is TLS:
        return f"format_datetime(\"{field}\", 'yyyy-MM-dd''T''HH:mm:ss')"
    return f"format_datetime(\"{field}\", 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000Z'"


ALB = Kind(
    table="alb_access_logs",
    fields="""
        type time elb client_port target_port request_processing_time target_processing_time response_processing_time
        elb_status_code target_status_code received_bytes sent_bytes request_line user_agent ssl_cipher ssl_protocol
        target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time actions_executed
        redirect_url error_reason target_port_list target_status_code_list classification classification_reason conn_trace_id
        transformed_host transformed_uri request_transform_status ip_address
    """.split(),
    quoted=set("""
        request_line user_agent trace_id domain_name chosen_cert_arn actions_executed redirect_url error_reason target_port_list
        target_status_code_list classification classification_reason transformed_host transformed_uri request_transform_status
    """.split()),
    columns={
        **texts("type time elb"),
        "client_ip": address("client_port"), "client_port": port("client_port"),
        "target_ip": address("target_port"), "target_port": port("target_port"),
        "request_processing_time": number("request_processing_time", "double"),
        "target_processing_time": number("target_processing_time", "double"),
        "response_processing_time": number("response_processing_time", "double"),
        "elb_status_code": number("elb_status_code", "integer"),
        "target_status_code": text("target_status_code"),
        "received_bytes": number("received_bytes", "bigint"),
        "sent_bytes": number("sent_bytes", "bigint"),
        "request_verb": part_of_request(1), "request_url": part_of_request(2), "request_proto": part_of_request(3),
        **texts("user_agent ssl_cipher ssl_protocol target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority"
                " request_creation_time actions_executed redirect_url"),
        "lambda_error_reason": text("error_reason"),
        **texts("target_port_list target_status_code_list classification classification_reason conn_trace_id transformed_host"
                " transformed_uri request_transform_status ip_address"),
    },
    types={
        "time": "timestamp", "request_processing_time": "double", "target_processing_time": "double",
        "response_processing_time": "double", "elb_status_code": "int", "target_status_code": "int", "received_bytes": "bigint",
        "sent_bytes": "bigint", "matched_rule_priority": "int",
    },
    rollup="""
        SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code, request_verb,
               count(*) AS requests, count(client_port) AS with_port, sum(sent_bytes) AS sent, max(user_agent) AS last_agent,
               count(DISTINCT client_ip) AS clients, sum(target_processing_time) AS seconds
        FROM alb_access_logs GROUP BY 1, 2, 3
    """,
    prefix="",
    balancer="app.shop.50dc6c495c0c9188",
)
CONNECTIONS = Kind(
    table="alb_connection_logs",
    fields="""
        time client_ip client_port listener_port tls_protocol tls_cipher tls_handshake_latency leaf_client_cert_subject
        leaf_client_cert_validity leaf_client_cert_serial_number tls_verify_status conn_trace_id tls_keyexchange elb ip_address
    """.split(),
    quoted={"leaf_client_cert_subject"},
    columns={
        **texts("time client_ip"),
        "client_port": number("client_port", "integer"),
        "listener_port": number("listener_port", "integer"),
        **texts("tls_protocol tls_cipher"),
        "tls_handshake_latency": number("tls_handshake_latency", "double"),
        **texts("leaf_client_cert_subject leaf_client_cert_validity leaf_client_cert_serial_number tls_verify_status conn_trace_id"
                " tls_keyexchange elb ip_address"),
    },
    types={"time": "timestamp", "client_port": "int", "listener_port": "int", "tls_handshake_latency": "double"},
    rollup="""
        SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, tls_protocol, tls_verify_status,
               count(*) AS connections, count(tls_handshake_latency) AS shaken, min(client_port) AS lowest_port,
               max(leaf_client_cert_subject) AS last_subject, sum(tls_handshake_latency) AS seconds
        FROM alb_connection_logs GROUP BY 1, 2, 3
    """,
    prefix="conn_log_",
    balancer="app.shop.50dc6c495c0c9188",
)
HEALTH_CHECKS = Kind(
    table="alb_health_check_logs",
    fields="type time latency target_addr target_group_id status status_code reason_code elb ip_address".split(),
    quoted=set(),
    columns={
        **texts("type time"),
        "latency": number("latency", "double"),
        **texts("target_addr target_group_id status status_code reason_code elb ip_address"),
    },
    types={"time": "timestamp", "latency": "double", "status_code": "int"},
    rollup="""
        SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, target_group_id, status, reason_code,
               count(*) AS checks, max(latency) AS slowest, sum(latency) AS seconds, min(target_addr) AS first_target
        FROM alb_health_check_logs GROUP BY 1, 2, 3, 4
    """,
    prefix="health_check_log_",
    balancer="app.shop.50dc6c495c0c9188",
)
TLS = Kind(
    table="nlb_tls_logs",
    fields="""
        type version time elb listener client_port destination_port connection_time tls_handshake_time received_bytes sent_bytes
        incoming_tls_alert chosen_cert_arn chosen_cert_serial tls_cipher tls_protocol_version tls_keyexchange domain_name
        alpn_fe_protocol alpn_be_protocol alpn_client_preference_list tls_connection_creation_time
    """.split(),
    quoted=set(),
    columns={
        **texts("type version time elb"),
        "listener_id": text("listener"),
        "client_ip": address("client_port"), "client_port": port("client_port"),
        "target_ip": address("destination_port"), "target_port": port("destination_port"),
        "tcp_connection_time_ms": number("connection_time", "double"),
        "tls_handshake_time_ms": number("tls_handshake_time", "double"),
        "received_bytes": number("received_bytes", "bigint"),
        "sent_bytes": number("sent_bytes", "bigint"),
        "incoming_tls_alert": number("incoming_tls_alert", "integer"),
        "cert_arn": text("chosen_cert_arn"),
        "certificate_serial": text("chosen_cert_serial"),
        "tls_cipher_suite": text("tls_cipher"),
        "tls_protocol_version": text("tls_protocol_version"),
        "tls_named_group": text("tls_keyexchange"),
        **texts("domain_name alpn_fe_protocol alpn_be_protocol alpn_client_preference_list tls_connection_creation_time"),
    },
    types={
        "time": "timestamp", "connection_time": "bigint", "tls_handshake_time": "int", "received_bytes": "bigint",
        "sent_bytes": "bigint", "incoming_tls_alert": "int", "tls_connection_creation_time": "timestamp",
    },
    rollup="""
        SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, tls_protocol_version, domain_name,
               count(*) AS connections, count(incoming_tls_alert) AS alerts, sum(received_bytes) AS received,
               max(tls_handshake_time_ms) AS slowest, count(DISTINCT client_ip) AS clients, min(target_port) AS lowest_port
        FROM nlb_tls_logs GROUP BY 1, 2, 3
    """,
    prefix="",
    balancer="net.edge.c6e77e28c25b2234",
)
KINDS = [ALB, CONNECTIONS, HEALTH_CHECKS, TLS]


# ---- records ---------------------------------------------------------------------------------------------------------

ADDRESSES = ["192.0.2.{}", "198.51.100.{}", "2001:db8:7:1::{}", "[2001:db8::{}]"]
AGENTS = ["curl/8.16.0", "-", "", "Mozilla/5.0 (X11; Linux x86_64)", "bot \\x22the best\\x22", "Läden-App/1.0 (日本語; 🛒)"]
SUBJECTS = ["-"] * 4 + ["", "CN=client.example.com,O=Example, Inc.,C=US", "CN=N\\C3\\84SS\\,MARI,C=EE", "CN=Näss,O=例", "CN=a\\x22b"]
LISTS = ["-", '"h2"', '"h2","http/1.1"', '\\"http/1.1\\"', '"spdy%2F3.1","a%20b"', "h2", '""']


def endpoint(chance):
    return f"{chance.choice(ADDRESSES).format(chance.randrange(1, 250))}:{chance.randrange(1, 65536)}"


def trace(chance):
    return f"TID_{chance.getrandbits(128):032x}"


def requests(chance):
    path = chance.choice(["/", "/cart?x=1", "/red shoes", "/caf%C3%A9?e=view&uid=7", "/a|b?x={y}", "/é"])
    request = f"{chance.choice(['GET', 'GET', 'POST'])} https://shop.example.com:443{path} HTTP/{chance.choice(['1.1', '2.0'])}"
    status = chance.choice(["200", "200", "204", "404", "460", "502", "-"])
    served = chance.random() < 0.7
    return {
        "type": chance.choice(["http", "https", "h2", "grpcs", "ws", "of-2030"]),
        "elb": chance.choice(["app/shop/50dc6c495c0c9188", "app/api/0123456789abcdef"]),
        "client_port": endpoint(chance),
        "target_port": f"10.0.0.{chance.randrange(1, 7)}:80" if served else "-",
        "request_processing_time": chance.choice(["0.000", "0.001", "-1"]),
        "target_processing_time": f"{chance.expovariate(3):.3f}" if served else "-1",
        "response_processing_time": chance.choice(["0.000", "-1"]),
        "elb_status_code": status,
        "target_status_code": status if served else "-",
        "received_bytes": chance.choice(["0", "98", "5368709120", str(chance.randrange(10**6))]),
        "sent_bytes": str(chance.randrange(10**6)),
        "request_line": request if chance.random() < 0.95 else "- http://shop.example.com:80- -",
        "user_agent": chance.choice(AGENTS),
        "ssl_cipher": chance.choice(["-", "TLS_AES_128_GCM_SHA256"]),
        "ssl_protocol": chance.choice(["-", "TLSv1.3"]),
        "target_group_arn": chance.choice(["-", "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067"]),
        "trace_id": chance.choice(["-", "Self=1-67891234;Root=1-67891233-abcdef012345678912345678"]),
        "domain_name": chance.choice(["-", "shop.example.com"]),
        "chosen_cert_arn": chance.choice(["-", "session-reused", "arn:aws:acm:us-east-2:123456789012:certificate/1"]),
        "matched_rule_priority": chance.choice(["-", "-1", "0", "42"]),
        "request_creation_time": "2026-11-20T09:59:59.750000Z",
        "actions_executed": chance.choice(["-", "forward", "waf,forward"]),
        "redirect_url": chance.choice(["-", "https://shop.example.com:443/new"]),
        "error_reason": chance.choice(["-", "LambdaInvalidResponse"]),
        "target_port_list": chance.choice(["-", "10.0.0.1:80"]),
        "target_status_code_list": chance.choice(["-", "200"]),
        "classification": chance.choice(["-", "Acceptable"]),
        "classification_reason": chance.choice(["-", "SpaceInUri"]),
        "conn_trace_id": trace(chance),
        "transformed_host": "-",
        "transformed_uri": chance.choice(["-", "/new/1"]),
        "request_transform_status": "-",
        "ip_address": "10.0.1.7",
    }


def connections(chance):
    is_tls = chance.random() < 0.8
    subject = chance.choice(SUBJECTS) if is_tls else "-"
    verified = chance.choice(["Success", "-", "Failed:ClientCertExpired", "Failed:UnmappedConnectionError"]) if is_tls else "-"
    address, _, number = endpoint(chance).rpartition(":")
    return {
        "client_ip": address,
        "client_port": number,
        "listener_port": "443" if is_tls else "80",
        "tls_protocol": chance.choice(["TLSv1.2", "TLSv1.3"]) if is_tls else "-",
        "tls_cipher": "TLS_AES_128_GCM_SHA256" if is_tls else "-",
        "tls_handshake_latency": chance.choice(["-", "0.000", f"{chance.expovariate(20):.3f}", "12.345"]) if is_tls else "-",
        "leaf_client_cert_subject": subject,
        "leaf_client_cert_validity": "-" if subject == "-" else "NotBefore=2025-09-21T22:43:21Z;NotAfter=2028-06-17T22:43:21Z",
        "leaf_client_cert_serial_number": "-" if subject == "-" else f"{chance.getrandbits(64):X}",
        "tls_verify_status": verified,
        "conn_trace_id": trace(chance),
        "tls_keyexchange": chance.choice(["X25519MLKEM768", "secp256r1", "-"]),
        "elb": "app/shop/50dc6c495c0c9188",
        "ip_address": chance.choice(["10.0.1.7", "2001:db8::7"]),
    }


def health_checks(chance):
    status, code, reason = chance.choice(
        [("PASS", "200", "-")] * 3
        + [("FAIL", "-", "TimedOut"), ("FAIL", "502", "TargetError"), ("FAIL", "404", "ResponseCodeMismatch"), ("UNKNOWN", "-", "New")]
    )
    return {
        "type": chance.choice(["http", "https", "h2", "grpc", "lambda", "of-2030"]),
        "latency": chance.choice(["-", "0", f"{chance.expovariate(50):.9f}", "120.000000001"]),
        "target_addr": chance.choice(["-", endpoint(chance), "arn:aws:lambda:us-east-2:123456789012:function:health"]),
        "target_group_id": chance.choice(["shop-web", "shop-api"]),
        "status": status,
        "status_code": code,
        "reason_code": reason,
        "elb": "app/shop/50dc6c495c0c9188",
        "ip_address": "10.0.1.7",
    }


def tls_connections(chance):
    is_shaken = chance.random() < 0.8
    return {
        "type": chance.choice(["tls", "tls", "quic"]),
        "version": chance.choice(["2.0", "2.0", "3.0"]),
        "elb": chance.choice(["net/edge/c6e77e28c25b2234", "net/inner/0123456789abcdef"]),
        "listener": "3b8d2f0a1c4e5d6f",
        "client_port": endpoint(chance),
        "destination_port": endpoint(chance),
        "connection_time": chance.choice(["0", "5200", "86400123", str(chance.randrange(10**4))]),
        "tls_handshake_time": str(chance.randrange(200)) if is_shaken else "-",
        "received_bytes": chance.choice(["0", "98", "5368709120"]),
        "sent_bytes": chance.choice(["0", "246", "9223372036854775807"]),
        "incoming_tls_alert": chance.choice(["-", "-", "0", "48", "70"]),
        "chosen_cert_arn": "arn:aws:acm:us-east-2:123456789012:certificate/1" if is_shaken else "-",
        "chosen_cert_serial": "-",
        "tls_cipher": "TLS_AES_128_GCM_SHA256" if is_shaken else "-",
        "tls_protocol_version": chance.choice(["tlsv12", "tlsv13"]) if is_shaken else "-",
        "tls_keyexchange": chance.choice(["-", "X25519MLKEM768"]),
        "domain_name": chance.choice(["-", "edge.example.com", "%E4%BE%8B.example", "a%20b%22c.example"]),
        "alpn_fe_protocol": chance.choice(["-", "h2", "http/1.1"]),
        "alpn_be_protocol": chance.choice(["-", "h2"]),
        "alpn_client_preference_list": chance.choice(LISTS),
        "tls_connection_creation_time": "2026-11-20T09:59:57",
    }


RECORDS = {ALB.table: requests, CONNECTIONS.table: connections, HEALTH_CHECKS.table: health_checks, TLS.table: tls_connections}


def records(kind, seed, count, begin):
    """Records with times of their own: whole milliseconds, or for network balancers seconds without a zone."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        time = DAY + begin + timedelta(seconds=7 * number, milliseconds=0 if kind is TLS else chance.randrange(1000))
        written = time.strftime("%Y-%m-%dT%H:%M:%S") + ("" if kind is TLS else f".{time.microsecond // 1000:03}000Z")
        found.append({"time": written, **RECORDS[kind.table](chance)})
    return found


# Values of fields with names that no line of text has, or that would not be readable there.
ODD = {
    ALB.table: [
        {"client_port": "50599", "target_port": "8080"},
        {"client_port": "", "target_port": "10.0.0.1:-"},
        {"client_port": "nowhere", "target_port": "XX.XX.XX.XX:XXXXX"},
        {"elb_status_code": "abc", "received_bytes": "many", "sent_bytes": "9223372036854775808"},
        {"request_processing_time": "fast", "target_processing_time": "1.5e-2", "response_processing_time": ""},
        {"request_line": "-"},
        {"request_line": "GET HTTP/1.1", "user_agent": '"in quotes"'},
        {"request_line": 'GET https://shop.example.com:443/?q="x" HTTP/1.1', "user_agent": 'a "quoted" \\ agent\twith a tab'},
        {"type": "", "elb": "-", "trace_id": "", "classification": " "},
    ],
    CONNECTIONS.table: [
        {"client_ip": "-", "client_port": "-", "listener_port": "-"},
        {"client_ip": "XXX.XX.XX.XX", "client_port": "XXXXX"},
        {"tls_handshake_latency": "1e-3"},
        {"tls_handshake_latency": "-1", "client_port": "2147483648"},
        {"tls_handshake_latency": "slow", "leaf_client_cert_subject": 'CN=client,O="Example" Ltd'},
        {"tls_verify_status": '"Failed:ClientCertExpired"', "leaf_client_cert_serial_number": ""},
    ],
    HEALTH_CHECKS.table: [
        {"latency": "1.2E-4", "target_addr": "i-0123456789abcdef0:80"},
        {"latency": "-1", "status": "pass"},
        {"latency": "slow", "target_group_id": "-"},
        {"status": "", "status_code": "", "reason_code": "two words"},
    ],
    TLS.table: [
        {"client_port": "-", "destination_port": "-"},
        {"client_port": "50599", "destination_port": "443"},
        {"client_port": "XX.XXX.X.XXXX:XXXXX", "destination_port": "192.0.2.7:"},
        {"connection_time": "5.25", "tls_handshake_time": "1.5", "incoming_tls_alert": "none"},
        {"received_bytes": "9223372036854775808", "sent_bytes": "-"},
        {"alpn_client_preference_list": '"h2","http', "domain_name": '"a b"', "version": ""},
    ],
}


def odd_records(kind, begin):
    usual = records(kind, 3, len(ODD[kind.table]), begin)
    return [record | odd for record, odd in zip(usual, ODD[kind.table])]


def odd_lines():
    """Lines of text, by the table: those of testdata, which are cut, have newer fields, or are no log lines."""
    make = made()
    rng, at = random.Random(4), make.at
    return {
        ALB.table: [
            *make.answered_by_the_balancer(rng, at("2026-11-20T00:00:00")),
            *make.lengths(rng, at("2026-11-20T01:00:00")),
            *make.addresses(rng, at("2026-11-20T02:00:00")),
            *make.requests(rng, at("2026-11-20T03:00:00")),
            *make.no_log_lines(rng, at("2026-11-20T04:00:00")),
        ],
        CONNECTIONS.table: make.connections(rng, at("2026-11-20T00:00:00")),
        HEALTH_CHECKS.table: make.health_checks(rng, at("2026-11-20T00:00:00")),
        TLS.table: make.network(rng, at("2026-11-20T00:00:00")),
    }
