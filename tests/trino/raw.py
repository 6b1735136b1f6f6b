"""The raw logs as in Athena: AWS's own DDL, translated for Trino's Hive connector, over a bucket of an emulator."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import botocore.session

import server

# "Querying Application Load Balancer logs", "Querying Classic Load Balancer logs", "Create the table for ALB connection logs" and
# "Query Network Load Balancer logs" in the Athena user guide.
ALB_COLUMNS = """
type string, time string, elb string, client_ip string, client_port int, target_ip string, target_port int,
request_processing_time double, target_processing_time double, response_processing_time double, elb_status_code int,
target_status_code string, received_bytes bigint, sent_bytes bigint, request_verb string, request_url string,
request_proto string, user_agent string, ssl_cipher string, ssl_protocol string, target_group_arn string, trace_id string,
domain_name string, chosen_cert_arn string, matched_rule_priority string, request_creation_time string,
actions_executed string, redirect_url string, lambda_error_reason string, target_port_list string,
target_status_code_list string, classification string, classification_reason string, conn_trace_id string
"""
ALB_REGEX = (
    r'([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) (-|[-0-9]*)'
    r' ([-0-9]*) ([-0-9]*) "([^ ]*) (.*) (- |[^ ]*)" "([^"]*)" ([A-Z0-9-_]+) ([A-Za-z0-9.-]*) ([^ ]*) "([^"]*)" "([^"]*)"'
    r' "([^"]*)" ([-.0-9]*) ([^ ]*) "([^"]*)" "([^"]*)" "([^ ]*)" "([^\s]+?)" "([^\s]+)" "([^ ]*)" "([^ ]*)" ?([^ ]*)?( .*)?'
)
ELB_COLUMNS = """
timestamp string, elb_name string, request_ip string, request_port int, backend_ip string, backend_port int,
request_processing_time double, backend_processing_time double, client_response_time double, elb_response_code string,
backend_response_code string, received_bytes bigint, sent_bytes bigint, request_verb string, url string, protocol string,
user_agent string, ssl_cipher string, ssl_protocol string
"""
ELB_REGEX = (
    r'([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) (-|[-0-9]*) ([-0-9]*)'
    r' ([-0-9]*) \"([^ ]*) ([^ ]*) (- |[^ ]*)\" (\"[^\"]*\") ([A-Z0-9-]+) ([A-Za-z0-9.-]*)$'
)
CONNECTION_COLUMNS = """
time string, client_ip string, client_port int, listener_port int, tls_protocol string, tls_cipher string,
tls_handshake_latency double, leaf_client_cert_subject string, leaf_client_cert_validity string,
leaf_client_cert_serial_number string, tls_verify_status string, conn_trace_id string
"""
CONNECTION_REGEX = (
    r'([^ ]*) ([^ ]*) ([0-9]*) ([0-9]*) ([A-Za-z0-9.-]*) ([^ ]*) ([-.0-9]*) \"([^\"]*)\" ([^ ]*) ([^ ]*) ([^ ]*) ?([^ ]*)?( .*)?'
)
NLB_COLUMNS = """
type string, version string, time string, elb string, listener_id string, client_ip string, client_port int, target_ip string,
target_port int, tcp_connection_time_ms double, tls_handshake_time_ms double, received_bytes bigint, sent_bytes bigint,
incoming_tls_alert int, cert_arn string, certificate_serial string, tls_cipher_suite string, tls_protocol_version string,
tls_named_group string, domain_name string, alpn_fe_protocol string, alpn_be_protocol string,
alpn_client_preference_list string, tls_connection_creation_time string
"""
NLB_REGEX = (
    r'([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*):([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-0-9]*) ([-0-9]*)'
    r' ([-0-9]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ?([^ ]*)?( .*)?'
)
# AWS has no DDL for health check logs. This is in the manner of the others, with the fields of the guide for Application Load
# Balancers; AWS's examples end after the eighth.
HEALTH_CHECK_COLUMNS = """
type string, time string, latency double, target_addr string, target_group_id string, status string, status_code string,
reason_code string, elb string, ip_address string
"""
HEALTH_CHECK_REGEX = (
    r'([^ ]*) ([^ ]*) ([-.0-9]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ?([^ ]*)? ?([^ ]*)?( .*)?'
)
TABLES = {
    "alb_access_logs": (ALB_COLUMNS, ALB_REGEX),
    "elb_logs": (ELB_COLUMNS, ELB_REGEX),
    "alb_connection_logs": (CONNECTION_COLUMNS, CONNECTION_REGEX),
    "alb_health_check_logs": (HEALTH_CHECK_COLUMNS, HEALTH_CHECK_REGEX),
    "nlb_tls_logs": (NLB_COLUMNS, NLB_REGEX),
}
BUCKET = "logs"


def create_table(table, location, name=None):
    """Replaces Hive's type names `string` and `int`. The table has its own name, or another."""
    columns, regex = TABLES[table]
    columns = [column.split() for column in columns.replace("\n", " ").split(",")]
    typed = ", ".join(f'"{name}" {TYPES.get(type_, type_)}' for name, type_ in columns)
    quoted = regex.replace("'", "''")
    return f"CREATE TABLE {name or table} ({typed}) WITH (format = 'REGEX', regex = '{quoted}', external_location = '{location}')"


