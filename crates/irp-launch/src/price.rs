//! What a machine costs: a table of list prices, on demand, Linux, US East (N. Virginia), with its date.
//!
//! An estimate for the person who pays, not a bill: other regions differ by some tens of percent.

/// The month that the table is from.
pub const AS_OF: &str = "2026-11";

/// The type that is meant where none is named: the smallest there is.
pub const DEFAULT_TYPE: &str = "t4g.nano";

/// The smallest one for programs of the other processor that every region has.
pub const DEFAULT_TYPE_X86_64: &str = "t3.nano";

/// US dollars, for showing.
pub type Dollars = f64;

/// An hour of each type that a reverse proxy could want.
const HOUR: &[(&str, Dollars)] = &[
    ("t4g.nano", 0.0042),
    ("t4g.micro", 0.0084),
    ("t4g.small", 0.0168),
    ("t4g.medium", 0.0336),
    ("t3a.nano", 0.0047),
    ("t3a.micro", 0.0094),
    ("t3a.small", 0.0188),
    ("t3.nano", 0.0052),
    ("t3.micro", 0.0104),
    ("t3.small", 0.0208),
    ("t3.medium", 0.0416),
];

/// An hour of a public IPv4 address; it costs since February 2024.
const ADDRESS_HOUR: Dollars = 0.005;

/// A month of a GB of gp3.
const DISK_GB_MONTH: Dollars = 0.08;

/// The disk of the usual images, in GB.
const DISK_GB: Dollars = 8.0;

/// A month of a GB in S3.
const STORAGE_GB_MONTH: Dollars = 0.023;

/// The shortest time that is charged.
const LEAST_SECONDS: u64 = 60;

/// Hours in a month, as AWS counts.
const HOURS_A_MONTH: Dollars = 730.0;

/// An hour of a machine with its address and disk; `None` where the type is not in the table.
#[must_use]
pub fn hour(instance_type: &str) -> Option<Dollars> {
    let (_, machine) = HOUR.iter().find(|(name, _)| *name == instance_type)?;
    Some(machine + ADDRESS_HOUR + DISK_GB_MONTH * DISK_GB / HOURS_A_MONTH)
}

/// A month of the disk of a machine, which costs also while that is stopped.
#[must_use]
pub fn disk_month() -> Dollars {
    DISK_GB_MONTH * DISK_GB
}

/// A month of so many bytes in S3.
#[must_use]
pub fn storage_month(bytes: u64) -> Dollars {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let gigabytes = bytes as Dollars / 1e9;
    STORAGE_GB_MONTH * gigabytes
}

/// What a machine has cost that was launched `seconds` ago. EC2 counts each second, and at least a minute.
#[must_use]
pub fn since(instance_type: &str, seconds: u64) -> Option<Dollars> {
    #[expect(clippy::cast_precision_loss, reason = "an estimate, and 2^52 seconds are long")]
    let hours = seconds.max(LEAST_SECONDS) as Dollars / 3600.0;
    hour(instance_type).map(|hour| hour * hours)
}

/// A month of it, rounded to cents.
#[must_use]
pub fn month(instance_type: &str) -> Option<Dollars> {
    hour(instance_type).map(|hour| (hour * HOURS_A_MONTH * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_machine_costs_about_a_cent_an_hour() {
        let hour = hour(DEFAULT_TYPE).unwrap();
        assert!((0.009..0.012).contains(&hour), "{hour}");
        assert_eq!(month(DEFAULT_TYPE), Some(7.36));
        assert_eq!(month("u-6tb1.metal"), None);
    }

    #[test]
    fn time_costs_by_the_second_and_at_least_a_minute() {
        let told = |seconds| since(DEFAULT_TYPE, seconds).map(|dollars| format!("{dollars:.4}"));
        assert_eq!(told(36_000).as_deref(), Some("0.1008"));
        assert_eq!(told(1), told(60));
        assert_eq!(since("u-6tb1.metal", 60), None);
    }
}
