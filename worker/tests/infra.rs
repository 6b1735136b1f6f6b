//! `infra/`: its templates are checked, deployed in what stands for AWS by its own script and the real AWS CLI, and what
//! then runs counts log files.
//!
//! The emulator has no Application Auto Scaling and no alarms that compare metrics, so `--plain`; it starts no containers and instances, so the workers'
//! command line is taken from the task or the instance's first script, and run here.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::function::BOOTSTRAP;
use crate::support::made_logs::MadeLogs;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::python::PYTHON;
use crate::support::worker::Worker;
use crate::support::{Workplace, fail, gzip, logmill, project, query_command, rows, succeed};
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;

const LOG_FILES: u32 = 4;

/// Where AWS puts the log files of that day.
const FOLDER: &str = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/20";

/// How long it may take to be counted on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where the programs of the Python environment are, of which the AWS CLI is one.
fn bin() -> PathBuf {
    PYTHON.parent().unwrap().to_owned()
}

/// The AWS CLI, and this logmill, before the user's programs.
fn search_path() -> String {
    let logmill = Path::new(env!("CARGO_BIN_EXE_logmill")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{}:{path}", bin().display(), logmill.display())
}

fn infra(folder: &Path, script: &str, endpoint: &str) -> Command {
    let mut command = Command::new(folder.join(script));
    command.env("PATH", search_path());
    // Nothing of the user's.
    command.env("AWS_CONFIG_FILE", "/dev/null");
    command.env_remove("AWS_DEFAULT_REGION");
    at_endpoint(&mut command, endpoint);
    command
}

/// `tests/infra.py`. Returns what it prints.
fn judge(args: &[&str], endpoint: &str) -> Value {
    let mut command = Command::new(&*PYTHON);
    command.arg(project().join("tests/infra.py")).args(args);
    serde_json::from_str(&succeed(at_endpoint(&mut command, endpoint))).unwrap()
}

/// The function as `deploy` is given it.
fn function_zip(place: &Workplace) -> String {
    let zip = place.path("function.zip");
    let mut package = Command::new(project().join("infra/package-lambda"));
    succeed(package.arg(&zip).env("LOGMILL_FUNCTION", &*BOOTSTRAP));
    zip
}

/// A small program that looks as if it were built for an architecture, and for a glibc 2.x. It is not started.
fn program(place: &Workplace, architecture: &str, glibc: u8) -> String {
    let (source, path) = (place.path("main.c"), place.path("program"));
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    succeed(Command::new("cc").args(["-o", &path, &source]));
    let mut bytes = fs::read(&path).unwrap();
    // The machine, in the header of an ELF file.
    bytes[18..20].copy_from_slice(match architecture {
        "x86_64" => &[0x3e, 0],
        _ => &[0xb7, 0],
    });
    // Since glibc 2.34, programs need this version of the function that calls main().
    let at = find(&bytes, b"GLIBC_2.34\0").expect("this system's glibc is older than 2.34");
    bytes[at + 8..at + 10].copy_from_slice(glibc.to_string().as_bytes());
    fs::write(&path, bytes).unwrap();
    path
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// What `tests/infra.py deployed` finds.
#[derive(Debug, Deserialize)]
struct Deployed {
    /// The workers' arguments.
    command: Vec<String>,
    log_bucket: String,
    table_bucket: String,
    /// The Ids of the log bucket's notifications.
    notifications: Vec<String>,
    /// What workers want to see over HTTP, if they are told so.
    token: Option<String>,
    /// The ARNs of secrets that the stack of workers was given, by the variables that they become.
    secrets: HashMap<String, String>,
    credentials: Credentials,
}

/// Of somebody who may do what workers may.
#[derive(Debug, Deserialize)]
struct Credentials {
    id: String,
    secret: String,
}

impl Deployed {
    fn find(name: &str, endpoint: &str) -> Self {
        serde_json::from_value(judge(&["deployed", name], endpoint)).unwrap()
    }

    fn tables(&self) -> String {
        format!("s3://{}/tables", self.table_bucket)
    }

    /// Starts a worker as it is deployed, but for the port, which may be taken here, and how long we want to wait.
    fn start_worker(&self, endpoint: &str) -> Worker {
        let args = self.command.iter().map(|arg| match arg.as_str() {
            "0.0.0.0:8080" => "127.0.0.1:0",
            arg => arg,
        });
        let mut command = logmill(args);
        at_endpoint(&mut command, endpoint).args(["--commit-interval", "2"]);
        command.envs(self.token.iter().map(|token| ("DISPATCH_TOKEN", token)));
        Worker::start(self.as_worker(&mut command))
    }

    fn as_worker<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("AWS_ACCESS_KEY_ID", &self.credentials.id);
        command.env("AWS_SECRET_ACCESS_KEY", &self.credentials.secret)
    }
}

fn put(s3: &Ministack, bucket: &str, key: &str, bytes: Vec<u8>) {
    let key = Key::parse(key).unwrap();
    let bucket = s3.bucket(bucket);
    let put = bucket.put(&key, bytes.into());
    Runtime::new().unwrap().block_on(put).unwrap();
}

/// Puts log files where they are announced from. Fails unless a worker counts them exactly.
fn counts_log_files(s3: &Ministack, deployed: &Deployed, prefix: &str, logs: &MadeLogs) {
    let endpoint = s3.endpoint();
    let worker = deployed.start_worker(&endpoint);
    if deployed.token.is_some() {
        judge(&["tell", "mill", &worker.url()], &endpoint);
    }
    for (name, text) in &logs.files {
        let key = format!("{prefix}{FOLDER}/{name}.gz");
        put(s3, &deployed.log_bucket, &key, gzip(text));
    }
    let tables = deployed.tables();
    let begin = Instant::now();
    let counted = loop {
        // Both tables are committed by themselves, so this counts how many log files both have.
        let sql = "SELECT min(n) FROM (SELECT count(*) FILTER (WHERE \"table\" = 'every_row') AS n FROM log_files \
                   UNION ALL SELECT count(*) FILTER (WHERE \"table\" = 'by_minute') FROM log_files)";
        let output = at_endpoint(&mut query_command(&tables, sql), &endpoint).output();
        let printed = String::from_utf8(output.unwrap().stdout).unwrap();
        let counted: u32 = printed.lines().nth(1).unwrap_or("0").parse().unwrap();
        if counted >= LOG_FILES || begin.elapsed() > PATIENCE {
            break counted;
        }
        thread::sleep(Duration::from_millis(200));
    };
    println!("{:.1?} from the bucket to the tables", begin.elapsed());
    let said = worker.end().join("\n");
    assert_eq!(counted, LOG_FILES, "{said}");
    logs.check(|sql| rows(at_endpoint(&mut query_command(&tables, sql), &endpoint)));
}

#[test]
fn templates_are_clean() {
    let templates = fs::read_dir(project().join("infra")).unwrap();
    let templates = templates.map(|entry| entry.unwrap().path());
    let templates = templates.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let templates: Vec<PathBuf> = templates
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    assert!(templates.len() >= 7, "{templates:?}");
    succeed(Command::new(bin().join("cfn-lint")).args(&templates));
}

#[test]
fn the_dockerfile_is_clean() {
    let dockerfile = project().join("infra/Dockerfile");
    succeed(Command::new(bin().join("hadolint")).arg(dockerfile));
}

/// A stage of the workers' architecture can't run commands on a machine of another one without QEMU.
#[test]
fn only_stages_of_the_builders_own_architecture_run_commands() {
    let dockerfile = fs::read_to_string(project().join("infra/Dockerfile")).unwrap();
    let stages: Vec<&str> = dockerfile.split("\nFROM ").skip(1).collect();
    assert_eq!(stages.len(), 4, "{stages:?}");
    let runs = |stage: &&str| stage.contains("\nRUN ");
    for stage in stages.iter().filter(|stage| runs(stage)) {
        assert!(stage.starts_with("--platform=$BUILDPLATFORM "), "{stage}");
    }
}

#[test]
fn scripts_are_clean() {
    let mut scripts = vec![project().join("infra/lib.sh"), project().join("demo")];
    for folder in [".ci", "infra", "release", "worker/fuzz"] {
        for file in fs::read_dir(project().join(folder)).unwrap() {
            let file = file.unwrap().path();
            let is_script = |text: Vec<u8>| {
                let first = text.split(|byte| *byte == b'\n').next().unwrap();
                first.starts_with(b"#!") && first.ends_with(b"bash")
            };
            if file.is_file() && is_script(fs::read(&file).unwrap()) {
                scripts.push(file);
            }
        }
    }
    assert!(scripts.len() >= 17, "{scripts:?}");
    succeed(Command::new(bin().join("shellcheck")).args(&scripts));
}

/// The build context has all files that cargo reads to build the program, and all that the Dockerfile copies.
#[test]
fn the_image_is_built_from_files_that_its_context_has() {
    let infra = project().join("infra");
    let ignore = fs::read_to_string(infra.join("Dockerfile.dockerignore")).unwrap();
    let context: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let has = |file: &Path| context.iter().any(|path| file.starts_with(path));
    for path in &context {
        assert!(project().join(path).exists(), "there is no {path}");
    }

    // Beside a library, rustc writes the names of the files that it was built from. Those of the project are relative.
    let deps = Path::new(env!("CARGO_BIN_EXE_logmill")).with_file_name("deps");
    let of_library = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        let mut rules = text.lines().filter_map(|rule| rule.split_once(".rlib: "));
        let (_, names) = rules.find(|(built, _)| built.contains("/liblogmill-"))?;
        Some((
            entry.metadata().unwrap().modified().unwrap(),
            names.to_owned(),
        ))
    };
    let entries = fs::read_dir(&deps).unwrap().map(Result::unwrap);
    let listed = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "d"));
    let (_, names) = listed.filter_map(of_library).max().unwrap();
    let names = names.split_whitespace().map(Path::new);
    let ours: Vec<&Path> = names.filter(|name| name.is_relative()).collect();
    assert!(ours.len() > 100, "{ours:?}");
    let missing: Vec<&&Path> = ours.iter().filter(|file| !has(file)).collect();
    assert!(missing.is_empty(), "not in the context: {missing:?}");

    let dockerfile = fs::read_to_string(infra.join("Dockerfile")).unwrap();
    let copies = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "));
    for copy in copies.filter(|copy| !copy.contains("--from=")) {
        let words = copy.split(' ').filter(|word| !word.starts_with("--"));
        let source = words.into_iter().next().unwrap();
        assert!(source == "." || has(Path::new(source)), "{copy}");
    }
}

