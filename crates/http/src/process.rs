//! Figures of this process: memory, CPU time, open files, start.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};

use crate::MetricsPage;
use pinflow_core::file_limit;

/// Clock ticks per second in `/proc`. Linux reports 100 on every architecture, whatever the kernel uses itself.
const TICKS_PER_SEC: f64 = 100.0;

/// Resident memory, bytes. `None` where `/proc` does not exist.
pub fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// CPU time used so far, user and system, seconds.
pub fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some(
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum(),
    )
}

/// Writes the metrics that every process has by Prometheus' conventions, as far as the system tells them.
pub fn write_process_metrics(page: &mut MetricsPage) {
    let bytes = |value: Option<u64>| value.map(|bytes| bytes as f64);
    for (name, kind, help, value) in [
        ("process_resident_memory_bytes", "gauge", "Resident memory.", bytes(resident_bytes())),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", bytes(status_bytes("VmSize:"))),
        ("process_cpu_seconds_total", "counter", "Processor time, user and system.", cpu_seconds()),
        ("process_open_fds", "gauge", "Open files and connections.", open_files().map(|files| files as f64)),
        ("process_max_fds", "gauge", "How many may be open.", file_limit::limit().map(|files| files as f64)),
        ("process_threads", "gauge", "Threads.", status_number("Threads:").map(|threads| threads as f64)),
        ("process_start_time_seconds", "gauge", "When it started, seconds since 1970.", start_seconds()),
    ] {
        if let Some(value) = value {
            page.start_metric(name, kind, help).write_single(value);
        }
    }
}

/// A line of `/proc/self/status`, without its name.
fn status_line(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

fn status_bytes(name: &str) -> Option<u64> {
    Some(status_line(name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn status_number(name: &str) -> Option<u64> {
    status_line(name)?.parse().ok()
}

fn open_files() -> Option<usize> {
    // One of them is open for the listing itself.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// When the process started: the time of the boot, and the ticks since.
fn start_seconds() -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + start_ticks(&fs::read_to_string("/proc/self/stat").ok()?)? / TICKS_PER_SEC)
}

/// The start in `/proc/self/stat`, ticks after the boot. It is the 22nd field. The second one, the name of the program in
/// parentheses, can contain spaces.
fn start_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn start_is_read_after_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 12345 100 200";
        assert_eq!(start_ticks(stat), Some(12345.0));
        assert_eq!(start_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn process_metrics_of_this_process_are_plausible() {
        let mut page = MetricsPage::default();
        write_process_metrics(&mut page);
        let text = page.into_text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
        };
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") < value("process_max_fds"));
        assert!(value("process_threads") >= 1.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        // The time of the boot is rounded to a second.
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
