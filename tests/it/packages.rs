//! The packages of `scripts/package.sh`: what is in them, and that it works in an empty folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinflow::cli::command_line;
use pinflow_testkit::{create_temp_dir, program, succeed};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Packages the program under test in a folder. Returns the paths of the packages.
fn build_packages(to: &Path) -> Vec<PathBuf> {
    let mut script = Command::new(root().join("scripts/package.sh"));
    script.arg("--binary").arg(program()).arg("--to").arg(to);
    // The fastest compression: what is compressed is the same.
    script.env("PACKAGE_COMPRESSION", "gzip").env("SOURCE_DATE_EPOCH", "1700000000");
    let printed = String::from_utf8(succeed(&mut script).stdout).unwrap();
    printed.lines().map(PathBuf::from).collect()
}

/// The files below a folder, relative to it.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned())),
            }
        }
    }
    files
}

/// The number of visible commands, each of which has a manual page.
fn command_count(command: &clap::Command) -> usize {
    let visible = command.get_subcommands().filter(|below| !below.is_hide_set());
    1 + visible.map(command_count).sum::<usize>()
}

/// Checks what is below `/usr` of one package, or in the folder of the other, and runs the program in it.
fn check_tree(tree: &Path, unit_program: &str) {
    let files = files_below(tree);
    for file in [
        "bin/pinflow",
        "lib/systemd/system/pinflow.service",
        "share/bash-completion/completions/pinflow",
        "share/zsh/vendor-completions/_pinflow",
        "share/fish/vendor_completions.d/pinflow.fish",
        "share/man/man1/pinflow.1.gz",
        "share/man/man1/pinflow-table-vacuum.1.gz",
        "share/doc/pinflow/LICENSE",
        "share/doc/pinflow/README.md",
        "share/doc/pinflow/CHANGELOG.md",
        "share/doc/pinflow/docs/reference/configuration.md",
        "share/doc/pinflow/docs/reference/pinflow.schema.json",
        "share/doc/pinflow/examples/quickstart.toml",
        "share/doc/pinflow/examples/grafana/dashboards/metrics.json",
    ] {
        assert!(files.contains(file), "no {file} in {files:?}");
    }
    let pages = files.iter().filter(|file| file.starts_with("share/man/man1/")).count();
    assert_eq!(pages, command_count(&command_line()));
    // Nothing that runs, tests or editors left in the project's folders.
    let allowed =
        ["bin/", "lib/systemd/system/", "share/bash-completion/", "share/zsh/", "share/fish/", "share/man/man1/"];
    let tracked = Command::new("git").args(["ls-files", "docs", "examples"]).current_dir(root()).output().unwrap();
    let tracked: BTreeSet<String> = String::from_utf8(tracked.stdout).unwrap().lines().map(str::to_owned).collect();
    for file in files.iter().filter(|file| !allowed.iter().any(|begin| file.starts_with(begin))) {
        let documented =
            file.strip_prefix("share/doc/pinflow/").unwrap_or_else(|| panic!("{file} is in no known folder"));
        let is_top = ["LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"].contains(&documented);
        assert!(is_top || tracked.contains(documented), "{file}");
    }
    let unit = fs::read_to_string(tree.join("lib/systemd/system/pinflow.service")).unwrap();
    assert!(unit.contains(&format!("\nExecStart={unit_program} run ")), "{unit}");
    // The packaged program runs a packaged example.
    let place = create_temp_dir();
    let mut run = Command::new(tree.join("bin/pinflow"));
    run.arg("run")
        .arg(tree.join("share/doc/pinflow/examples/recordings"))
        .args(["--tables", "data", "--output", "none"]);
    succeed(run.current_dir(place.path()).stderr(Stdio::piped()));
    succeed(Command::new(tree.join("bin/pinflow")).args(["table", "data", "--verify"]).current_dir(place.path()));
}

/// The bytes of the packages in a folder, by name.
fn package_bytes(paths: &[PathBuf]) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
fn packages_hold_everything_and_their_program_runs() {
    let place = create_temp_dir();
    let packages = build_packages(&place.path().join("one"));
    let version = env!("CARGO_PKG_VERSION");
    let archive = &packages[0];
    let machine = std::env::consts::ARCH;
    let name = format!("pinflow-{version}-linux-{machine}");
    assert!(archive.ends_with(format!("{name}.tar.gz")), "{packages:?}");
    let unpacked = place.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    succeed(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&unpacked));
    assert_eq!(fs::read_dir(&unpacked).unwrap().count(), 1, "all is in one folder");
    check_tree(&unpacked.join(name), "/usr/local/bin/pinflow");
    if let Some(deb) = packages.get(1) {
        let installed = place.path().join("installed");
        succeed(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&installed));
        check_tree(&installed.join("usr"), "/usr/bin/pinflow");
        let field = |name: &str| {
            let shown = succeed(Command::new("dpkg-deb").arg("-f").arg(deb).arg(name)).stdout;
            String::from_utf8(shown).unwrap().trim().to_owned()
        };
        assert_eq!((field("Package").as_str(), field("Version").as_str()), ("pinflow", version));
        assert!(field("Depends").contains("libc6") && field("Depends").contains("libssl"), "{}", field("Depends"));
        let control = place.path().join("control");
        succeed(Command::new("dpkg-deb").arg("-e").arg(deb).arg(&control));
        let mut sums = Command::new("md5sum");
        succeed(sums.args(["--check", "--quiet", "--strict"]).arg(control.join("md5sums")).current_dir(&installed));
    }
    // The same program and time give the same bytes.
    let again = build_packages(&place.path().join("two"));
    assert!(package_bytes(&packages) == package_bytes(&again), "the packages differ from build to build");
}

#[test]
fn package_script_refuses_what_is_no_program() {
    for arguments in [&["--binary", "/nope"][..], &["--fast"]] {
        let refused = Command::new(root().join("scripts/package.sh")).args(arguments).output().unwrap();
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).starts_with("package: "), "{arguments:?}");
    }
}

#[test]
fn every_crate_has_a_description_and_the_licence_of_the_workspace() {
    let mut manifests = vec![root().join("Cargo.toml"), root().join("dataflows/Cargo.toml")];
    manifests
        .extend(fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("Cargo.toml")));
    assert!(manifests.len() > 15);
    for path in manifests {
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let package = &manifest["package"];
        assert!(package["description"].as_str().is_some_and(|text| text.len() > 15), "{}", path.display());
        for inherited in ["version", "license", "edition", "rust-version", "publish"] {
            assert_eq!(package[inherited]["workspace"].as_bool(), Some(true), "{}: {inherited}", path.display());
        }
    }
}
