"""Builds a path for notifications from a bucket to workers, in AWS or an emulator, and reports what is left on it.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 … python3 tests/pipeline.py build s3 lambda sqs --bootstrap FILE
    AWS_ENDPOINT_URL=http://127.0.0.1:4566 … python3 tests/pipeline.py look

A path begins at the bucket, and each station notifies the next: `s3 sqs`, `s3 sns sqs`, `s3 sns-raw sqs` (SNS without its
envelope), `s3 eventbridge sqs`, and `lambda` before the last. A path that ends with `lambda` continues over HTTP. Both
commands print JSON. There are no resource policies: the emulator does not require them.
"""

import argparse
import io
import json
import os
import zipfile

import botocore.exceptions
import botocore.session

BUCKET = "logs"
QUEUE = "log-files"
DEAD_LETTERS = "dead-letters"
FUNCTION = "lambda-dispatch"
FUNCTION_FAILURES = "lambda-dispatch-failures"

# Number of deliveries before a message becomes a dead letter.
RECEIVES_MAX = 3

SESSION = botocore.session.get_session()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    build_command = commands.add_parser("build")
    build_command.add_argument("way", nargs="+", choices=["s3", *STATIONS])
    build_command.add_argument("--bootstrap", help="the function's program")
    build_command.add_argument("--dispatch-url", help="the worker that the function tells, if no queue follows it")
    build_command.add_argument("--dispatch-token")
    build_command.set_defaults(run=build)
    commands.add_parser("look").set_defaults(run=look)
    arguments = parser.parse_args()
    print(json.dumps(arguments.run(arguments)))


def client(service):
    # botocore uses another name than the other SDKs.
    return SESSION.create_client(service, region_name=os.environ["AWS_REGION"])


def build(arguments):
    """Builds from the end to the beginning, because each station must know the next. Returns the queue's URL, if any."""
    first, *stations = arguments.way
    assert first == "s3", "a way begins at the bucket"
    following = None
    for station in reversed(stations):
        following = station, STATIONS[station](following, arguments)
    notify(*following)
    return {"queue_url": queue_url(QUEUE)}


def queue(following, arguments):
    assert following is None, "a queue is the end"
    redrive = {"deadLetterTargetArn": make_queue(DEAD_LETTERS), "maxReceiveCount": RECEIVES_MAX}
    return make_queue(QUEUE, RedrivePolicy=json.dumps(redrive))


def make_queue(name, **attributes):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def queue_url(name):
    sqs = client("sqs")
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return None


def function(following, arguments):
    if following is None:
        variables = {"DISPATCH_URL": arguments.dispatch_url, "DISPATCH_TOKEN": arguments.dispatch_token}
    else:
        variables = {"QUEUE_URL": queue_url(QUEUE)}
    # The function needs the emulator's endpoint; on AWS it needs none.
    variables["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]

    # Through a bucket, because a program with debug information may exceed the size limit of a request.
    code = {"S3Bucket": "code", "S3Key": "lambda-dispatch.zip"}
    s3 = client("s3")
    s3.create_bucket(Bucket=code["S3Bucket"])
    s3.put_object(Bucket=code["S3Bucket"], Key=code["S3Key"], Body=package(arguments.bootstrap))
    made = client("lambda").create_function(
        FunctionName=FUNCTION,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::000000000000:role/lambda-dispatch",
        Code=code,
        MemorySize=128,
        Timeout=30,
        Environment={"Variables": variables},
        DeadLetterConfig={"TargetArn": make_queue(FUNCTION_FAILURES)},
    )
    return made["FunctionArn"]


def package(bootstrap):
    """The function's program as a zip for Lambda. Not compressed, because it stays on this machine."""
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive, open(bootstrap, "rb") as program:
        archive.writestr(entry, program.read())
    return package.getvalue()


def topic(following, arguments, raw=False):
    sns = client("sns")
    arn = sns.create_topic(Name="new-log-files")["TopicArn"]
    protocol, endpoint = following
    attributes = {"RawMessageDelivery": "true"} if raw else {}
    sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint, Attributes=attributes)
    return arn


def raw_topic(following, arguments):
    return topic(following, arguments, raw=True)


def rule(following, arguments):
    events = client("events")
    pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [BUCKET]}}}
    events.put_rule(Name="new-log-files", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="new-log-files", Targets=[{"Id": "next", "Arn": following[1]}])


def notify(station, arn):
    """Enables the bucket's notifications. S3 then sends a test event to a queue or topic."""
    created = {"Events": ["s3:ObjectCreated:*"]}
    configuration = {
        "sqs": {"QueueConfigurations": [{"QueueArn": arn, **created}]},
        "sns": {"TopicConfigurations": [{"TopicArn": arn, **created}]},
        "sns-raw": {"TopicConfigurations": [{"TopicArn": arn, **created}]},
        "lambda": {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, **created}]},
        "eventbridge": {"EventBridgeConfiguration": {}},
    }
    client("s3").put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=configuration[station]
    )


STATIONS = {
    "sqs": queue,
    "lambda": function,
    "sns": topic,
    "sns-raw": raw_topic,
    "eventbridge": rule,
}


def look(arguments):
    """The number of messages in each queue, visible or not, and the function's log."""
    queues = {name: messages(name) for name in (QUEUE, DEAD_LETTERS, FUNCTION_FAILURES)}
    return {"messages": queues, "function": function_log()}


def messages(name):
    url = queue_url(name)
    if url is None:
        return 0
    counts = client("sqs").get_queue_attributes(
        QueueUrl=url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        ],
    )
    return sum(int(count) for count in counts["Attributes"].values())


def function_log():
    """The function's own log lines, each a JSON object, without Lambda's."""
    logs = client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{FUNCTION}")
        lines = [event["message"] for page in pages for event in page["events"]]
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return []  # it has not been invoked
    return [json.loads(line) for line in lines if line.startswith("{")]


if __name__ == "__main__":
    main()
