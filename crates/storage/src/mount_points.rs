//! Finds empty folders whose disk is not mounted.
//!
//! A disk that was not mounted after a boot leaves an empty folder. Tables created there would read everything again, and
//! would be hidden once the disk is mounted. `/etc/fstab` and the administrator's mount units list what should be mounted,
//! `/proc/self/mountinfo` what is mounted. If these files do not exist, nothing is refused.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const FSTAB: &str = "etc/fstab";
/// Mount units of the administrator. Those of the system itself may be disabled.
const MOUNT_UNITS: &str = "etc/systemd/system";
/// The mounts that this process sees.
const MOUNT_INFO: &str = "proc/self/mountinfo";
/// The only entry of a new file system.
const EMPTY_DISK_ENTRY: &str = "lost+found";

/// A mount point on which nothing is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnmountedPoint {
    pub(super) path: PathBuf,
    /// The file that lists it.
    pub(super) listed_in: PathBuf,
}

/// The unmounted mount point at or above an empty folder; `None` if the folder has content or its disk is mounted.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn find_unmounted_point(folder: &Path) -> io::Result<Option<UnmountedPoint>> {
    if has_content(folder)? {
        return Ok(None);
    }
    Ok(find_unmounted(&resolve_existing_part(folder), Path::new("/")))
}

fn has_content(folder: &Path) -> io::Result<bool> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != EMPTY_DISK_ENTRY))),
    }
}

/// A path whose existing part is resolved to its canonical name.
fn resolve_existing_part(path: &Path) -> PathBuf {
    let resolved = path.ancestors().find_map(|above| Some((above.canonicalize().ok()?, above)));
    match resolved {
        Some((resolved, above)) => path.strip_prefix(above).map_or(path.to_owned(), |rest| resolved.join(rest)),
        None => path.to_owned(),
    }
}

/// `system` is the root folder of the files that list mounts.
fn find_unmounted(folder: &Path, system: &Path) -> Option<UnmountedPoint> {
    let mounted = mounted_points(&std::fs::read(system.join(MOUNT_INFO)).ok()?);
    // The root of a chroot is always there, though it is not a mount point.
    let is_unmounted = |path: &PathBuf| path != Path::new("/") && folder.starts_with(path) && !mounted.contains(path);
    let listed = listed_in_fstab(system).into_iter().chain(listed_in_units(system));
    listed.into_iter().find(|point| is_unmounted(&point.path))
}

fn listed_in_fstab(system: &Path) -> Vec<UnmountedPoint> {
    let text = std::fs::read(system.join(FSTAB)).unwrap_or_default();
    let points = text.split(|byte| *byte == b'\n').filter_map(fstab_point);
    points.map(|path| UnmountedPoint { path, listed_in: Path::new("/").join(FSTAB) }).collect()
}

/// The mount point of a line of `/etc/fstab`: its second field.
fn fstab_point(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let device = fields.next()?;
    let point = unescape_octal(fields.next()?);
    (!device.starts_with(b"#") && point.is_absolute()).then_some(point)
}

fn listed_in_units(system: &Path) -> Vec<UnmountedPoint> {
    let Ok(entries) = std::fs::read_dir(system.join(MOUNT_UNITS)) else { return Vec::new() };
    let units = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    let units = units.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "mount"));
    let point = |name: OsString| {
        let text = std::fs::read_to_string(system.join(MOUNT_UNITS).join(&name)).ok()?;
        let listed_in = Path::new("/").join(MOUNT_UNITS).join(name);
        Some(UnmountedPoint { path: unit_point(&text)?, listed_in })
    };
    units.filter_map(point).collect()
}

/// The mount point of a mount unit.
fn unit_point(text: &str) -> Option<PathBuf> {
    let point = text.lines().find_map(|line| line.trim().strip_prefix("Where="))?;
    Some(PathBuf::from(point.trim())).filter(|point| point.is_absolute())
}

/// The mount points of a `mountinfo`: the fifth field of each line. The fourth is which folder of its file system is
/// mounted there. A folder that is mounted on itself, as systemd does for `ReadWritePaths=`, has no disk of its own.
fn mounted_points(text: &[u8]) -> BTreeSet<PathBuf> {
    let lines = text.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let (mounted_folder, point) = (fields.next()?, fields.next()?);
        (mounted_folder != point).then(|| unescape_octal(point))
    });
    points.collect()
}

