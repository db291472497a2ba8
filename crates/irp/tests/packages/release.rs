//! What a release gives to people, assembled from what its jobs would have built. To pack five programs of this size would
//! take a minute: others stand for them.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use irp_testkit::process::find;
use tempfile::TempDir;

use crate::packed::{said, well, xtask};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Each platform, with the name of its program.
const PROGRAMS: &[(&str, &str)] = &[
    ("darwin-arm64", "irp"),
    ("darwin-x64", "irp"),
    ("linux-arm64", "irp"),
    ("linux-x64", "irp"),
    ("win32-x64", "irp.exe"),
];

/// What the jobs of the workflow leave, as its last job gets them.
fn artifacts(home: &Path) {
    for (platform, program) in PROGRAMS {
        let folder = home.join("artifacts").join(format!("program-{platform}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(program), format!("the program for {platform}")).unwrap();
    }
    for arch in ["amd64", "arm64"] {
        let folder = home.join("artifacts").join(format!("packages-{arch}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("irp_{VERSION}_{arch}.deb")), arch).unwrap();
    }
}

/// Everything in a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn assemble(home: &Path, out: &str) -> Output {
    // As the workflow calls it, with folders below its own.
    let mut assemble = xtask("assemble");
    assemble.current_dir(home).args(["artifacts", "--out", out]).output().unwrap()
}

#[test]
fn a_release_has_everything_with_its_hash_and_again_the_same() {
    find("zip", "zip").unwrap();
    let home = TempDir::new().unwrap();
    artifacts(home.path());
    fs::create_dir(home.path().join("out")).unwrap();
    let sbom = format!("irp-{VERSION}-sbom.cdx.json");
    fs::write(home.path().join("out").join(&sbom), "{}").unwrap();
    let told = assemble(home.path(), "out");
    assert!(told.status.success(), "{}", said(&told));
    let out = home.path().join("out");
    let given = contents(&out);
    let wanted = [
        "SHA256SUMS".to_owned(),
        format!("instant-reverse-proxy-{VERSION}.tgz"),
        format!("instant-reverse-proxy-darwin-arm64-{VERSION}.tgz"),
        format!("instant-reverse-proxy-darwin-x64-{VERSION}.tgz"),
        format!("instant-reverse-proxy-linux-arm64-{VERSION}.tgz"),
        format!("instant-reverse-proxy-linux-x64-{VERSION}.tgz"),
        format!("instant-reverse-proxy-win32-x64-{VERSION}.tgz"),
        format!("irp-{VERSION}-darwin-arm64.tar.gz"),
        format!("irp-{VERSION}-darwin-x64.tar.gz"),
        format!("irp-{VERSION}-linux-arm64"),
        format!("irp-{VERSION}-linux-x64"),
        sbom.clone(),
        format!("irp-{VERSION}-win32-x64.zip"),
        format!("irp_{VERSION}_amd64.deb"),
        format!("irp_{VERSION}_arm64.deb"),
    ];
    assert_eq!(given.keys().collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>());
    let summed = well(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&out));
    assert_eq!(said(&summed).matches(": OK").count(), wanted.len() - 1);
    let program = given[&format!("irp-{VERSION}-linux-arm64")].as_slice();
    assert_eq!(program, b"the program for linux-arm64");
    let archive = format!("irp-{VERSION}-darwin-x64.tar.gz");
    let listed =
        well(Command::new("tar").args(["--list", "--verbose", "--gzip", "--file"]).arg(out.join(archive)));
    assert!(said(&listed).starts_with("-rwxr-xr-x 0/0 "), "{}", said(&listed));

    // Another run, of files with other times.
    artifacts(home.path());
    fs::create_dir(home.path().join("again")).unwrap();
    fs::write(home.path().join("again").join(sbom), "{}").unwrap();
    let told = assemble(home.path(), "again");
    assert!(told.status.success(), "{}", said(&told));
    let again = contents(&home.path().join("again"));
    let different: Vec<_> = given.keys().filter(|name| again.get(*name) != given.get(*name)).collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn a_release_that_lacks_a_platform_is_refused() {
    let home = TempDir::new().unwrap();
    artifacts(home.path());
    fs::remove_dir_all(home.path().join("artifacts/program-win32-x64")).unwrap();
    let told = assemble(home.path(), "out");
    assert!(!told.status.success());
    assert!(said(&told).contains("there is no program-win32-x64"), "{}", said(&told));
}
