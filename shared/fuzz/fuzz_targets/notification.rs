//! Notifications. The input is a message's body.
//!
//! No body panics. What a body announces is announced once; made into the dispatcher's message it comes to the same log files
//! again; and of a batch of messages each says by itself what it says among the others.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use logmill_shared::LogFile;
use logmill_shared::notification::{self, Notification};

fuzz_target!(|data: &[u8]| {
    let Ok(body) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = notification::parse(body);
    if let Ok(notification) = &parsed {
        check_each_once(notification);
        check_passed_on(notification);
    } else if let Err(error) = &parsed {
        // It goes to a log.
        let _ = error.to_string();
    }
    if let Ok(event) = serde_json::from_str(body)
        && let Some(messages) = notification::from_sqs(&event)
    {
        let alone: Result<Vec<Notification>, _> = messages
            .into_iter()
            .map(|message| message.notification)
            .collect();
        assert_eq!(alone.is_ok(), parsed.is_ok());
        if let (Ok(alone), Ok(together)) = (&alone, &parsed) {
            let each: HashSet<&LogFile> = alone.iter().flat_map(log_files).collect();
            assert_eq!(each, log_files(together).collect());
        }
    }
});

fn log_files(notification: &Notification) -> impl Iterator<Item = &LogFile> {
    notification.log_files.iter().map(|each| &each.log_file)
}

fn check_each_once(notification: &Notification) {
    let once: HashSet<&LogFile> = log_files(notification).collect();
    assert_eq!(once.len(), notification.log_files.len());
}

fn check_passed_on(notification: &Notification) {
    let message = notification::message(log_files(notification));
    let again = notification::parse(&message).expect("our own message");
    assert!(
        log_files(&again).eq(log_files(notification)),
        "{message}: {again:?}"
    );
    assert_eq!(again.left_out, []);
}
