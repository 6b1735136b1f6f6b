"""Shared by the peers: the columns of a log line, and the command line `python PEER.py [VARIANT] DATA OUT`."""

import os
import sys

# A line of 30 fields. The peers need every file to have exactly these; logmill doesn't.
COLUMNS = """
    type time elb client target request_processing_time target_processing_time response_processing_time
    elb_status_code target_status_code received_bytes sent_bytes request user_agent ssl_cipher ssl_protocol
    target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time
    actions_executed redirect_url error_reason target_port_list target_status_code_list classification
    classification_reason conn_trace_id
""".split()
NUMBERS = {"elb_status_code", "sent_bytes"}  # all others stay text: converting unused columns would cost time

THREADS = os.cpu_count()


def arguments(*variants):
    """The variant, if there are several, the folder of `.gz` files, and the Parquet file to write."""
    given = sys.argv[1:]
    if len(given) != 2 + bool(variants) or (variants and given[0] not in variants):
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} {'|'.join(variants)} DATA OUT".replace("  ", " "))
    return given
