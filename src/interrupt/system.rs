//! What only one system tells about signals.

/// Whether the process was started with `nohup`, which asks it to go on when the terminal goes
/// away.
#[cfg(target_os = "linux")]
pub(super) fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (signal_hook::consts::SIGHUP - 1)) != 0
}

/// Where nobody can be asked, a hangup stops the program as it stops any other.
#[cfg(not(target_os = "linux"))]
pub(super) fn hangup_is_ignored() -> bool {
    false
}
