//! Unmounted disks: an empty mount point is not mistaken for a first start.

use std::path::Path;
use std::process::{Command, Output};

use pinflow_testkit::{create_temp_dir, emit, pinflow, program, skip_without_tmpfs, succeed};

/// Runs pinflow where `/etc/fstab` is this file, after some commands of a shell; nothing outside of it sees either.
fn run_with_fstab(fstab: &Path, before: &str, arguments: &[&str]) -> Output {
    let script = format!("mount --bind \"$1\" /etc/fstab && {before} && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(fstab).arg(program()).args(arguments);
    command.output().expect("util-linux' unshare")
}

#[test]
fn empty_mount_point_without_its_disk_is_an_error_and_the_disk_is_used_once_mounted() {
    if skip_without_tmpfs() {
        return;
    }
    let place = create_temp_dir();
    let (disk, fstab, recording) =
        (place.path().join("disk"), place.path().join("fstab"), place.path().join("recording"));
    std::fs::create_dir(&disk).unwrap();
    std::fs::write(&fstab, format!("posts {} tmpfs size=20m 0 0\n", disk.display())).unwrap();
    emit(&recording, 20, 20, 61, &[]);
    let config = place.path().join("run.toml");
    let text = "[[source]]\nkind = \"recording\"\npath = \"recording\"\n[tables]\nurl = \"disk/tables\"\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let run = ["run", "--output", "none", config];

    let named = format!("nothing is mounted at {}, which /etc/fstab lists: mount it and start again", disk.display());
    let refused = run_with_fstab(&fstab, "true", &run);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains(&named), "{said}");
    assert!(std::fs::read_dir(&disk).unwrap().next().is_none(), "nothing is made on the disk below");
    let checked = run_with_fstab(&fstab, "true", &["check", config]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.code() == Some(1) && said.contains(&named), "{said}");

    let mount = format!("mount -t tmpfs posts '{}'", disk.display());
    let mounted = run_with_fstab(&fstab, &mount, &run);
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));

    // Existing tables are used, wherever they are.
    succeed(&mut pinflow(run));
    let there = run_with_fstab(&fstab, "true", &run);
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
}