/// `tests/prove.py`. Fails unless all of its checks pass.
fn judge_prove(args: &[&str], endpoint: &str) {
    let mut command = Command::new(&*PYTHON);
    command.arg(project().join("tests/prove.py")).args(args);
    command.env("PATH", search_path());
    command.env("AWS_CONFIG_FILE", "/dev/null");
    println!("{}", succeed(at_endpoint(&mut command, endpoint)));
}

#[test]
fn prove_compares_rows_and_has_each_documented_query() {
    judge_prove(&["rows"], "http://127.0.0.1:9");
    judge_prove(&["documented"], "http://127.0.0.1:9");
}

#[test]
fn a_dry_run_of_prove_prints_each_step_and_needs_no_credentials() {
    let place = Workplace::new();
    let mut prove = Command::new(project().join("infra/prove"));
    prove.args([
        "--dry-run",
        "--name",
        "mill",
        "--image",
        "example.com/logmill:1",
    ]);
    prove
        .env("PATH", search_path())
        .env("AWS_CONFIG_FILE", "/dev/null");
    prove.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        prove.env_remove(variable);
    }
    let printed = succeed(prove.current_dir(place.folder.path()));
    for step in [
        "/deploy --name mill ",
        "ecs stop-task ",
        "logmill replay --missing ",
        "curl --silent --cacert ",
        "athena start-query-execution ",
        "/tables --name mill",
        "/destroy --name mill --with-data --yes",
        "acm delete-certificate ",
    ] {
        assert!(printed.contains(step), "{step}: {printed}");
    }
    assert!(!printed.contains("\nFAIL "), "{printed}");
    assert!(!place.folder.path().join("mill.md").exists(), "a report");
}