def create_named(name, types, file_format, location):
    """A table whose files have names for their columns."""
    columns = ", ".join(f'"{column}" {type_}' for column, type_ in types.items())
    return f"CREATE TABLE {name} ({columns}) WITH (format = '{file_format}', external_location = '{location}')"


def columns_of(table):
    """The names of a log table's columns in AWS's DDL."""
    columns, _ = TABLES[table]
    return [column.split()[0] for column in columns.replace("\n", " ").split(",")]


def create_lookup(table, columns):
    """As with Athena's OpenCSVSerDe: every column is a varchar."""
    typed = ", ".join(f'"{name}" varchar' for name in columns)
    location = f"s3://{BUCKET}/lookups/{table}/"
    return f"CREATE TABLE {table} ({typed}) WITH (format = 'CSV', skip_header_line_count = 1, external_location = '{location}')"


TYPES = {"string": "varchar", "int": "integer"}


class Bucket:
    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.client = botocore.session.get_session().create_client(
            "s3", region_name="us-east-1", endpoint_url=self.endpoint, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def put(self, key, content):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_folder(self, folder, prefix):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def environment(self):
        """Environment variables that make a program use this server as S3."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def file_system(self):
        """Trino's own S3 client, with a metastore in the bucket too."""
        return {
            "hive.metastore": "file",
            "hive.metastore.catalog.dir": f"s3://{BUCKET}/metastore",
            "hive.metastore.disable-location-checks": "true",
            "fs.hadoop.enabled": "false",
            "fs.native-s3.enabled": "true",
            "s3.endpoint": self.endpoint,
            "s3.region": "us-east-1",
            "s3.path-style-access": "true",
            "s3.aws-access-key": "test",
            "s3.aws-secret-key": "test",
        }

    def catalog(self):
        return {"connector.name": "hive", "hive.recursive-directories": "true", **self.file_system()}


@contextmanager
def bucket():
    """Runs ministack for the duration of the context."""
    port = server.free_port()
    with tempfile.TemporaryDirectory(prefix="logmill-s3-") as folder:
        environment = {
            "PATH": os.environ["PATH"], "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING",
            "TMPDIR": folder, "S3_PERSIST": "0", "PERSIST_STATE": "0", "AUTH": "false",
        }
        program = "import sys; from ministack.app import main; sys.argv = sys.argv[:1]; main()"
        with open(Path(folder, "log"), "w") as log:
            process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            made = Bucket(port)
            for _ in range(100):
                try:
                    made.client.create_bucket(Bucket=BUCKET)
                    break
                except Exception as error:
                    last = error
                    time.sleep(0.2)
            else:
                raise SystemExit(f"ministack can't be started: {last}\n{Path(folder, 'log').read_text()}")
            yield made
        finally:
            process.terminate()
            process.wait()
