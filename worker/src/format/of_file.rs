//! Columns that the path of a log file says.

use logmill_shared::LogFile;

/// The name of [`OfFile::Day`].
pub(crate) const DELIVERY_DAY: &str = "day";

/// A column whose value is a part of the log file's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfFile {
    /// The day on which the log file was delivered, such as `2026/11/20`. Athena's tables of logs have it as a partition:
    /// <https://docs.aws.amazon.com/athena/latest/ug/create-alb-access-logs-table-partition-projection.html>.
    Day,
    /// The account of the load balancer, such as `123456789012`.
    Account,
    /// The region of the load balancer, such as `us-east-2`.
    Region,
    /// The load balancer, as the column `elb` names it: `app/shop/50dc6c495c0c9188`.
    Balancer,
}

/// All of them.
pub const OF_FILE: [OfFile; 4] = [
    OfFile::Day,
    OfFile::Account,
    OfFile::Region,
    OfFile::Balancer,
];

impl OfFile {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => DELIVERY_DAY,
            Self::Account => "account",
            Self::Region => "region",
            Self::Balancer => "balancer",
        }
    }

    /// The column with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        OF_FILE.into_iter().find(|column| column.name() == name)
    }

    /// Its value for the lines of a log file. `None` if the path does not say it.
    pub(super) fn value(self, log_file: &LogFile) -> Option<String> {
        match self {
            Self::Day => log_file.delivery_day(),
            Self::Account => log_file.account().map(str::to_owned),
            Self::Region => log_file.region().map(str::to_owned),
            Self::Balancer => log_file.balancer(),
        }
    }
}