#[test]
fn prove_counts_against_the_emulator_and_leaves_nothing() {
    let s3 = Ministack::start(&[]);
    let place = Workplace::new();
    let folder = place.folder.path().to_str().unwrap();
    judge_prove(&["emulator", folder], &s3.endpoint());
}

#[test]
fn permissions_are_those_of_the_calls() {
    println!("{}", judge(&["permissions"], "http://127.0.0.1:9"));
}

#[test]
fn alarms_allow_for_late_and_missing_values() {
    println!("{}", judge(&["alarms"], "http://127.0.0.1:9"));
}

#[test]
fn logs_that_cloudwatch_logs_delivers_are_let_through() {
    let s3 = Ministack::start(&["logs"]);
    println!("{}", judge(&["deliveries"], &s3.endpoint()));
}

#[test]
fn an_instance_signals_success_only_when_its_worker_is_ready() {
    println!("{}", judge(&["first-script"], "http://127.0.0.1:9"));
}

#[test]
fn every_combination_makes_its_change_sets() {
    let s3 = Ministack::start(&[]);
    println!("{}", judge(&["combinations"], &s3.endpoint()));
}

#[test]
fn what_is_deployed_counts_log_files_with_no_more_permissions_than_it_has() {
    let s3 = Ministack::start_strict();
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    let folder = PathBuf::from(place.path("infra"));
    succeed(
        Command::new("cp")
            .arg("-r")
            .arg(project().join("infra"))
            .arg(&folder),
    );
    // The emulator has no TLS, without which all is denied to all; and it wants permissions for batches, which on AWS are
    // those for single messages.
    let batches = "[sqs:SendMessageBatch, sqs:SendMessage]";
    let changes = [
        (
            "aws:SecureTransport: \"false\"",
            "aws:SecureTransport: \"never\"",
        ),
        (
            "{Effect: Allow, Action: sqs:SendMessage,",
            &format!("{{Effect: Allow, Action: {batches},"),
        ),
        ("- sqs:DeleteMessage\n", "- sqs:DeleteMessage*\n"),
        (
            "- sqs:ChangeMessageVisibility\n",
            "- sqs:ChangeMessageVisibility*\n",
        ),
    ];
    for template in ["data.yaml", "pipeline.yaml"] {
        let mut text = fs::read_to_string(folder.join(template)).unwrap();
        for (ours, emulators) in changes {
            assert!(template == "data.yaml" || text.contains(ours), "{ours}");
            text = text.replace(ours, emulators);
        }
        fs::write(folder.join(template), text).unwrap();
    }

    let (zip, rollups) = (function_zip(&place), place.path("rollups"));
    let mut deploy = infra(&folder, "deploy", &endpoint);
    deploy.args([
        "--name",
        "mill",
        "--rollups",
        &rollups,
        "--function",
        &zip,
        "--plain",
    ]);
    let webhook = "arn:aws:secretsmanager:us-east-1:000000000000:secret:webhook-AbCdEf";
    println!(
        "{}",
        succeed(deploy.args(["--image", "example.com/logmill:1", "--webhook", webhook]))
    );
    let deployed = Deployed::find("mill", &endpoint);
    let secrets = [("ALERT_WEBHOOK_URL".to_owned(), webhook.to_owned())];
    assert_eq!(deployed.secrets, HashMap::from(secrets));
    assert_eq!(deployed.notifications, ["mill"]);
    counts_log_files(&s3, &deployed, "", &MadeLogs::new(LOG_FILES, 20));

    // It may read the programs' folder and write the logs as little as anybody.
    let programs = format!("s3://{}/code", deployed.table_bucket);
    let mut run = logmill([
        "run",
        &programs,
        "--rollups",
        &rollups,
        "--tables",
        &place.path("t"),
    ]);
    let said = fail(deployed.as_worker(at_endpoint(&mut run, &endpoint)), 3);
    assert!(said.contains("s3:GetObject"), "{said}");
    let (logs, elsewhere) = (
        place.path("logs"),
        format!("s3://{}/t", deployed.log_bucket),
    );
    let mut run = logmill(["run", &logs, "--rollups", &rollups, "--tables", &elsewhere]);
    fail(deployed.as_worker(at_endpoint(&mut run, &endpoint)), 1);

    // It goes, and what is data stays.
    let mut destroy = infra(&folder, "destroy", &endpoint);
    let kept = succeed(destroy.args(["--name", "mill", "--yes"]));
    println!("{kept}");
    for costs in [
        deployed.log_bucket.as_str(),
        deployed.table_bucket.as_str(),
        "ECR repository ",
    ] {
        assert!(kept.contains(costs), "{costs}: {kept}");
    }
    assert!(
        !kept.contains("ECR repository  "),
        "without its name: {kept}"
    );
    let files = rows(at_endpoint(
        &mut query_command(&deployed.tables(), "SELECT count(*) FROM every_row"),
        &endpoint,
    ));
    assert_eq!(files.len(), 1);
    fail(
        infra(&folder, "destroy", &endpoint).args(["--name", "nothing", "--yes"]),
        1,
    );
}

