//! The user-data of both engines: compared with snapshots, and looked at by the programs that will read it.
//!
//! `INSTA_UPDATE=always cargo test -p irp-launch` writes the snapshots anew; then read the difference.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use irp_launch::{
    settings::{Key, Layers, Settings, Source},
    user_data::{ClientKey, File, MAX_BYTES, UserData},
};
use irp_testkit::process::find;
use proptest::prelude::*;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe";

/// What most people set.
const IRP: &[(&str, &str)] = &[
    ("HOST_NAME", "alice"),
    ("HOSTED_ZONE_DOMAIN", "proxy.example.com"),
    ("EDGE_DL_URL", "https://example.com/irp-arm64"),
    ("EDGE_SHA256", HASH),
];

/// The `.env` of the original, every key of it.
const CADDY: &[(&str, &str)] = &[
    ("HOST_NAME", "alice"),
    ("HOSTED_ZONE_DOMAIN", "proxy.example.com"),
    ("CADDY_DL_URL", "https://example.com/caddy_2.11.0_linux_arm64.tar.gz"),
    ("SHUTDOWN_TIMER_HOUR", "0.5"),
    ("UPSTREAM_PORT", "4000"),
    ("LOCALE", "ja_JP.UTF-8"),
    ("TIMEZONE", "Asia/Tokyo"),
];

/// All that can be set.
const EVERYTHING: &[(&str, &str)] = &[
    ("MAX_LIFE_HOUR", "12"),
    ("CERT_STORE", "s3://my-bucket/certs"),
    ("KMS_KEY", "alias/irp"),
    ("ACME_CONTACT", "ops@example.com"),
    ("ACME_STAGING", "1"),
    ("SLACK_SIGNING_SECRET", "ssm:/irp/secret/alice/slack"),
    ("INSTANCE_TYPE", "t4g.nano"),
];

fn render(texts: &[(&str, &str)]) -> UserData {
    let mut layers = Layers::new(None);
    layers.push(
        Source::File(".env".into()),
        texts.iter().map(|(name, text)| (Key::named(name).unwrap(), (*text).to_owned())),
    );
    let settings = Settings::read(&layers, &[]).unwrap();
    let key = ClientKey { key: KEY.parse().unwrap(), comment: "alice@laptop".into() };
    UserData::render(&settings, &key).unwrap()
}

