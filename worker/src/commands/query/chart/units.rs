//! Numbers of an axis: their unit, round steps, and short texts.

/// What the numbers of a column are, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    Bytes,
    Seconds,
}

/// Beyond these, the next step may not be a number.
const STEPPED_MAX: f64 = 1e290;

/// Steps of an axis.
const STEPS: f64 = 4.0;

impl Unit {
    /// Names that say their unit, as those of AWS's columns do: `sent_bytes`, `target_processing_time`, `p95_seconds`.
    pub(super) fn of(column: &str) -> Self {
        let name = column.to_lowercase();
        match name.as_str() {
            name if name.ends_with("bytes") => Self::Bytes,
            name if name.ends_with("seconds") && !name.contains("milli") => Self::Seconds,
            name if name.ends_with("processing_time") => Self::Seconds,
            _ => Self::Plain,
        }
    }

    /// A number in at most eight characters.
    pub(super) fn text(self, number: f64) -> String {
        let size = number.abs();
        let scale: &[(f64, &str)] = match self {
            Self::Plain => &[(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
            Self::Bytes => &[
                (1_099_511_627_776.0, " TiB"),
                (1_073_741_824.0, " GiB"),
                (1_048_576.0, " MiB"),
                (1024.0, " KiB"),
                (1.0, " B"),
            ],
            Self::Seconds => &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs")],
        };
        if size == 0.0 {
            return "0".to_owned();
        }
        match scale.iter().find(|(unit, _)| size >= *unit) {
            Some((unit, name)) if size / unit < 9999.5 => {
                format!("{}{name}", digits(number / unit))
            }
            None if self == Self::Plain && size >= 1e-3 => digits(number),
            _ => format!("{number:.1e}"),
        }
    }

    /// The labels of an axis from its lowest to its highest value: round numbers that include both.
    pub(super) fn ticks(self, lowest: f64, highest: f64) -> Vec<f64> {
        let lowest = lowest.min(0.0);
        let highest = if lowest == 0.0 && highest <= 0.0 {
            1.0
        } else {
            highest.max(0.0)
        };
        if lowest < -STEPPED_MAX || highest > STEPPED_MAX {
            return vec![lowest, highest];
        }
        let step = self.step((highest - lowest) / STEPS, highest.max(-lowest));
        let (first, last) = ((lowest / step).floor(), (highest / step).ceil());
        let count = (last - first) as usize;
        (0..=count).map(|n| (first + n as f64) * step).collect()
    }

    /// A round number of at least this size, for an axis that reaches so far from zero.
    fn step(self, size: f64, reach: f64) -> f64 {
        let base = match self {
            // 1.5 KiB is round, 1.5 thousand bytes are not.
            Self::Bytes if reach >= 1.0 => 1024_f64.powf(reach.log(1024.0).floor()),
            _ => 1.0,
        };
        let size = size / base;
        let power = 10_f64.powf(size.log10().floor());
        let power = if power > 0.0 {
            power
        } else {
            f64::MIN_POSITIVE
        };
        let mut round = [1.0, 2.0, 2.5, 5.0].into_iter().map(|digit| digit * power);
        let round = round.find(|round| *round >= size * 0.999_999);
        base * round.unwrap_or(10.0 * power)
    }
}

/// Four digits at most, without zeros at the end.
fn digits(number: f64) -> String {
    let size = number.abs();
    let decimals = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 5,
    };
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_from_names() {
        assert_eq!(Unit::of("sent_bytes"), Unit::Bytes);
        assert_eq!(Unit::of("p95_seconds"), Unit::Seconds);
        assert_eq!(Unit::of("target_processing_time"), Unit::Seconds);
        assert_eq!(Unit::of("milliseconds"), Unit::Plain);
        assert_eq!(Unit::of("requests"), Unit::Plain);
    }

    #[test]
    fn numbers_are_short() {
        for (unit, number, text) in [
            (Unit::Plain, 0.0, "0"),
            (Unit::Plain, 7.0, "7"),
            (Unit::Plain, -1500.0, "-1.5k"),
            (Unit::Plain, 999.0, "999"),
            (Unit::Plain, 2_500_000.0, "2.5M"),
            (Unit::Plain, 0.25, "0.25"),
            (Unit::Plain, 0.004, "0.004"),
            (Unit::Plain, 1e300, "1.0e300"),
            (Unit::Plain, 1e-9, "1.0e-9"),
            (Unit::Bytes, 1536.0, "1.5 KiB"),
            (Unit::Bytes, 1023.0, "1023 B"),
            (Unit::Bytes, 5e18, "5.0e18"),
            (Unit::Seconds, 0.119, "119 ms"),
            (Unit::Seconds, 2.0, "2 s"),
            (Unit::Seconds, 0.000_02, "20 µs"),
        ] {
            assert_eq!(unit.text(number), text);
        }
    }

    #[test]
    fn ticks_are_round_and_include_all() {
        assert_eq!(Unit::Plain.ticks(3.0, 70.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(
            Unit::Plain.ticks(-3.0, 5.0),
            [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0]
        );
        assert_eq!(Unit::Plain.ticks(0.0, 0.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(
            Unit::Bytes.ticks(0.0, 4000.0),
            [0.0, 1024.0, 2048.0, 3072.0, 4096.0]
        );
        assert_eq!(
            Unit::Plain.ticks(-f64::MAX, f64::MAX),
            [-f64::MAX, f64::MAX]
        );
        for (low, high) in [
            (-1e-320, 1e-320),
            (0.0, f64::MIN_POSITIVE),
            (-7.0, -6.9),
            (1e289, 1e290),
        ] {
            let ticks = Unit::Plain.ticks(low, high);
            assert!((2..=7).contains(&ticks.len()), "{ticks:?}");
            assert!(
                ticks[0] <= low && *ticks.last().unwrap() >= high,
                "{ticks:?}"
            );
        }
    }
}
