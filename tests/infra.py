"""Checks infra/, and what it has deployed to an emulator of AWS.

    python3 tests/infra.py permissions                      # compare the policies with the code's calls
    python3 tests/infra.py first-script                     # run an instance's first script, with stubs for what it calls
    python3 tests/infra.py alarms                           # check alarms for late and missing values
    python3 tests/infra.py dashboard                        # check that the dashboard shows what there is
    AWS_ENDPOINT_URL=… python3 tests/infra.py deliveries    # check that logs of CloudWatch Logs' deliveries are let through
    AWS_ENDPOINT_URL=… python3 tests/infra.py combinations  # create a change set for each
    AWS_ENDPOINT_URL=… python3 tests/infra.py deployed NAME # print the workers' command line, and the buckets
    AWS_ENDPOINT_URL=… python3 tests/infra.py tell NAME URL # let the function announce log files to this worker
"""

import argparse
import base64
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import botocore.exceptions
import botocore.session
from cfnlint.decode import decode

PROJECT = Path(__file__).resolve().parent.parent
INFRA = PROJECT / "infra"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("permissions").set_defaults(run=permissions)
    commands.add_parser("first-script").set_defaults(run=first_script)
    commands.add_parser("alarms").set_defaults(run=alarms)
    commands.add_parser("dashboard").set_defaults(run=dashboard)
    commands.add_parser("deliveries").set_defaults(run=deliveries)
    commands.add_parser("combinations").set_defaults(run=combinations)
    deployed_command = commands.add_parser("deployed")
    deployed_command.add_argument("name")
    deployed_command.set_defaults(run=deployed)
    tell_command = commands.add_parser("tell")
    tell_command.add_argument("name")
    tell_command.add_argument("url")
    tell_command.set_defaults(run=tell)
    arguments = parser.parse_args()
    print(json.dumps(arguments.run(arguments)))


def client(service):
    # By default, botocore sends some services' requests to another endpoint.
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    return botocore.session.get_session().create_client(service, os.environ["AWS_REGION"], endpoint_url=endpoint)


def template(name):
    parsed, problems = decode(str(INFRA / name))
    assert not problems, problems
    return parsed


# --- Permissions ---------------------------------------------------------------------------------------------------

# The permission for each SDK call. A call that is not listed fails the check: add it with its permission.
NEEDS = {
    "head_bucket": "s3:ListBucket",
    "list_objects_v2": "s3:ListBucket",
    "get_object": "s3:GetObject",
    "get_queue_attributes": "sqs:GetQueueAttributes",
    "receive_message": "sqs:ReceiveMessage",
    "delete_message_batch": "sqs:DeleteMessage",
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "send_message_batch": "sqs:SendMessage",
    "start_message_move_task": "sqs:StartMessageMoveTask",
    "list_message_move_tasks": "sqs:ListMessageMoveTasks",
}
# Calls of `logmill replay`, which uses the permissions of the person who runs it. Workers don't make them.
OF_REPLAY = {
    "send_message_batch",
    "start_message_move_task",
    "list_message_move_tasks",
}
# The permissions for the requests of object_store, which accesses the tables.
OF_TABLES = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
# The resources of the worker's statements.
PLACES = {
    "s3:ListBucket": ["arn:${AWS::Partition}:s3:::${LogBucket}", "arn:${AWS::Partition}:s3:::${TableBucket}"],
    "s3:GetObject": [
        "arn:${AWS::Partition}:s3:::${LogBucket}/${LogPrefix}*",
        "arn:${AWS::Partition}:s3:::${TableBucket}/rollups/*",
        "arn:${AWS::Partition}:s3:::${TableBucket}/tables/*",
    ],
}
TABLES_ONLY = ["arn:${AWS::Partition}:s3:::${TableBucket}/tables/*"]


