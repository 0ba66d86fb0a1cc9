//! Times: a date from 1980 to 2107 and a time of day, in steps of two seconds.

/// A time as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) date: u16,
    pub(super) time: u16,
}

const DAY: i64 = 86400;
/// 1980-01-01 and 2107-12-31T23:59:58 in seconds since 1970.
const FIRST: i64 = 315_532_800;
const LAST: i64 = 4_354_819_198;

impl Stamp {
    /// Of seconds since 1970, or the nearest that there is.
    pub(super) fn of(epoch: i64) -> Stamp {
        let epoch = epoch.clamp(FIRST, LAST);
        let (mut days, seconds) = ((epoch - FIRST) / DAY, epoch % DAY);
        let mut year = 0;
        // 2100 is the only year in between that is divisible by 4 and has no leap day.
        let is_leap = |year: i64| year % 4 == 0 && year != 120;
        while days >= 365 + i64::from(is_leap(year)) {
            days -= 365 + i64::from(is_leap(year));
            year += 1;
        }
        let february = 28 + i64::from(is_leap(year));
        let mut month = 1;
        for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < len {
                break;
            }
            days -= len;
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let narrow = |number: i64| u16::try_from(number).expect("limited above");
        Stamp {
            date: narrow(year << 9 | month << 5 | (days + 1)),
            time: narrow(hour << 11 | minute << 5 | (second / 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let said = |epoch| {
            let Stamp { date, time } = Stamp::of(epoch);
            let day = (1980 + (date >> 9), date >> 5 & 15, date & 31);
            (day, (time >> 11, time >> 5 & 63, time % 32 * 2))
        };
        for (epoch, day, time) in [
            (i64::MIN, (1980, 1, 1), (0, 0, 0)),
            (0, (1980, 1, 1), (0, 0, 0)),
            (951_782_400, (2000, 2, 29), (0, 0, 0)),
            (951_868_800, (2000, 3, 1), (0, 0, 0)),
            (1_700_000_000, (2023, 11, 14), (22, 13, 20)),
            (4_107_542_400, (2100, 3, 1), (0, 0, 0)),
            (i64::MAX, (2107, 12, 31), (23, 59, 58)),
        ] {
            assert_eq!(said(epoch), (day, time), "{epoch}");
        }
    }
}
