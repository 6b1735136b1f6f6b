//! Settings from environment variables. An invalid setting fails the start with a message, before the first log file.

use logmill_shared::notification::Selection;
use logmill_shared::sqs::{QueueUrl, QueueUrlError};
use reqwest::Url;
use reqwest::header::HeaderValue;

/// The URL of the workers' queue.
const QUEUE_URL: &str = "QUEUE_URL";
/// The URL of a worker, or of a proxy in front of several.
const DISPATCH_URL: &str = "DISPATCH_URL";
/// The token that the worker requires.
const DISPATCH_TOKEN: &str = "DISPATCH_TOKEN";
/// Comma-separated prefixes of the keys of log files.
const KEY_PREFIXES: &str = "KEY_PREFIXES";
/// Comma-separated suffixes of the keys of log files. By default, keys may end in any way: AWS does not document the
/// names of logs that CloudWatch Logs delivers, and the worker recognises a file by its content.
const KEY_SUFFIXES: &str = "KEY_SUFFIXES";

/// The path of a worker's endpoint, below [`DISPATCH_URL`].
const LOG_FILES: &str = "v1/log-files";

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) selection: Selection,
}

/// Where log files are announced.
#[derive(Debug)]
pub(crate) enum Target {
    /// The queue's region often differs from this function's, which is in the bucket's region.
    Queue(QueueUrl),
    Worker {
        url: Url,
        /// Marked as sensitive, so that no log shows it.
        authorization: HeaderValue,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(
        "no target is configured; set {QUEUE_URL} to the URL of an SQS queue, or {DISPATCH_URL} to the URL of a \
         worker"
    )]
    NoTarget,
    #[error("both {QUEUE_URL} and {DISPATCH_URL} are set; remove one of them")]
    TwoTargets,
    #[error("{name} is invalid: '{value}' {why}")]
    Url {
        name: &'static str,
        value: String,
        why: &'static str,
    },
    #[error("{QUEUE_URL}: {0}")]
    Queue(#[from] QueueUrlError),
    #[error("set {DISPATCH_TOKEN} to the token that the worker at {DISPATCH_URL} expects")]
    NoToken,
    #[error("{DISPATCH_TOKEN} has characters that are not allowed in an HTTP header")]
    Token,
}

impl Settings {
    /// `variable` looks up an environment variable. An empty one counts as unset, because templates leave it empty.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let list = |name| split(&variable(name).unwrap_or_default());
        let selection = Selection {
            prefixes: list(KEY_PREFIXES),
            suffixes: list(KEY_SUFFIXES),
        };
        let target = match (variable(QUEUE_URL), variable(DISPATCH_URL)) {
            (None, None) => return Err(SettingsError::NoTarget),
            (Some(_), Some(_)) => return Err(SettingsError::TwoTargets),
            (Some(url), None) => Target::Queue(url.trim().parse()?),
            (None, Some(url)) => {
                let token = variable(DISPATCH_TOKEN).ok_or(SettingsError::NoToken)?;
                worker(&url, &token)?
            }
        };
        Ok(Self { target, selection })
    }
}

fn split(list: &str) -> Vec<String> {
    let parts = list.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn worker(url: &str, token: &str) -> Result<Target, SettingsError> {
    let wrong = |why| SettingsError::Url {
        name: DISPATCH_URL,
        value: url.to_owned(),
        why,
    };
    let mut parsed =
        web(url).ok_or_else(|| wrong("is not an HTTP or HTTPS URL; give the URL of a worker"))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Without the user and the password: the message goes to a log.
        return Err(SettingsError::Url {
            name: DISPATCH_URL,
            value: parsed.host_str().unwrap_or_default().to_owned(),
            why: "has a user or password in the URL; put the worker's token into DISPATCH_TOKEN",
        });
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong(
            "has a query or a fragment; give the worker's root URL",
        ));
    }
    let root = parsed.path().trim_end_matches('/');
    let root = root.strip_suffix(LOG_FILES).unwrap_or(root);
    let path = format!("{}/{LOG_FILES}", root.trim_end_matches('/'));
    parsed.set_path(&path);
    let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| SettingsError::Token)?;
    authorization.set_sensitive(true);
    Ok(Target::Worker {
        url: parsed,
        authorization,
    })
}

