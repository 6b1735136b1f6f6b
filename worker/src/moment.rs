//! A point in time that workers exchange: RFC 3339 in JSON, to the millisecond.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A point in time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The present, by this machine's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This many milliseconds since 1970.
    pub fn of_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since 1970.
    pub fn milliseconds(self) -> i64 {
        self.0
    }

    /// The time from `earlier` until this. Zero if it is not earlier: clocks differ.
    pub fn since(self, earlier: Self) -> Duration {
        let milliseconds = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(milliseconds.unsigned_abs())
    }

    fn in_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.0)
    }

    /// For people: `2026-11-20 10:05:00 UTC`.
    pub fn in_words(self) -> String {
        match self.in_utc() {
            Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            None => "an unknown time".to_owned(),
        }
    }

    /// For people, without seconds: `2026-11-20 10:05 UTC`.
    pub fn minute_in_words(self) -> String {
        match self.in_utc() {
            Some(time) => time.format("%Y-%m-%d %H:%M UTC").to_string(),
            None => "an unknown time".to_owned(),
        }
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.in_utc().unwrap_or(DateTime::UNIX_EPOCH);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(Self(time.timestamp_millis()))
    }
}