#[test]
fn an_existing_bucket_tells_the_queue_itself_and_others_as_before() {
    let s3 = Ministack::start(&["old-logs"]);
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    let aws = |args: &[&str]| {
        let mut command = infra(&bin(), "aws", &endpoint);
        succeed(command.args(args))
    };
    let others = r#"{"EventBridgeConfiguration": {}}"#;
    let notifications = [
        "--bucket",
        "old-logs",
        "--notification-configuration",
        others,
    ];
    aws(&[
        &["s3api", "put-bucket-notification-configuration"],
        &notifications[..],
    ]
    .concat());

    let (program, rollups) = (program(&place, "x86_64", 34), place.path("rollups"));
    let deploy = || {
        let mut deploy = infra(&project().join("infra"), "deploy", &endpoint);
        deploy.args(["--name", "mill", "--dispatch", "direct", "--compute", "ec2"]);
        deploy.args([
            "--logs",
            "old-logs/alb",
            "--rollups",
            &rollups,
            "--worker",
            &program,
        ]);
        // The emulator knows the machine image of this architecture only.
        succeed(deploy.args(["--architecture", "x86_64", "--plain"]))
    };
    let first = deploy();
    assert_eq!(deploy(), first, "deployed again, it is another");
    let deployed = Deployed::find("mill", &endpoint);
    assert_eq!(deployed.notifications, ["mill"]);
    counts_log_files(&s3, &deployed, "alb/", &MadeLogs::new(LOG_FILES, 20));

    succeed(
        infra(&project().join("infra"), "destroy", &endpoint).args(["--name", "mill", "--yes"]),
    );
    let left = aws(&[
        "s3api",
        "get-bucket-notification-configuration",
        "--bucket",
        "old-logs",
    ]);
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left, serde_json::from_str::<Value>(others).unwrap());
}