/// Each way to launch once.
fn all() -> [(&'static str, UserData); 5] {
    [
        ("irp", render(IRP)),
        ("irp without a role", render(&[IRP, &[("NO_ROLE", "1")]].concat())),
        ("caddy", render(CADDY)),
        ("irp with everything", render(&[IRP, EVERYTHING].concat())),
        ("caddy with everything", render(&[CADDY, EVERYTHING].concat())),
    ]
}

/// The files as a person reads them.
fn shown(files: &[File]) -> String {
    let show = |file: &File| format!("=== {} ({})\n{}\n", file.path, file.permissions, file.content);
    files.iter().map(show).collect()
}

#[test]
fn the_machine_of_engine_irp() {
    insta::assert_snapshot!(shown(render(IRP).files()));
}

#[test]
fn the_machine_of_engine_caddy() {
    insta::assert_snapshot!(shown(render(CADDY).files()));
}

#[test]
fn what_more_settings_change_for_engine_irp() {
    insta::assert_snapshot!(shown(&changed(&render(IRP), &render(&[IRP, EVERYTHING].concat()))));
}

#[test]
fn what_more_settings_change_for_engine_caddy() {
    insta::assert_snapshot!(shown(&changed(&render(CADDY), &render(&[CADDY, EVERYTHING].concat()))));
}

#[test]
fn a_machine_without_a_role_proves_its_name_by_its_address_and_keeps_to_itself() {
    let bare = render(&[IRP, &[("NO_ROLE", "1"), ("KMS_KEY", "alias/irp")]].concat());
    let changed = changed(&render(IRP), &bare);
    assert_eq!(changed.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/etc/irp/edge.toml"]);
    insta::assert_snapshot!(changed[0].content);
}

fn changed(before: &UserData, after: &UserData) -> Vec<File> {
    after.files().iter().filter(|file| !before.files().contains(file)).cloned().collect()
}

#[test]
fn both_engines_order_from_another_authority() {
    let directory = "https://ca.example.com:9000/acme/acme/directory";
    for (base, path, line) in [
        (IRP, "/etc/irp/edge.toml", format!("directory = {directory:?}")),
        (CADDY, "/etc/irp/Caddyfile", format!("\tacme_ca {directory}")),
    ] {
        let other = render(&[base, &[("ACME_DIRECTORY", directory)]].concat());
        let changed = changed(&render(base), &other);
        assert_eq!(changed.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [path]);
        assert!(changed[0].content.lines().any(|have| have == line), "{}", changed[0].content);
    }
}

#[test]
fn a_machine_that_never_ends_has_no_dead_man_timer() {
    let paths = |data: &UserData| data.files().iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let never = render(&[IRP, &[("SHUTDOWN_TIMER_HOUR", "0")]].concat());
    assert!(paths(&render(IRP)).iter().any(|path| path.ends_with("dead-man.timer")));
    assert!(!paths(&never).iter().any(|path| path.ends_with("dead-man.timer")));
    assert!(!never.text().contains("/run/irp/renewed"));
}

#[test]
fn it_is_text_and_fits_with_room_for_a_presigned_url() {
    for (which, data) in all() {
        assert!(data.text().is_ascii() && data.text().len() <= MAX_BYTES, "{which}: {}", data.text().len());
    }
    // With the credentials of a role, a presigned URL has some 1,800 characters.
    let url = format!(
        "https://bucket.s3.ap-northeast-1.amazonaws.com/irp?X-Amz-Security-Token={}",
        "a".repeat(1_800)
    );
    let irp = render(&[IRP, EVERYTHING, &[("EDGE_DL_URL", url.as_str())]].concat());
    assert!(irp.text().starts_with("#cloud-config\n"), "engine irp fits as it is");
    let caddy = render(&[CADDY, EVERYTHING, &[("CADDY_DL_URL", url.as_str())]].concat());
    assert!(caddy.text().starts_with("Content-Type: multipart/mixed"), "engine caddy is packed");
}

#[test]
fn no_secret_is_in_it() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let data = render(&[IRP, &[("SLACK_SIGNING_SECRET", secret)]].concat());
    assert!(!data.text().contains(secret));
}

#[test]
fn cloud_init_finds_nothing_wrong() {
    let cloud_init = find("cloud-init", "cloud-init").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (which, data) in all() {
        let file = folder.path().join("user-data");
        fs::write(&file, unpacked(&file, data.text())).unwrap();
        let output = Command::new(&cloud_init).args(["schema", "--config-file"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{which}: {}", told(&output));
        assert!(told(&output).contains("Valid cloud-config"), "{which}: {}", told(&output));
    }
}

#[test]
fn the_scripts_are_sound() {
    let shellcheck = find("shellcheck", "shellcheck").unwrap();
    let python = find("python3", "python3").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for (which, data) in all() {
        write_below(folder.path(), data.files());
        for file in
            data.files().iter().filter(|file| file.permissions == "0755" || file.path.ends_with("boot.env"))
        {
            let path = below(folder.path(), &file.path);
            let mut check = if file.content.starts_with("#!/usr/bin/python3") {
                let mut command = Command::new(&python);
                command.args([
                    "-W",
                    "error",
                    "-c",
                    "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))",
                ]);
                command
            } else {
                let parsed = Command::new("sh").arg("-n").arg(&path).output().unwrap();
                assert!(parsed.status.success(), "{which}: {}: {}", file.path, told(&parsed));
                let mut command = Command::new(&shellcheck);
                // What boot.env sets is not seen from the script, and the other way round.
                command.args(["--shell=sh", "--severity=warning", "--exclude=SC1091,SC2034,SC2154"]);
                command
            };
            let output = check.arg(&path).output().unwrap();
            assert!(output.status.success(), "{which}: {}: {}", file.path, told(&output));
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn systemd_understands_the_units() {
    let analyze = find("systemd-analyze", "systemd").unwrap();
    for (which, data) in all() {
        let folder = tempfile::tempdir().unwrap();
        // The programs that the units name are not on this machine: what counts is the grammar.
        let units: Vec<_> =
            data.files().iter().filter(|file| file.path.starts_with("/etc/systemd/system/irp-")).collect();
        let mut paths = Vec::new();
        for unit in &units {
            let path = below(folder.path(), &unit.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let programs = ["/usr/local/bin/", "/usr/local/lib/irp/"];
            let content = unit.content.lines().map(|line| match line.split_once('=') {
                Some((key, _))
                    if programs.iter().any(|program| line.contains(program)) && key.starts_with("Exec") =>
                {
                    format!("{key}=/bin/true\n")
                }
                _ => format!("{line}\n"),
            });
            fs::write(&path, content.collect::<String>()).unwrap();
            paths.push(path);
        }
        let output = Command::new(&analyze)
            .args(["--man=no", "verify"])
            .args(&paths)
            .env("SYSTEMD_UNIT_PATH", format!("{}/etc/systemd/system:", folder.path().display()))
            .output()
            .unwrap();
        let text = told(&output);
        let about_us: Vec<_> = text.lines().filter(|line| line.contains("irp-")).collect();
        assert!(about_us.is_empty() && !units.is_empty(), "{which}: {text}");
    }
}

#[test]
fn sshd_takes_its_rules() {
    let sshd = find("sshd", "openssh-server").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made = Command::new(find("ssh-keygen", "openssh-client").unwrap())
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", told(&made));
    for (engine, data) in [("irp", render(IRP)), ("caddy", render(CADDY))] {
        let rules = &data.files().iter().find(|file| file.path.starts_with("/etc/ssh/")).unwrap().content;
        let rules_file = folder.path().join("10-irp.conf");
        fs::write(&rules_file, rules).unwrap();
        // As the images do: their own settings come behind ours.
        let config = folder.path().join("sshd_config");
        let own = "PermitOpen any\nClientAliveInterval 420\nPermitListen any\n";
        fs::write(&config, format!("Include {}\nHostKey {}\n{own}", rules_file.display(), key.display()))
            .unwrap();
        let settings = |user: &str| {
            let output = Command::new(&sshd)
                .args(["-T", "-C", &format!("user={user},host=h,addr=127.0.0.1"), "-f"])
                .arg(&config)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", told(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        let port = if engine == "irp" { "3000" } else { "4000" };
        for user in ["ec2-user", "admin", "ubuntu"] {
            let settings = settings(user);
            for line in ["clientaliveinterval 3", "gatewayports no", &format!("permitlisten *:{port}")] {
                assert!(settings.lines().any(|have| have == line), "{engine}: {user}: {line}:\n{settings}");
            }
        }
        assert!(settings("root").contains("permitlisten any"));
        if engine == "irp" {
            let settings = settings("irp");
            for line in [
                "permitopen none",
                "permitlisten *:3000",
                "maxsessions 0",
                "permittty no",
                "allowtcpforwarding remote",
            ] {
                assert!(settings.lines().any(|have| have == line), "{line}:\n{settings}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a setting lets through: the machine's files stay the same but for the values, and those read back
    /// as they were meant.
    #[test]
    fn no_value_breaks_out(key in 0..19_usize, text in hostile()) {
        let key = Key::all().nth(key).unwrap();
        for base in [IRP, CADDY] {
            let mut layers = Layers::new(None);
            layers.push(Source::Flag, [(key, text.clone())]);
            // Two authorities at once are refused.
            let is_other = |name: &str| key == Key::AcmeDirectory && name == "ACME_STAGING";
            let base = base.iter().chain(EVERYTHING).filter(|(name, _)| {
                Key::named(name) != Some(Key::InstanceType) && !is_other(name)
            });
            layers.push(Source::Environment, base.map(|(name, text)| (Key::named(name).unwrap(), (*text).to_owned())));
            let Ok(settings) = Settings::read(&layers, &[]) else { continue };
            let client = ClientKey { key: KEY.parse().unwrap(), comment: text.clone() };
            let data = UserData::render(&settings, &client).unwrap();
            prop_assert!(data.text().is_ascii());
            for file in data.files() {
                prop_assert!(file.content.lines().all(|line| line.trim() != "INJECTED"), "{}", file.path);
                if file.path.ends_with("edge.toml") {
                    let table: toml::Table = file.content.parse().unwrap();
                    prop_assert!(table.keys().all(|key| ["listen", "state_dir", "acme", "key", "sshd", "idle", "aws"].contains(&key.as_str())));
                }
                if file.path.ends_with("Caddyfile") {
                    prop_assert_eq!(file.content.matches('{').count(), file.content.matches('}').count());
                    prop_assert_eq!(file.content.matches("reverse_proxy").count(), 1);
                }
                if file.path.ends_with("authorized_keys") {
                    prop_assert_eq!(file.content.lines().count(), 1);
                }
            }
        }
    }
}

/// Texts as an attacker would write them, and such as pass most checks.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,30}",
        "[a-z0-9.-]{1,20}",
        "[a-zA-Z_/.-]{1,10}['\"`$(){}\\\\;&|<> \n\t#%!*]{1,3}INJECTED",
        "https://example\\.com/[!-~]{1,20}",
        Just("x'\nINJECTED\n'".to_owned()),
        Just("x\"\nINJECTED\n\"".to_owned()),
        Just("x\n}\nINJECTED\n{".to_owned()),
    ]
}

/// What is too long for EC2 is packed: undone by the same library that cloud-init uses.
fn unpacked(file: &Path, text: &str) -> Vec<u8> {
    const UNPACK: &str = "import email, gzip, sys\n\
        part, = email.message_from_file(open(sys.argv[1])).get_payload()\n\
        sys.stdout.buffer.write(gzip.decompress(part.get_payload(decode=True)))";
    if text.starts_with("#cloud-config\n") {
        return text.into();
    }
    fs::write(file, text).unwrap();
    let python = find("python3", "python3").unwrap();
    let output = Command::new(python).args(["-c", UNPACK]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    output.stdout
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn write_below(root: &Path, files: &[File]) {
    for file in files {
        let path = below(root, &file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.content).unwrap();
    }
}