/// Undoes the escapes of both files: a backslash and three octal digits stand for a byte.
fn unescape_octal(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let byte = after.get(..3).filter(|_| *first == b'\\').and_then(parse_octal);
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    // With slashes at the end it is the same folder.
    PathBuf::from(OsString::from_vec(bytes)).components().collect()
}

fn parse_octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const FSTAB_TEXT: &str = "# /disk/commented comes later\n\
        UUID=1 / ext4 defaults 0 1\n\
        UUID=2\t/disk/\text4\tnofail\t0\t2\n\
        UUID=3 /with\\040space ext4 defaults 0 2\n\
        UUID=4 none swap sw 0 0\n";

    /// A system with these file systems mounted.
    fn system(mounted: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(FSTAB, FSTAB_TEXT);
        write(&format!("{MOUNT_UNITS}/srv-posts.mount"), "[Mount]\nWhat=/dev/sdb1\nWhere=/srv/posts\n");
        write(&format!("{MOUNT_UNITS}/other.service"), "Where=/other\n");
        let line = |at: &&str| format!("22 27 0:21 / {at} rw,relatime - ext4 /dev/sda rw\n");
        write(MOUNT_INFO, &mounted.iter().map(line).collect::<String>());
        root
    }

    fn unmounted(folder: &str, mounted: &[&str]) -> Option<(String, String)> {
        let system = system(mounted);
        let point = find_unmounted(Path::new(folder), system.path())?;
        Some((point.path.display().to_string(), point.listed_in.display().to_string()))
    }

    #[test]
    fn folder_at_or_below_a_listed_point_without_its_mount_is_found() {
        let found = |path: &str, listed: &str| Some((path.to_owned(), listed.to_owned()));
        for folder in ["/disk", "/disk/a/tables"] {
            assert_eq!(unmounted(folder, &["/"]), found("/disk", "/etc/fstab"));
            assert_eq!(unmounted(folder, &["/", "/disk"]), None);
        }
        assert_eq!(unmounted("/with space/t", &["/"]), found("/with space", "/etc/fstab"));
        assert_eq!(unmounted("/with space/t", &["/", "/with\\040space"]), None);
        let unit = "/etc/systemd/system/srv-posts.mount";
        assert_eq!(unmounted("/srv/posts/tables", &["/"]), found("/srv/posts", unit));
        assert_eq!(unmounted("/srv/posts/tables", &["/", "/srv/posts"]), None);
    }

    #[test]
    fn folder_without_a_listed_mount_is_allowed() {
        for folder in ["/disks", "/tables", "/srv", "/other/a", "/none"] {
            assert_eq!(unmounted(folder, &["/"]), None, "{folder}");
        }
    }

    #[test]
    fn folder_that_is_mounted_on_itself_is_not_mounted() {
        let line = |from: &str| format!("22 27 0:21 {from} /disk rw - ext4 /dev/sda rw\n");
        assert!(mounted_points(line("/disk").as_bytes()).is_empty());
        // As systemd leaves it in a unit's namespace: first the disk, then the root of the disk on itself.
        for text in [line("/"), line("/@subvolume"), line("/") + &line("/")] {
            assert!(mounted_points(text.as_bytes()).contains(Path::new("/disk")), "{text}");
        }
    }

    #[test]
    fn system_without_mountinfo_refuses_nothing() {
        let system = system(&["/"]);
        std::fs::remove_file(system.path().join(MOUNT_INFO)).unwrap();
        assert_eq!(find_unmounted(Path::new("/disk/tables"), system.path()), None);
    }

    #[test]
    fn folder_with_only_lost_and_found_has_no_content() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_content(&folder.path().join("absent")).unwrap());
        assert!(!has_content(folder.path()).unwrap());
        std::fs::create_dir(folder.path().join(EMPTY_DISK_ENTRY)).unwrap();
        assert!(!has_content(folder.path()).unwrap());
        std::fs::create_dir(folder.path().join("pin")).unwrap();
        assert!(has_content(folder.path()).unwrap());
    }

    #[test]
    fn path_through_a_link_is_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("disk")).unwrap();
        std::os::unix::fs::symlink(root.join("disk"), root.join("link")).unwrap();
        assert_eq!(resolve_existing_part(&root.join("link/not/there")), root.join("disk/not/there"));
    }
}