/// Stands for Docker: keeps its arguments, and pushes an image without layers; or, for a release, prints the digest of none.
const DOCKER: &str = r#"#!/usr/bin/env bash
set -euo pipefail
echo "$*" >> "$(dirname "$0")/docker.log"
if [ "$1" = login ]; then
    cat > /dev/null
    exit
fi
while [ $# -gt 0 ]; do
    case $1 in
        --tag) image=${2#*/} ;;
        --metadata-file) echo '{"containerimage.digest": "sha256:1234"}' > "$2"; exit ;;
    esac
    shift
done
aws ecr put-image --repository-name "${image%:*}" --image-tag "${image##*:}" --image-manifest '{}' > /dev/null
"#;

/// Puts `DOCKER` into a folder. Returns a search path that finds it first.
fn put_docker(place: &Workplace) -> String {
    fs::create_dir(place.path("docker")).unwrap();
    put_script(&place.path("docker/docker"), DOCKER);
    format!("{}:{}", place.path("docker"), search_path())
}

fn put_script(path: &str, text: &str) {
    fs::write(path, text).unwrap();
    succeed(Command::new("chmod").args(["+x", path]));
}

/// A template that can't be deployed, because there is no such log group.
const FAILING: &str = r#"{"Resources": {"Filter": {"Type": "AWS::Logs::MetricFilter", "Properties": {
    "LogGroupName": "nothing", "FilterPattern": "",
    "MetricTransformations": [{"MetricNamespace": "n", "MetricName": "m", "MetricValue": "1"}]}}}}"#;

