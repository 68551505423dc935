//! `[engine] memory_max`: its format and its default.

use std::path::Path;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes, as a number or as a text like `"4GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads a text like `"4GiB"`, `"512 MiB"`, `"1.5GB"` or `"1048576"`.
    fn parse(text: &str) -> Option<ByteSize> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: f64 = number.trim().parse().ok()?;
        let factor = match unit.trim() {
            "" | "B" => 1_u64,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        let bytes = number * factor as f64;
        (bytes.is_finite() && (1.0..9e15).contains(&bytes)).then_some(ByteSize(bytes as u64))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        struct SizeVisitor;
        impl de::Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes, as a number or as a text like \"4GiB\" or \"512MiB\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
                bytes.map(ByteSize).ok_or_else(|| E::custom("must be more than 0 bytes"))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text)
                    .ok_or_else(|| E::custom(format!("`{text}` is no size; write \"4GiB\" or \"512MiB\"")))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

/// Three quarters of the machine's memory, or of the limit of the process's control group if that is lower.
/// `None` if neither can be read.
#[must_use]
pub(super) fn default_memory_max() -> Option<u64> {
    available_memory(Path::new("/")).map(|bytes| bytes / 4 * 3)
}

/// The memory of the machine, or the lowest limit of the control groups of this process. `root` is the file system's
/// root.
fn available_memory(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|text| total_memory(&text));
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(|line| group_limits(root, line));
    machine.into_iter().chain(limits).min()
}

/// `MemTotal:       16316412 kB`
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The limits of a control group and its parents. A line is `0::/a/b` (version 2) or `7:memory:/a/b` (version 1).
fn group_limits(root: &Path, line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    // A container sees the host's name of the group, but the group itself is mounted at the root. Skip missing folders.
    let group = Path::new(group.trim_start_matches('/'));
    let limit = |group: &Path| {
        let text = std::fs::read_to_string(root.join(mount).join(group).join(file)).ok()?;
        // No limit is `max` in version 2, and a number larger than any memory in version 1.
        text.trim().parse::<u64>().ok()
    };
    group.ancestors().filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        let read = |text: &str| ByteSize::parse(text).map(|size| size.0);
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("512 MiB", 512 << 20),
            ("1.5GB", 1_500_000_000),
            ("1048576", 1 << 20),
            ("10KiB", 10 << 10),
            ("7B", 7),
        ] {
            assert_eq!(read(text), Some(bytes), "{text}");
        }
        for text in ["", "GiB", "4 gib", "-1GiB", "0", "1e400", "NaN", "4GiB please", "99999TiB"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn narrowest_limit_of_machine_and_groups_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = place.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available_memory(place.path()), None, "nothing is known");
        write("proc/meminfo", "MemFree:  1 kB\nMemTotal:       1000 kB\n");
        assert_eq!(available_memory(place.path()), Some(1_024_000));
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(available_memory(place.path()), Some(1_024_000));
        write("sys/fs/cgroup/a/memory.max", "500000\n");
        assert_eq!(available_memory(place.path()), Some(500_000), "a group around its own");
        write("sys/fs/cgroup/memory.max", "400000\n");
        assert_eq!(available_memory(place.path()), Some(400_000), "a container sees its group at the root");
        write("proc/self/cgroup", "5:cpu,cpuacct:/c\n4:memory:/c\n");
        write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "300000\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(available_memory(place.path()), Some(300_000));
    }
}