fn web(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use logmill_shared::LogFile;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::read(|name| {
            let mut variables = variables.iter();
            let variable = variables.find(|(other, _)| *other == name)?;
            Some(variable.1.to_owned())
        })
    }

    fn error(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap_err().to_string()
    }

    fn worker_url(url: &str) -> String {
        match read(&[(DISPATCH_URL, url), (DISPATCH_TOKEN, "t")])
            .unwrap()
            .target
        {
            Target::Worker { url, .. } => url.to_string(),
            Target::Queue(_) => panic!("not a worker"),
        }
    }

    #[test]
    fn there_is_one_target() {
        assert!(error(&[]).contains("set QUEUE_URL"));
        assert!(error(&[(QUEUE_URL, ""), (DISPATCH_URL, " ")]).contains("set QUEUE_URL"));
        let both = [(QUEUE_URL, "https://q/1/a"), (DISPATCH_URL, "https://w")];
        assert!(error(&both).contains("remove one"));
        assert!(read(&[(QUEUE_URL, "https://q/1/a"), (DISPATCH_URL, "")]).is_ok());
    }

    #[test]
    fn a_queue_brings_its_region() {
        let region = |url| match read(&[(QUEUE_URL, url)]).unwrap().target {
            Target::Queue(url) => url.region().map(str::to_owned),
            Target::Worker { .. } => panic!("not a queue"),
        };
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/logs";
        assert_eq!(region(url).as_deref(), Some("eu-west-1"));
        let url = "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/logs";
        assert_eq!(region(url).as_deref(), Some("cn-north-1"));
        assert_eq!(region("http://localhost:4566/000000000000/logs"), None);
    }

    #[test]
    fn what_is_no_standard_queue_is_refused() {
        let error = |url| error(&[(QUEUE_URL, url)]);
        assert!(error("arn:aws:sqs:eu-west-1:1:logs").contains("an ARN"));
        assert!(error("logs").contains("not the URL of a queue"));
        assert!(error("https://sqs.eu-west-1.amazonaws.com/1/logs.fifo").contains("FIFO"));
    }

    #[test]
    fn a_worker_is_named_by_its_root() {
        let posted_to = "https://w.example/v1/log-files";
        assert_eq!(worker_url("https://w.example"), posted_to);
        assert_eq!(worker_url("https://w.example/"), posted_to);
        assert_eq!(worker_url("https://w.example/v1/log-files"), posted_to);
        assert_eq!(
            worker_url("http://10.0.0.1:8080/logs/"),
            "http://10.0.0.1:8080/logs/v1/log-files"
        );
    }

    #[test]
    fn what_is_no_worker_is_refused() {
        let error = |url| error(&[(DISPATCH_URL, url), (DISPATCH_TOKEN, "t")]);
        assert!(error("w.example:80").contains("give the URL of a worker"));
        assert!(error("s3://logs/a").contains("give the URL of a worker"));
        assert!(error("https://w.example/?a=b").contains("has a query"));
        let message = error("https://u:secret@w.example");
        assert!(message.contains("DISPATCH_TOKEN"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn a_worker_is_not_told_without_a_token() {
        let message = error(&[(DISPATCH_URL, "https://w")]);
        assert!(message.contains("set DISPATCH_TOKEN"), "{message}");
        let message = error(&[(DISPATCH_URL, "https://w"), (DISPATCH_TOKEN, "a\nb")]);
        assert!(!message.contains("a\nb"), "{message}");
        let settings = read(&[(DISPATCH_URL, "https://w"), (DISPATCH_TOKEN, "secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
    }

    #[test]
    fn without_lists_every_key_is_selected() {
        let settings = read(&[
            (QUEUE_URL, "https://q/1/a"),
            (KEY_PREFIXES, ""),
            (KEY_SUFFIXES, " "),
        ]);
        let selection = settings.unwrap().selection;
        for key in [
            "AWSLogs/1/elasticloadbalancing/r/2026/11/20/a.parquet",
            "AWSLogs/aws-account-id=1/elasticloadbalancing/region=r/year=2026/month=11/day=20/a.json.gz",
            "alb/r/2026/11/20/a",
        ] {
            assert!(selection.takes(&LogFile::in_bucket("logs", key)), "{key}");
        }
    }

    #[test]
    fn keys_are_selected_by_lists() {
        let settings = read(&[
            (QUEUE_URL, "https://q/1/a"),
            (KEY_PREFIXES, "alb/AWSLogs/, nlb/"),
            (KEY_SUFFIXES, ".log.gz,,"),
        ]);
        let selection = settings.unwrap().selection;
        assert_eq!(selection.prefixes, ["alb/AWSLogs/", "nlb/"]);
        assert_eq!(selection.suffixes, [".log.gz"]);
    }
}