/// The emulator's repository refuses a tag that it has, as that of AWS does.
#[test]
fn a_second_deployment_builds_nothing_and_rolls_out_new_rollups() {
    let s3 = Ministack::start(&[]);
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);

    // Sources that are not in git.
    fs::create_dir(place.path("project")).unwrap();
    for source in [
        "Cargo.toml",
        "Cargo.lock",
        "shared",
        "lambda-dispatch",
        "worker",
    ] {
        fs::write(place.path(&format!("project/{source}")), source).unwrap();
    }
    let folder = PathBuf::from(place.path("project/infra"));
    let ours = project().join("infra");
    succeed(Command::new("cp").arg("-r").arg(ours).arg(&folder));
    let path_with_docker = put_docker(&place);

    let rollups = place.path("rollups");
    let deploy = || {
        let mut deploy = infra(&folder, "deploy", &endpoint);
        deploy.env("PATH", &path_with_docker);
        deploy.args(["--name", "mill", "--plain"]);
        deploy.args(["--dispatch", "direct", "--rollups", &rollups]);
        deploy
    };
    let aws = |args: &[&str]| {
        let mut aws = infra(&bin(), "aws", &endpoint);
        succeed(aws.env("AWS_DEFAULT_REGION", "us-east-1").args(args))
    };

    // A wrong rollup stops all before anything is created.
    place.rollup("wrong", "SELECT time FROM no_such_log");
    let said = fail(&mut deploy(), 1);
    assert!(said.contains("wrong.sql can't be deployed"), "{said}");
    fs::remove_file(format!("{rollups}/wrong.sql")).unwrap();

    // The internet does not reach a collector in private subnets.
    let certificate = "arn:aws:acm:us-east-1:000000000000:certificate/1";
    let mut private = deploy();
    private.args(["--private", "--certificate", certificate]);
    let said = fail(&mut private, 1);
    assert!(said.contains("--collector-subnets"), "{said}");
    // CloudWatch Logs delivers only the collector's log, and a plain one would need a rule.
    let said = fail(deploy().args(["--vended", "json"]), 1);
    assert!(said.contains("--certificate"), "{said}");
    let mut collector = deploy();
    collector.args(["--certificate", certificate, "--vended", "plain"]);
    let said = fail(&mut collector, 1);
    assert!(said.contains("use json, w3c or parquet"), "{said}");

    // The URL of a webhook is a secret, so it is not printed either.
    let said = fail(
        deploy().args(["--webhook", "https://hooks.example.com/T0/B0"]),
        1,
    );
    assert!(
        said.contains("the ARN of a secret") && !said.contains("hooks.example.com"),
        "{said}"
    );

    // The first deployment finds what a failed one has left.
    let create = ["cloudformation", "create-stack", "--template-body", FAILING];
    aws(&[&create[..], &["--stack-name", "mill-pipeline"]].concat());
    let status = [
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        "mill-pipeline",
        "--output",
        "text",
        "--query",
        "Stacks[0].StackStatus",
    ];
    let begin = Instant::now();
    while aws(&status).trim() != "ROLLBACK_COMPLETE" {
        assert!(begin.elapsed() < PATIENCE, "{}", aws(&status));
        thread::sleep(Duration::from_millis(200));
    }
    let first = succeed(&mut deploy());
    assert!(!first.contains("replay --missing"), "{first}");
    assert_eq!(aws(&status).trim(), "CREATE_COMPLETE");
    let role = ["iam", "list-roles", "--output", "text"];
    let roles = aws(&[&role[..], &["--path-prefix", "/aws-service-role/ecs."]].concat());
    assert!(!roles.trim().is_empty(), "no role for ECS");

    // A rollup is added, and one is no longer in the folder: it stays deployed.
    place.rollup(
        "added",
        "SELECT time, c.region FROM alb_access_logs l JOIN countries c ON c.code = l.client_ip",
    );
    let countries = format!("{rollups}/countries.csv");
    fs::write(&countries, "code,region\nDE,Europe\n").unwrap();
    fs::remove_file(format!("{rollups}/every_row.sql")).unwrap();
    // What is said about files is deployed with the rollups.
    fs::write(format!("{rollups}/ignore.txt"), "*.orc\n").unwrap();
    let plain = format!("{rollups}/plain.txt");
    let rule = "plain/ alb_access_logs tab time elb_status_code\n";
    fs::write(&plain, rule).unwrap();
    let second = succeed(&mut deploy());
    assert!(second.contains("New tables: added."), "{second}");
    assert!(second.contains("logmill replay --missing"), "{second}");
    let set = |printed: &str| {
        let line = printed.lines().find(|line| line.starts_with("rollups "));
        line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_ne!(set(&first), set(&second));
    let deployed = Deployed::find("mill", &endpoint);
    assert!(deployed.command.contains(&set(&second)), "{deployed:?}");
    let files = aws(&["s3", "ls", &format!("{}/", set(&second))]);
    let names = files
        .lines()
        .map(|line| line.split_whitespace().last().unwrap());
    let names: Vec<&str> = names.collect();
    let all = [
        "added.sql",
        "by_minute.sql",
        "countries.csv",
        "every_row.sql",
        "ignore.txt",
        "plain.txt",
    ];
    assert_eq!(names, all);

    // So does its lookup.
    fs::remove_file(format!("{rollups}/added.sql")).unwrap();
    fs::remove_file(&countries).unwrap();
    let third = succeed(&mut deploy());
    assert_eq!(set(&third), set(&second));
    // A changed lookup is another set.
    fs::write(&countries, "code,region\nDE,EU\n").unwrap();
    let fourth = succeed(&mut deploy());
    assert_ne!(set(&fourth), set(&second));
    // So is another rule for plain logs.
    fs::write(&plain, rule.replace("tab", "comma")).unwrap();
    let fifth = succeed(&mut deploy());
    assert_ne!(set(&fifth), set(&fourth));

    let log = fs::read_to_string(place.path("docker/docker.log")).unwrap();
    let builds: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("buildx "))
        .collect();
    assert_eq!(builds.len(), 1, "{builds:?}");
    assert!(builds[0].contains(" --provenance=false "), "{builds:?}");
    assert!(builds[0].contains(" --push "), "{builds:?}");
}

/// On an instance, such a program would only fail to start.
#[test]
fn a_program_that_amazon_linux_cannot_run_is_refused_before_anything_is_created() {
    let s3 = Ministack::start(&[]);
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    let refused = |program: &str| {
        let mut deploy = infra(&project().join("infra"), "deploy", &endpoint);
        deploy.args(["--name", "mill", "--dispatch", "direct", "--compute", "ec2"]);
        deploy.args(["--plain", "--rollups", &place.path("rollups")]);
        deploy.args(["--worker", program, "--architecture", "x86_64"]);
        fail(&mut deploy, 1)
    };
    let said = refused(&program(&place, "x86_64", 39));
    assert!(
        said.contains("needs glibc 2.39, and Amazon Linux 2023 has 2.34"),
        "{said}"
    );
    let said = refused(&program(&place, "arm64", 34));
    assert!(said.contains("is built for arm64, not x86_64"), "{said}");
    let said = refused(&place.path("main.c"));
    assert!(said.contains("is not a Linux program"), "{said}");
    let mut stacks = infra(&bin(), "aws", &endpoint);
    stacks.env("AWS_DEFAULT_REGION", "us-east-1");
    stacks.args(["cloudformation", "list-stacks", "--output", "text"]);
    stacks.args(["--query", "StackSummaries[].StackName"]);
    assert_eq!(succeed(&mut stacks).trim(), "");
}

/// Stands for cargo with cargo-zigbuild: the program that it builds exists.
const CARGO: &str = "#!/usr/bin/env bash\n[ \"$1\" = zigbuild ]\n";

