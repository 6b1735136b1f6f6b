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

# "Querying Application Load Balancer logs" and "Querying Classic Load Balancer logs" in the Athena user guide.
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
TABLES = {"alb_access_logs": (ALB_COLUMNS, ALB_REGEX), "elb_logs": (ELB_COLUMNS, ELB_REGEX)}
BUCKET = "logs"


def create_table(table, location):
    """Replaces Hive's type names `string` and `int`."""
    columns, regex = TABLES[table]
    columns = [column.split() for column in columns.replace("\n", " ").split(",")]
    typed = ", ".join(f'"{name}" {TYPES.get(type_, type_)}' for name, type_ in columns)
    quoted = regex.replace("'", "''")
    return f"CREATE TABLE {table} ({typed}) WITH (format = 'REGEX', regex = '{quoted}', external_location = '{location}')"


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