def permissions(_):
    """Compares the policies with the calls in the code, in both directions."""
    worker = calls("worker/src") | calls("shared/src")
    assert OF_REPLAY <= worker, f"no longer called: {OF_REPLAY - worker}"
    expected = {NEEDS[call] for call in worker - OF_REPLAY} | OF_TABLES
    pipeline = template("pipeline.yaml")["Resources"]
    statements = pipeline["WorkerPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    allowed, by_choice = allowed_by(statements)
    assert set(allowed) == expected, f"allowed and not called, or called and not allowed: {set(allowed) ^ expected}"
    assert by_choice == {"kms:Decrypt"}, by_choice
    for action, places in allowed.items():
        wanted = PLACES.get(action, TABLES_ONLY)
        if action.startswith("s3:"):
            assert sorted(places) == sorted(wanted), f"{action} on {places}"
        else:
            # How many dead letters there are, and nothing else of them.
            queues = ["Queue", "DeadLetters"] if action == "sqs:GetQueueAttributes" else ["Queue"]
            assert places == [{"Fn::GetAtt": [queue, "Arn"]} for queue in queues], f"{action} on {places}"

    function = {NEEDS[call] for call in calls("lambda-dispatch/src")}
    statements = pipeline["FunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    allowed, by_choice = allowed_by(statements)
    lambdas_own = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert set(allowed) - lambdas_own == function, f"{set(allowed) - lambdas_own} and not {function}"
    assert all(action.startswith("ec2:") for action in by_choice), by_choice

    check_permissions_of_instances()
    check_secrets()
    check_permissions_to_deploy()
    wildcards = sorted(set(all_wildcards()))
    assert wildcards == NAMELESS, f"a wildcard more or less: {wildcards}"
    return {"worker": sorted(expected), "function": sorted(function), "on *": [action for _, action in wildcards]}


# Actions for which AWS has no resource.
NAMELESS = [
    ("pipeline.yaml", "ec2:AssignPrivateIpAddresses"),
    ("pipeline.yaml", "ec2:CreateNetworkInterface"),
    ("pipeline.yaml", "ec2:DeleteNetworkInterface"),
    ("pipeline.yaml", "ec2:DescribeNetworkInterfaces"),
    ("pipeline.yaml", "ec2:DescribeSubnets"),
    ("pipeline.yaml", "ec2:UnassignPrivateIpAddresses"),
    ("workers-ecs.yaml", "ecr:GetAuthorizationToken"),
]


# The permission for each call of an instance's first script.
OF_FIRST_SCRIPT = {
    "s3 cp": "s3:GetObject",
    "cloudformation signal-resource": "cloudformation:SignalResource",
    "secretsmanager get-secret-value": "secretsmanager:GetSecretValue",
}
OF_CLOUDWATCH_AGENT = {"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}


def check_permissions_of_instances():
    """Compares the permissions that an instance has in addition to a worker's with the calls of its first script."""
    statements = template("workers-ec2.yaml")["Resources"]["WorkerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    allowed, by_choice = allowed_by(statements)
    called = {OF_FIRST_SCRIPT[call] for call in re.findall(r"\baws ([a-z0-9]+ [a-z-]+)", rendered_first_script("arn:token"))}
    assert set(allowed) | by_choice == called | OF_CLOUDWATCH_AGENT, set(allowed) | by_choice
    assert by_choice == {"secretsmanager:GetSecretValue"}, by_choice
    assert allowed["s3:GetObject"] == ["arn:${AWS::Partition}:s3:::${TableBucket}/${Program}"]
    assert allowed["cloudformation:SignalResource"] == [{"Ref": "AWS::StackId"}]


# The variables of a worker that are secrets, each with the parameter that names the secret, and the condition under which there is one.
SECRETS = {"DISPATCH_TOKEN": ("TokenArn", "IsHttp"), "ALERT_WEBHOOK_URL": ("WebhookArn", "HasWebhook"), "ALERT_WEBHOOK_TOKEN": ("WebhookTokenArn", "HasWebhookToken")}


def check_secrets():
    """Whoever starts a worker may read exactly its secrets, and their values are in no template."""
    readable = [{"Fn::If": [condition, {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": {"Ref": parameter}}, {"Ref": "AWS::NoValue"}]}
                for parameter, condition in SECRETS.values()]
    for name, role in {"workers-ecs.yaml": "StartRole", "workers-ec2.yaml": "WorkerRole"}.items():
        statements = template(name)["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        found = [statement for statement in statements if "secretsmanager" in json.dumps(statement)]
        assert found == readable, f"{name}: {found}"
    [container] = template("workers-ecs.yaml")["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    given = [{"Fn::If": [condition, {"Name": variable, "ValueFrom": {"Ref": parameter}}, {"Ref": "AWS::NoValue"}]}
             for variable, (parameter, condition) in SECRETS.items()]
    assert container["Secrets"] == given, container["Secrets"]
    source = "".join(path.read_text() for path in sorted((PROJECT / "worker/src").rglob("*.rs")))
    assert [variable for variable in SECRETS if f'"{variable}"' not in source] == []


# IAM's prefixes of services, where they are not CloudFormation's names in lower case.
PREFIXES = {"ApplicationAutoScaling": "application-autoscaling", "ElasticLoadBalancingV2": "elasticloadbalancing"}


def check_permissions_to_deploy():
    """docs/deploying.md lists permissions to deploy for each service that a template uses."""
    text = (PROJECT / "docs/deploying.md").read_text()
    section = text[text.index("\n### Permissions to deploy\n") : text.index("\n### Permissions to query\n")]
    for path in sorted(INFRA.glob("*.yaml")):
        for resource in template(path.name).get("Resources", {}).values():
            service = resource["Type"].split("::")[1]
            prefix = PREFIXES.get(service, service.lower())
            assert f"`{prefix}:" in section, f"{path.name} needs permissions of {prefix} to be deployed; docs/deploying.md has none"


def calls(folder):
    """The SDK operations in the sources: `.operation()`, followed by its parameters or by sending it."""
    operation = re.compile(r"\.([a-z_0-9]+)\(\)\s*\.(?:bucket|queue_url|source_arn|task_handle|send|prefix)\(")
    through_name = re.compile(r"\.(list_objects_v2|list_message_move_tasks|[a-z]+_message[a-z_]*)\(\)")
    found = set()
    for path in (PROJECT / folder).rglob("*.rs"):
        text = re.sub(r"#\[cfg\(test\)\]\s*mod tests \{.*", "", path.read_text(), flags=re.DOTALL)
        found |= set(operation.findall(text)) | set(through_name.findall(text))
    found.discard("into_paginator")
    unknown = found - set(NEEDS)
    assert not unknown, f"{folder} calls {unknown}, which tests/infra.py does not know"
    return found


def allowed_by(statements):
    """Actions and resources of unconditional statements, and actions of statements that depend on a parameter."""
    always, by_choice = {}, set()
    for statement in statements:
        if "Fn::If" in statement:
            by_choice |= set(as_list(statement["Fn::If"][1]["Action"]))
            continue
        for action in as_list(statement["Action"]):
            assert "*" not in action, action
            places = [place.get("Fn::Sub", place) if isinstance(place, dict) else place for place in as_list(statement["Resource"])]
            always.setdefault(action, []).extend(places)
    return always, by_choice


def all_wildcards():
    """Statements of all templates that allow an action on `*`."""
    for path in sorted(INFRA.glob("*.yaml")):
        for statement in statements_in(template(path.name)):
            if statement.get("Effect") == "Allow" and "*" in as_list(statement.get("Resource", [])):
                yield from ((path.name, action) for action in as_list(statement["Action"]))


def statements_in(node):
    if isinstance(node, dict):
        if "Effect" in node:
            yield node
        for child in node.values():
            yield from statements_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from statements_in(child)


def as_list(value):
    return value if isinstance(value, list) else [value]


# --- The first script of an instance ---------------------------------------------------------------------------------

# Values of the script's variables.
RENDERED = {
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/mill-workers/1",
    "TableBucket": "tables",
    "Program": "code/logmill-1",
    "Rollups": "rollups/1",
    "LogBucket": "logs",
    "LogPrefix": "alb/",
    "QueueUrl": "https://q",
    "WorkerLog": "/logmill/w",
}


def rendered_first_script(token, webhook="", webhook_token=""):
    launch = template("workers-ec2.yaml")["Resources"]["Template"]["Properties"]["LaunchTemplateData"]
    text, own = launch["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert set(own) == {"TokenArn", "StatusPage"}, own
    values = RENDERED | {"TokenArn": token, "StatusPage": "token" if token else "open"}
    values |= {"WebhookArn": webhook, "WebhookTokenArn": webhook_token}
    return re.sub(r"\$\{([A-Za-z:]+)\}", lambda found: values[found[1]], text)


# Stands for each program that the script calls: records the call, fails as often as $FOLDER/failures says, and otherwise leaves
# what the script looks at afterwards.
STUB = r"""#!/bin/bash
call="${0##*/} $*"
echo "$call" >> "$FOLDER/calls"
while IFS=: read -r start times message; do
    if [[ $call = "$start"* ]] && [ "$(grep -cF "$start" "$FOLDER/calls")" -le "$times" ]; then
        echo "$message" >&2
        exit 1
    fi
done < "$FOLDER/failures"
case $call in
    "aws s3 cp "*) echo program > "${!#}" ;;
    "aws secretsmanager get-secret-value --secret-id "*) echo "value-of-$4" ;;
    "cloud-init query instance_id") echo i-1 ;;
    "install -d "*) mkdir -p "${!#}" ;;
    "install -m 600 "*) (umask 077 && : > "${!#}") ;;
    "systemctl is-enabled "*) grep -q '^systemctl enable ' "$FOLDER/calls" ;;
    "systemctl enable "*) echo '{"message":"worker failed; shutting down"}' > "$FOLDER/var/log/logmill/worker.log" ;;
esac
"""
STUBBED = ["aws", "cloud-init", "curl", "dnf", "install", "sleep", "systemctl", "useradd"]
AGENT = "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
FOREVER = 1000


class Started:
    """What an instance has done after its first script. `failures` are starts of calls, how often they fail, and with what text."""

    def __init__(self, failures=(), **secrets):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            stubs = [folder / "bin" / program for program in STUBBED] + [folder / AGENT]
            folders = ["usr/local/bin", "etc/systemd/system", "etc/logrotate.d", "var/log", "opt/aws/amazon-cloudwatch-agent/etc"]
            for path in [*(folder / each for each in folders), *(stub.parent for stub in stubs)]:
                path.mkdir(parents=True, exist_ok=True)
            for stub in stubs:
                stub.write_text(STUB)
                stub.chmod(0o755)
            (folder / "failures").write_text("".join(f"{start}:{times}:{text}\n" for start, times, text in failures))
            script = re.sub(r"(?<![\w.}])/(usr/local/bin|etc|var/log|opt)/", rf"{folder}/\1/", rendered_first_script(**{"token": ""} | secrets))
            environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "FOLDER": name}
            ended = subprocess.run(["bash"], input=script, text=True, capture_output=True, env=environment, timeout=600)
            self.succeeded = ended.returncode == 0
            self.printed = ended.stdout + ended.stderr
            self.calls = (folder / "calls").read_text().replace(f"{folder}/", "/").splitlines()
            environment = folder / "etc/logmill.env"
            self.environment = environment.read_text().splitlines() if environment.exists() else []
            assert not self.environment or environment.stat().st_mode & 0o777 == 0o600

    def count(self, start):
        return sum(call.startswith(start) for call in self.calls)

    def signals(self):
        found = [re.search(r"--unique-id (\S+) --status (\S+)", call) for call in self.calls if " signal-resource " in call]
        return [(signal[1], signal[2]) for signal in found]

    def order(self, *starts):
        """Fails unless the calls that start like this come in this order."""
        places = [next(place for place, call in enumerate(self.calls) if call.startswith(start)) for start in starts]
        assert places == sorted(places), self.calls


def first_script(_):
    """Runs the script that user data gives to a new instance, in a folder of its own."""
    shellcheck = Path(sys.executable).parent / "shellcheck"
    for token in ["", "arn:token"]:
        script = rendered_first_script(token)
        # EC2's limit for user data.
        assert len(script.encode()) < 16384
        subprocess.run([shellcheck, "--severity=warning", "-"], input=script, text=True, check=True)

    first = Started()
    assert first.succeeded, first.printed
    first.order("aws s3 cp", "useradd", "systemctl enable --now logmill", "dnf install", f"{Path(AGENT).name} ", "curl", "aws cloudformation")
    assert first.signals() == [("i-1", "SUCCESS")], first.calls
    assert first.environment == ["AWS_REGION=us-east-1"], first.environment
    assert first.count("sleep") == 0

    # What fails for a while is tried again.
    passing = [("aws s3 cp", 2, "no"), ("aws secretsmanager", 2, "no"), ("dnf", 1, "no"), ("curl", 3, ""), ("aws cloudformation", 3, "no")]
    later = Started(passing, token="arn:token")
    assert later.succeeded, later.printed
    assert later.environment == ["AWS_REGION=us-east-1", "DISPATCH_TOKEN=value-of-arn:token"], later.environment
    assert [call for call in later.calls if call.startswith("sleep")][:4] == ["sleep 2", "sleep 4"] * 2, later.calls
    assert (later.count("curl"), later.signals()) == (4, [("i-1", "SUCCESS")] * 4), later.calls

    with_webhook = Started(token="arn:token", webhook="arn:url", webhook_token="arn:bearer")
    secrets = ["DISPATCH_TOKEN=value-of-arn:token", "ALERT_WEBHOOK_URL=value-of-arn:url", "ALERT_WEBHOOK_TOKEN=value-of-arn:bearer"]
    assert with_webhook.environment == ["AWS_REGION=us-east-1", *secrets], with_webhook.environment
    # Without a secret that it should have, no worker runs: it would tell nobody of alerts.
    refused = Started([("aws secretsmanager", FOREVER, "AccessDenied")], webhook="arn:url")
    assert not refused.succeeded
    assert refused.count("systemctl enable") == 0, refused.calls

    # No program: the instance gives up, says why, and shuts down.
    without = Started([("aws s3 cp", FOREVER, "AccessDenied")])
    assert not without.succeeded
    assert (without.count("aws s3 cp"), without.count("systemctl enable")) == (7, 0), without.calls
    assert without.signals() == [("i-1", "FAILURE")], without.calls
    assert without.calls[-1] == "systemctl poweroff", without.calls
    assert "AccessDenied" in without.printed

    # A worker that does not start: it stays under systemd, and the last lines of its log are printed.
    unready = Started([("curl", FOREVER, "")])
    assert not unready.succeeded
    assert (unready.count("curl"), unready.signals()) == (60, [("i-1", "FAILURE")]), unready.calls
    assert unready.count("systemctl poweroff") == 0, unready.calls
    assert "worker failed; shutting down" in unready.printed, unready.printed

    # Started by scaling or for a Spot instance: nobody waits for the signal.
    refusal = "ValidationError: Stack arn:mill-workers is in UPDATE_COMPLETE state and cannot be signaled"
    scaled = Started([("aws cloudformation", FOREVER, refusal)])
    assert scaled.succeeded, scaled.printed
    assert len(scaled.signals()) == 1, scaled.calls

    # Even without an answer to the signal, the worker runs.
    unheard = Started([("aws cloudformation", FOREVER, "could not connect")])
    assert unheard.succeeded, unheard.printed
    assert len(unheard.signals()) == 7, unheard.calls
    return {"starts": 6}


# --- Alarms -----------------------------------------------------------------------------------------------------------


def alarms(_):
    """Checks what AWS's guides say about late and missing values, and that both kinds of workers scale by the same rules."""
    checked = 0
    for path in sorted(INFRA.glob("*.yaml")):
        for name, resource in template(path.name).get("Resources", {}).items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                math = " ".join(str(metric.get("Expression", "")) for metric in properties.get("Metrics", []))
                # An alarm must not depend on the last values alone, which FILL makes up if they come late:
                # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
                if "FILL(" in math:
                    assert 2 < properties["DatapointsToAlarm"] < properties["EvaluationPeriods"], name
                assert "TreatMissingData" in properties, name
                checked += 1
            elif resource["Type"] == "AWS::Logs::MetricFilter":
                # CloudWatch refuses both together: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
                for transformation in properties["MetricTransformations"]:
                    assert not {"Dimensions", "DefaultValue"} <= set(transformation), name
    ecs, ec2 = (template(f"workers-{kind}.yaml") for kind in ("ecs", "ec2"))
    assert ecs["Conditions"]["ReachesZero"] == ec2["Conditions"]["ReachesZero"]
    for name in ["WaitingForNobody", "Silence"]:
        of_ecs, of_ec2 = (without_workers(kind["Resources"][name]) for kind in (ecs, ec2))
        assert of_ecs == of_ec2, f"{name} differs: {of_ecs} and {of_ec2}"
    return {"alarms": checked}


def without_workers(alarm):
    """An alarm without the metric of the number of workers, which the two kinds of workers have from different services."""
    properties = dict(alarm["Properties"])
    properties["Metrics"] = [metric for metric in properties["Metrics"] if metric["Id"] not in ("workers", "unattended")]
    return alarm["Condition"], properties


# --- The dashboard ----------------------------------------------------------------------------------------------------

# Metrics that AWS makes, and their dimensions, from each service's guide.
AWS_METRICS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", ("QueueName",)): {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesSent",
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    ("AWS/Lambda", ("FunctionName",)): {"Invocations", "Errors", "Throttles", "Duration"},
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    ("AWS/ECS", ("ClusterName", "ServiceName")): {"CPUUtilization", "MemoryUtilization"},
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
    ("AWS/EC2", ("AutoScalingGroupName",)): {"CPUUtilization"},
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
    ("AWS/AutoScaling", ("AutoScalingGroupName",)): {"GroupInServiceInstances"},
}
WORKERS = {"ecs": {"Cluster": "cluster", "Service": "service"}, "ec2": {"Group": "group"}, "none": {}}


def dashboard(_):
    """Writes the dashboard as CloudFormation does, for each kind of deployment. It must show all alarms, all metrics that the template makes,
    and no metric that nobody makes."""
    parsed = template("alarms.yaml")
    resources = parsed["Resources"]
    made = set()
    for resource in resources.values():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            for transformation in resource["Properties"]["MetricTransformations"]:
                made.add((transformation["MetricName"], tuple(each["Key"] for each in transformation.get("Dimensions", []))))
    defaults = {name: parameter.get("Default", name) for name, parameter in parsed["Parameters"].items()}
    checked = 0
    for compute, function, comparisons in itertools.product(WORKERS, ["", "dispatch"], ["on", "off"]):
        values = defaults | WORKERS[compute] | {"FunctionName": function, "Comparisons": comparisons, "AWS::Region": "eu-west-1"}
        conditions = {name: holds(condition, values) for name, condition in parsed["Conditions"].items()}
        text = written(resources["Dashboard"]["Properties"]["DashboardBody"], values, conditions, resources)
        body = json.loads(text)
        check_places(body["widgets"])
        [shown] = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]
        alarms = {name for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
        alarms = {f"{name}.Arn" for name in alarms if conditions.get(resources[name].get("Condition"), True)}
        assert set(shown) == alarms and len(shown) == len(alarms), set(shown) ^ alarms
        own = set()
        for widget in body["widgets"]:
            if widget["type"] == "metric":
                own |= check_metrics(widget["properties"])
        assert own == made, f"made and not shown, or shown and not made: {own ^ made}"
        namespaces = {namespace for namespace in re.findall(r'"(AWS/\w+)"', text)}
        assert ("AWS/Lambda" in namespaces) == bool(function), namespaces
        assert ("AWS/ECS" in namespaces, "AWS/EC2" in namespaces) == (compute == "ecs", compute == "ec2"), namespaces
        checked += 1
    return {"dashboards": checked, "metrics": sorted(name for name, _ in made)}


def holds(condition, values):
    [(name, parts)] = condition.items()
    if name == "Fn::Not":
        return not holds(parts[0], values)
    assert name == "Fn::Equals", name
    one, other = (values[part["Ref"]] if isinstance(part, dict) else part for part in parts)
    return one == other


def written(text, values, conditions, resources):
    """A text with Fn::Sub and Fn::If, as CloudFormation writes it. An attribute of a resource is written as its name."""
    if isinstance(text, str):
        return text
    if "Fn::If" in text:
        condition, yes, no = text["Fn::If"]
        return written(yes if conditions[condition] else no, values, conditions, resources)
    if "Fn::Sub" not in text:
        return values[text["Ref"]]
    body, own = text["Fn::Sub"] if isinstance(text["Fn::Sub"], list) else (text["Fn::Sub"], {})
    own = {name: written(value, values, conditions, resources) for name, value in own.items()}

    def value(found):
        name = found[1]
        if name in own or name in values:
            return own.get(name, values.get(name))
        resource = resources[name.removesuffix(".Arn")]
        assert conditions.get(resource.get("Condition"), True), f"{name} does not exist in this deployment"
        return name

    return re.sub(r"\$\{([^}]+)\}", value, body)


def check_places(widgets):
    taken = set()
    for widget in widgets:
        columns = range(widget["x"], widget["x"] + widget["width"])
        place = set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))
        assert not place & taken and columns.stop <= 24, widget["properties"]["title"]
        taken |= place


def check_metrics(properties):
    """Checks that somebody makes the metrics of a widget. Returns those of the workers' log: name and dimensions."""
    assert properties["region"] == "eu-west-1", properties
    own, above = set(), []
    for row in properties["metrics"]:
        if isinstance(row[0], dict):
            name, table = re.match(r'SELECT SUM\((\w+)\) FROM "logmill/Name" GROUP BY "(\w+)" ORDER BY SUM\(\) DESC$', row[0]["expression"]).groups()
            own.add((name, (table,)))
            continue
        fields = [field for field in row if isinstance(field, str)]
        above = [above[place] if field == "." else field for place, field in enumerate(fields)]
        namespace, name, *dimensions = above
        if namespace == "logmill/Name":
            assert not dimensions, above
            own.add((name, ()))
        else:
            assert name in AWS_METRICS[namespace, tuple(dimensions[::2])], above
    return own


# --- Logs that CloudWatch Logs delivers -------------------------------------------------------------------------------

# From "Amazon S3 bucket resource policy" in
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-V2-S3.html
DELIVERY_CONDITIONS = {
    "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    "ArnLike": {
        "aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:delivery-source:*"},
    },
}


def deliveries(_):
    """Checks that nothing keeps delivered logs out, and runs the commands of docs/deploying.md.

    The emulator's CloudFormation lacks deliveries, so the collector's are only compared with what they must be."""
    statements = template("data.yaml")["Resources"]["LogBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    [delivers] = [each for each in statements if each["Principal"] == {"Service": "delivery.logs.amazonaws.com"}]
    assert (delivers["Effect"], delivers["Action"]) == ("Allow", "s3:PutObject"), delivers
    assert delivers["Resource"] == {"Fn::Sub": "${LogBucket.Arn}/*"}, delivers
    assert delivers["Condition"] == DELIVERY_CONDITIONS, delivers
    check_that_keys_may_end_in_any_way()
    check_the_collectors_delivery()
    return {"documented": documented_deliveries()}


def check_that_keys_may_end_in_any_way():
    """A filter by the ending of a key, such as `.log.gz`, would leave out Parquet files, and files with unknown names."""
    function = template("pipeline.yaml")["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    assert function["KEY_PREFIXES"] == {"Ref": "LogPrefix"}, function
    assert "KEY_SUFFIXES" not in function, function
    rules = re.findall(r'\\"Name\\": \\"(\w+)\\"', (INFRA / "deploy").read_text())
    assert rules == ["prefix"], f"infra/deploy filters notifications by {rules}"
    task = template("workers-ecs.yaml")["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]["Command"]
    assert task[task.index("--allow") + 1] == {"Fn::Sub": "s3://${LogBucket}/${LogPrefix}"}, task
    assert "--allow s3://logs/alb/ " in rendered_first_script("")


def check_the_collectors_delivery():
    """With a format, CloudWatch Logs delivers the collector's log, and the balancer does not write it."""
    collector = template("collector.yaml")
    formats = [each for each in collector["Parameters"]["LogFormat"]["AllowedValues"] if each]
    model = botocore.session.get_session().get_service_model("logs")
    assert set(formats) < set(model.shape_for("OutputFormat").enum), formats
    # infra/deploy names them too.
    assert f"in \"\" | {' | '.join(formats)})" in (INFRA / "deploy").read_text(), formats
    resources = collector["Resources"]
    attributes = resources["Balancer"]["Properties"]["LoadBalancerAttributes"]
    own = [each["Value"] for each in attributes if each.get("Key") == "access_logs.s3.enabled"]
    assert own == [{"Fn::If": ["IsDelivered", "false", "true"]}], own
    parts = {name: each["Properties"] for name, each in resources.items() if each["Type"].startswith("AWS::Logs::")}
    assert all(resources[name]["Condition"] == "IsDelivered" for name in parts), parts
    assert set(parts) == {"LogSource", "LogDestination", "LogDelivery"}, parts
    # A source can't change its balancer, nor a destination its format: so their names change with these.
    assert parts["LogSource"]["ResourceArn"] == {"Ref": "Balancer"}, parts
    assert parts["LogSource"]["LogType"] == "ALB_ACCESS_LOGS", parts
    assert "${Balancer.LoadBalancerName}" in parts["LogSource"]["Name"]["Fn::Sub"], parts
    assert parts["LogDestination"]["OutputFormat"] == {"Ref": "LogFormat"}, parts
    assert "${LogFormat}" in parts["LogDestination"]["Name"]["Fn::Sub"], parts
    # Below the pipeline's prefix, so that the files are announced.
    condition, with_prefix, without = parts["LogDestination"]["DestinationResourceArn"]["Fn::If"]
    folder = "AWSLogs/${AWS::AccountId}/elasticloadbalancing"
    assert condition == "HasPrefix", condition
    assert with_prefix["Fn::Sub"].endswith(f":s3:::${{LogBucket}}/${{LogPrefix}}/{folder}"), with_prefix
    assert without["Fn::Sub"].endswith(":s3:::${LogBucket}"), without


def documented_deliveries():
    """Runs the commands that create deliveries. Returns the settings of the deliveries for S3's keys."""
    text = (PROJECT / "docs/deploying.md").read_text()
    section = text[text.index("\n## Logs delivered through CloudWatch Logs\n") : text.index("\n## Events from a page: ")]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    first, beside = [block for block in blocks if "create-delivery" in block]
    balancer = client("elbv2").create_load_balancer(Name="shop", Subnets=["subnet-00000001", "subnet-00000002"])
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    script = first.replace("=ARN", f"={arn}").replace("=LOG_BUCKET", "=logs")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AWS_DEFAULT_REGION": os.environ["AWS_REGION"]}
    # A source has one delivery for each destination, and the second command stands for the first one's.
    again = 'aws logs delete-delivery --id "$(aws logs describe-deliveries --query "deliveries[0].id" --output text)"\n'
    made = []
    for commands in [script, f"{script}{again}{beside}"]:
        done = subprocess.run(["bash", "-euc", commands], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        logs = client("logs")
        [delivery] = logs.describe_deliveries()["deliveries"]
        assert (delivery["deliverySourceName"], delivery["deliveryDestinationType"]) == ("shop-access", "S3"), delivery
        made.append(delivery.get("s3DeliveryConfiguration", {}))
        logs.delete_delivery(id=delivery["id"])
    [source] = logs.describe_delivery_sources()["deliverySources"]
    assert (source["logType"], source["resourceArns"]) == ("ALB_ACCESS_LOGS", [arn]), source
    [destination] = logs.describe_delivery_destinations()["deliveryDestinations"]
    configuration = destination["deliveryDestinationConfiguration"]
    assert (destination["outputFormat"], configuration["destinationResourceArn"]) == ("json", "arn:aws:s3:::logs"), destination
    attributes = client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": "access_logs.s3.enabled", "Value": "false"} in attributes, attributes
    return made


# --- Combinations ---------------------------------------------------------------------------------------------------

NETWORK = {"Vpc": "vpc-00000001", "Subnets": "subnet-00000001,subnet-00000002"}
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:webhook-AbCdEf"
CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/1"


def combinations(_):
    """Creates a change set for each stack of each combination. Outputs of other stacks are invented: nothing checks them."""
    made = 0
    for dispatch, compute, logs in itertools.product(["direct", "sqs", "http"], ["ecs", "ec2"], ["", "existing"]):
        http = {"TargetGroup": "arn:tg", "IntakeGroup": "sg-00000002", "TokenArn": "arn:token"} if dispatch == "http" else {}
        stacks = {
            "data": {"ExistingLogBucket": logs},
            "pipeline": {"LogBucket": "logs", "TableBucket": "tables", "Dispatch": dispatch, "LogPrefix": logs and "alb/"}
            | ({"FunctionCode": "code/f.zip"} if dispatch != "direct" else {})
            | (
                {"WorkersUrl": "http://w", "FunctionSubnets": "subnet-00000001", "FunctionSecurityGroup": "sg-00000001"}
                if http
                else {}
            )
            | {key: value for key, value in http.items() if key == "TokenArn"},
            f"workers-{compute}": NETWORK
            | {"LogBucket": "logs", "TableBucket": "tables", "Rollups": "rollups/1", "QueueUrl": "https://q", "QueueName": "q", "Scaling": "off"}
            | {"WorkerPolicy": "arn:aws:iam::000000000000:policy/w", "WorkerLog": "/logmill/w", "Architecture": "x86_64"}
            | ({"Image": "i:1", "ImageRepository": "arn:r"} if compute == "ecs" else {"Program": "code/p", "Ami": AMI})
            | ({"WebhookArn": SECRET, "WebhookTokenArn": SECRET} if logs else {})
            | http,
            "alarms": {"Name": "mill", "QueueName": "q", "DeadLettersName": "d", "WorkerLog": "/logmill/w", "Comparisons": "off"}
            | ({"FunctionName": "f"} if dispatch != "direct" else {}),
            "collector": NETWORK | {"Certificate": CERTIFICATE, "LogBucket": "logs", "LogPrefix": logs and "alb"},
        }
        if http:
            kind = "instance" if compute == "ec2" else "ip"
            stacks["http"] = NETWORK | {"TargetType": kind, "EgressRules": "off"}
        for part, parameters in stacks.items():
            change_set(f"{part}-{dispatch}-{compute}-{logs or 'new'}", f"{part}.yaml", parameters)
            made += 1
    return {"change_sets": made}


AMI = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def change_set(stack, name, parameters):
    cloudformation = client("cloudformation")
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName="check",
        ChangeSetType="CREATE",
        TemplateBody=(INFRA / name).read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    waiter = cloudformation.get_waiter("change_set_create_complete")
    try:
        waiter.wait(StackName=stack, ChangeSetName="check", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    except botocore.exceptions.WaiterError as error:
        raise SystemExit(f"{stack}: {error.last_response.get('StatusReason')}") from error


# --- What is deployed ------------------------------------------------------------------------------------------------


def deployed(arguments):
    """Returns the workers' command line and the buckets. Configures the function for the emulator's endpoint."""
    name = arguments.name
    data, pipeline, workers = (outputs(f"{name}-{part}") for part in ("data", "pipeline", "workers"))
    command = of_task(workers) if "Service" in workers else of_instance(f"{name}-workers")
    # The emulator does not return the secrets of a task.
    [stack] = client("cloudformation").describe_stacks(StackName=f"{name}-workers")["Stacks"]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    set_function(pipeline["NotifiedArn"], AWS_ENDPOINT_URL=os.environ["AWS_ENDPOINT_URL"])
    notified = client("s3").get_bucket_notification_configuration(Bucket=data["LogBucket"])
    notified.pop("ResponseMetadata")
    return {
        "command": command,
        "log_bucket": data["LogBucket"],
        "table_bucket": data["TableBucket"],
        "queue_url": pipeline["QueueUrl"],
        "notifications": sorted(entry["Id"] for entries in notified.values() for entry in entries if isinstance(entry, dict)),
        "token": token(name),
        "secrets": {variable: parameters[parameter] for variable, (parameter, _) in SECRETS.items() if parameters.get(parameter)},
        "credentials": credentials(pipeline["WorkerPolicy"]),
    }


def outputs(stack):
    described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def of_task(workers):
    ecs = client("ecs")
    service = ecs.describe_services(cluster=workers["Cluster"], services=[workers["Service"]])["services"][0]
    # Fargate has no arm64 in use1-az3, which is a zone of the emulator's default VPC, as of that of AWS.
    subnets = service["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    zones = {subnet["AvailabilityZoneId"] for subnet in client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"]}
    assert len(zones) >= 2, zones
    assert "use1-az3" not in zones, zones
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    container = task["containerDefinitions"][0]
    assert container["readonlyRootFilesystem"] is True
    return container["command"]


def of_instance(stack_name):
    """The command line of the systemd unit that user data writes."""
    # The emulator's auto-scaling group does not return its launch template; the stack does.
    stack = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId="Template")
    versions = client("ec2").describe_launch_template_versions(
        LaunchTemplateId=stack["StackResourceDetail"]["PhysicalResourceId"], Versions=["$Latest"]
    )
    script = base64.b64decode(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    line = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", script, re.MULTILINE)[1].replace("\\\n", " ")
    program, *command = shlex.split(line)
    assert program == "/usr/local/bin/logmill", program
    return command


def tell(arguments):
    """Points the function to the worker, because the emulator's load balancer forwards nothing. Keeps the deployed token."""
    arn = outputs(f"{arguments.name}-pipeline")["NotifiedArn"]
    balancer = outputs(f"{arguments.name}-http")["WorkersUrl"]
    before = set_function(arn, DISPATCH_URL=arguments.url)
    assert before["DISPATCH_URL"] == balancer, before["DISPATCH_URL"]
    assert "QUEUE_URL" not in before


def set_function(arn, **changed):
    """Gives the function the emulator's endpoint, which it does not need on AWS. Returns its previous settings."""
    if ":function:" not in arn:
        return {}
    functions = client("lambda")
    before = functions.get_function_configuration(FunctionName=arn)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=arn, Environment={"Variables": before | changed})
    return before


def token(name):
    """The task's secret, as ECS would pass it to the worker."""
    secret = outputs(f"{name}-http").get("TokenArn") if has_stack(f"{name}-http") else None
    return secret and client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]


def has_stack(name):
    stacks = client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"])
    return any(stack["StackName"] == name for stack in stacks["StackSummaries"])


def credentials(policy):
    """Credentials with exactly a worker's permissions."""
    iam = client("iam")
    iam.create_user(UserName="worker")
    iam.attach_user_policy(UserName="worker", PolicyArn=policy)
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


if __name__ == "__main__":
    main()