#[test]
fn a_function_that_lambda_cannot_run_is_not_packaged() {
    let place = Workplace::new();
    let own = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        architecture => architecture,
    };
    let built = format!("target/{}-unknown-linux-gnu/lambda", std::env::consts::ARCH);
    let built = place.path(&built);
    fs::create_dir_all(&built).unwrap();
    fs::create_dir(place.path("cargo")).unwrap();
    for name in ["cargo/cargo", "cargo/cargo-zigbuild"] {
        put_script(&place.path(name), CARGO);
    }
    let package = |glibc| {
        let program = program(&place, own, glibc);
        fs::copy(program, format!("{built}/lambda-dispatch")).unwrap();
        let mut package = Command::new(project().join("infra/package-lambda"));
        let path = std::env::var("PATH").unwrap();
        package.env("PATH", format!("{}:{path}", place.path("cargo")));
        package.env("CARGO_TARGET_DIR", place.path("target"));
        package.env_remove("LOGMILL_FUNCTION");
        package.arg(place.path("function.zip"));
        package
    };
    succeed(&mut package(34));
    let said = fail(&mut package(36), 1);
    assert!(said.contains("needs glibc 2.36"), "{said}");
}

#[test]
fn a_function_tells_workers_with_the_token_of_both() {
    let s3 = Ministack::start(&[]);
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    let (zip, rollups) = (function_zip(&place), place.path("rollups"));
    let mut deploy = infra(&project().join("infra"), "deploy", &endpoint);
    deploy.args([
        "--name",
        "mill",
        "--dispatch",
        "http",
        "--rollups",
        &rollups,
        "--plain",
    ]);
    deploy.args(["--function", &zip, "--image", "example.com/logmill:1"]);
    let certificate = "arn:aws:acm:us-east-1:000000000000:certificate/1";
    let printed = succeed(deploy.args(["--certificate", certificate]));
    assert!(printed.contains("collector     https://"), "{printed}");
    let deployed = Deployed::find("mill", &endpoint);
    assert!(deployed.token.is_some());
    counts_log_files(&s3, &deployed, "", &MadeLogs::new(LOG_FILES, 20));
}

/// A folder that is served over HTTP, until it is dropped.
struct Served {
    server: Child,
    url: String,
}

impl Served {
    fn start(folder: &str) -> Self {
        let mut command = Command::new(&*PYTHON);
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        command.args(["--directory", folder]).stderr(Stdio::null());
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let stdout = server.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut first).unwrap();
        // Serving HTTP on 127.0.0.1 port 12345 (http://127.0.0.1:12345/) ...
        let url = first.split(['(', ')']).nth(1).unwrap();
        let url = url.trim_end_matches('/').to_owned();
        Self { server, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

const ARCHITECTURES: [&str; 2] = ["arm64", "x86_64"];

/// Makes a release with its own scripts. Its program is a script that calls this logmill, and its image is `DOCKER`'s.
fn make_release(place: &Workplace, path_with_docker: &str) -> String {
    let dist = place.path(&format!("releases/v{VERSION}"));
    let script = |name: &str, args: &[&str]| {
        let mut command = Command::new(project().join(name));
        command.env("PATH", path_with_docker);
        command.env("LOGMILL_PROGRAM", place.path("program"));
        command.env("LOGMILL_FUNCTION", &*BOOTSTRAP);
        succeed(command.args(args))
    };
    let call = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_logmill")
    );
    put_script(&place.path("program"), &call);
    for target in [
        "aarch64-unknown-linux-gnu",
        "x86_64-unknown-linux-gnu",
        "aarch64-apple-darwin",
        "x86_64-apple-darwin",
    ] {
        script("release/package", &[target, &dist]);
    }
    for architecture in ARCHITECTURES {
        let zip = format!("{dist}/lambda-dispatch-{VERSION}-{architecture}.zip");
        script("infra/package-lambda", &[&zip, architecture]);
    }
    let image = script("release/image", &[&dist, "ghcr.io/somebody/logmill"]);
    assert_eq!(image.trim(), "ghcr.io/somebody/logmill@sha256:1234");
    let sums = script("release/checksums", &[&dist]);
    assert_eq!(sums.lines().count(), 7, "{sums}");
    dist
}

#[test]
fn a_release_is_deployed_without_building_anything() {
    let s3 = Ministack::start(&[]);
    let endpoint = s3.endpoint();
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    let path_with_docker = put_docker(&place);
    let dist = make_release(&place, &path_with_docker);
    let releases = Served::start(&place.path("releases"));
    let deploy = |version: &str| {
        let mut deploy = infra(&project().join("infra"), "deploy", &endpoint);
        deploy.env("PATH", &path_with_docker);
        deploy.env("LOGMILL_RELEASES", &releases.url);
        deploy.args(["--name", "mill", "--plain", "--release", version]);
        deploy.args(["--rollups", &place.path("rollups")]);
        deploy
    };
    let image = |stack: &str| {
        let mut aws = infra(&bin(), "aws", &endpoint);
        aws.args(["cloudformation", "describe-stacks", "--stack-name", stack]);
        aws.args(["--output", "text", "--query"]);
        aws.arg("Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue");
        succeed(aws.env("AWS_DEFAULT_REGION", "us-east-1"))
    };

    // Templates and programs are of one version.
    let said = fail(&mut deploy("0.0.0"), 1);
    assert!(said.contains("this folder has version"), "{said}");

    // With internet access, workers get the image from where the release has it.
    let log = place.path("docker/docker.log");
    fs::remove_file(&log).unwrap();
    succeed(&mut deploy(VERSION));
    assert_eq!(
        image("mill-workers").trim(),
        "ghcr.io/somebody/logmill@sha256:1234"
    );
    let docker = fs::read_to_string(&log);
    assert!(docker.is_err(), "Docker was asked: {docker:?}");
    let deployed = Deployed::find("mill", &endpoint);
    counts_log_files(&s3, &deployed, "", &MadeLogs::new(LOG_FILES, 20));

    // Without, it is copied to the account, once.
    let tag = format!("v{VERSION}");
    succeed(deploy(&tag).arg("--private"));
    succeed(deploy(&tag).arg("--private"));
    let copied = image("mill-workers");
    assert!(copied.trim().ends_with(&format!(":{VERSION}")), "{copied}");
    let docker = fs::read_to_string(&log).unwrap();
    let copies: Vec<&str> = docker
        .lines()
        .filter(|line| line.starts_with("buildx "))
        .collect();
    let expected = format!(
        "buildx imagetools create --tag {} ghcr.io/somebody/logmill@sha256:1234",
        copied.trim()
    );
    assert_eq!(copies, [expected]);

    // A file that somebody has replaced.
    for architecture in ARCHITECTURES {
        let zip = format!("{dist}/lambda-dispatch-{VERSION}-{architecture}.zip");
        fs::write(zip, "another").unwrap();
    }
    let said = fail(&mut deploy(VERSION), 1);
    assert!(said.contains("does not have the checksum"), "{said}");
}

/// The AWS CLI, as far as `infra/tables` calls it. Two tables are there; the columns of one have changed since Glue got them.
const AWS: &str = r#"#!/usr/bin/env bash
echo "$*" >> "$CALLS"
case "$*" in
    *describe-stacks*) echo value ;;
    "s3api list-objects-v2"*) printf 'tables/final-until/\ttables/same/\ttables/rebuilt/\n' ;;
    "athena start-query-execution"*)
        case "$*" in *same*) echo same ;; *) echo rebuilt ;; esac ;;
    "athena get-query-execution"*) echo SUCCEEDED ;;
    *get-query-results*ColumnInfo*"same"* | *get-query-results*"same"*ColumnInfo*)
        printf 'minute\ttimestamp with time zone\nusers\tvarbinary\ntotal\tdecimal\nstatus\tinteger\npage\tvarchar\n' ;;
    *get-query-results*ColumnInfo*) printf 'hour\ttimestamp with time zone\n' ;;
    *get-query-results*) echo 7 ;;
    "glue get-table"*"same"*)
        printf 'page\tstring\nminute\ttimestamp\nusers\tbinary\ntotal\tdecimal(38,0)\nstatus\tint\n' ;;
    "glue get-table"*) printf 'minute\ttimestamp\n' ;;
    "configure get region") echo us-east-2 ;;
    *) echo "not expected: $*" >&2; exit 1 ;;
esac
"#;

#[test]
fn tables_are_registered_again_when_their_columns_have_changed() {
    let place = Workplace::new();
    put_script(&place.path("aws"), AWS);
    let mut tables = Command::new(project().join("infra/tables"));
    let path = format!("{}:{}", place.path(""), search_path());
    tables.env("PATH", path).env("CALLS", place.path("calls"));
    let printed = succeed(&mut tables);
    assert!(
        printed.contains("same: 7 rows\nrebuilt: 7 rows\n"),
        "{printed}"
    );
    let calls = fs::read_to_string(place.path("calls")).unwrap();
    let dropped: Vec<&str> = calls.lines().filter(|call| call.contains("DROP")).collect();
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert!(dropped[0].contains("DROP TABLE `rebuilt`"), "{dropped:?}");
    let created = |table: &str| {
        let create = format!("CREATE EXTERNAL TABLE IF NOT EXISTS `{table}`");
        calls.matches(&create).count()
    };
    assert_eq!((created("same"), created("rebuilt")), (1, 2));
    let of_final = calls
        .matches("EXISTS final_until (table_name string,")
        .count();
    assert_eq!((of_final, created("final-until")), (1, 0));
}
