//! Engine `caddy`: the original's `.env`, Caddy from an archive, and `ssh -R` into the machine's sshd.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use irp_testkit::{
    detour::Detour,
    machine::{Ended, Machine},
    origin::Origin,
    process::{Peer, find},
    python,
    scripted::Reply,
};

use crate::stage::{
    ADDRESS, DOWNLOADS, NAME, OTHER_ADDRESS, Stage, WITHIN, cloud_init_is_done, on_a_network,
};

/// How often the machine looks whether anybody is connected; each half minute would be long for a test.
const OFTEN: &str = "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=3s\nOnUnitInactiveSec=3s\n";

#[test]
fn a_machine_of_engine_caddy_serves_what_comes_through_ssh_and_ends_when_nobody_is_there() {
    on_a_network("bootcaddy", || async {
        let stage = Stage::set().await;
        stage.image("/etc/systemd/system/irp-watch.timer.d/often.conf", OFTEN);
        // The original's keys and no other; nobody may be 36 s late with the first login.
        let mut machine = stage.launch(&format!(
            "CADDY_DL_URL={}\nSHUTDOWN_TIMER_HOUR=0.01\nUPSTREAM_PORT=4000\nLOCALE=ja_JP.UTF-8\n\
             TIMEZONE=Asia/Tokyo\n",
            offer_caddy(&stage)
        ));
        let person = Person::of(&stage, &machine);
        let origin = Origin::start();
        let forward = format!("4000:{}", origin.address());
        let ssh = person.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward]);
        let ssh = Peer::start(ssh, "openssh-client", &stage.path("ssh.log")).unwrap();
        stage.answers(&machine, "/page", 200).await;
        assert_eq!(stage.record().await.unwrap(), [ADDRESS]);
        assert_eq!(stage.pebble.orders(), 1, "{}", stage.pebble.log());

        cloud_init_is_done(&machine);
        let failed = machine.ask(&["systemctl", "--failed", "--plain", "--no-legend"]);
        assert_eq!(failed, "", "{}", machine.journal());
        assert!(!machine.file("/usr/local/bin/irp").exists(), "nothing of irp runs here");
        machine.wait_until("the machine speaks Japanese", WITHIN, || {
            machine.ask(&["cat", "/etc/default/locale"]) == "LANG=ja_JP.UTF-8\n"
        });
        person.gets_nothing_from_metadata();

        drop(ssh);
        stage.is_over(&mut machine).await;
        let journal = machine.journal();
        assert!(journal.contains("nobody was connected for the idle time"), "{journal}");
    });
}

/// GetChange, where not all name servers know yet.
const PENDING: &str = "<R><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></R>";

#[test]
fn the_next_machine_of_engine_caddy_finds_its_certificate_in_the_bucket_and_orders_none() {
    on_a_network("bootstore", || async {
        let stage = Stage::set().await;
        let detour = Detour::start(stage.moto.address()).await.unwrap();
        stage.image("/etc/irp/environment", &format!("AWS_ENDPOINT_URL={}\n", detour.url()));
        install_aws_cli(&stage);
        let place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"];
        stage
            .moto
            .cli(&[&["s3api", "create-bucket", "--bucket", "certificates"], &place[..]].concat())
            .unwrap();
        let caddy = offer_caddy(&stage);
        let mut machine = stage.launch(&format!(
            "CADDY_DL_URL={caddy}\nCERT_STORE=s3://certificates/irp\nSHUTDOWN_TIMER_HOUR=0\n"
        ));
        // Nobody is connected: Caddy itself says so, with a certificate that was ordered now.
        stage.answers(&machine, "/", 502).await;
        let fetched = "irp-store.service";
        assert_eq!(machine.ask(&["systemctl", "is-active", fetched]), "active\n", "{}", machine.journal());
        machine.run(&["systemctl", "--no-block", "poweroff"]).unwrap();
        stage.is_over(&mut machine).await;
        let kept = stage.moto.cli(&["s3api", "list-objects-v2", "--bucket", "certificates"]).unwrap();
        let kept = kept["Contents"].as_array().cloned().unwrap_or_default();
        let keys: Vec<&str> = kept.iter().map(|object| object["Key"].as_str().unwrap()).collect();
        for end in [".crt", ".key", ".json"] {
            let is_whole =
                |key: &&str| key.contains("/certificates/") && key.ends_with(&format!("{NAME}{end}"));
            assert!(keys.iter().any(is_whole), "{end}: {keys:?}\n{}", machine.journal());
        }
        let folder = format!("irp/caddy/{NAME}/");
        assert!(keys.iter().all(|key| key.starts_with(&folder) && !key.contains("/locks/")), "{keys:?}");

        // Another machine, at another address, with nothing of the first one's disk.
        let mut machine = stage.launch_at(OTHER_ADDRESS);
        stage.answers(&machine, "/", 502).await;
        let authority = || (stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts());
        assert_eq!(authority(), (1, 1, 1), "{}\n{}", stage.pebble.log(), machine.journal());

        // Started again it uses what it has; and switched off while Route 53 is still at work, it leaves no record.
        machine.run(&["systemctl", "--no-block", "reboot"]).unwrap();
        assert_eq!(machine.end(WITHIN), Ended::Rebooted, "{}", machine.journal());
        assert_eq!(stage.record().await, None, "{}", machine.journal());
        detour.words("/rrset", "INSYNC", "PENDING");
        detour.always("/2013-04-01/change/", Reply::xml(PENDING));
        machine.boot().unwrap();
        stage.record_becomes(&machine, OTHER_ADDRESS).await;
        assert_eq!(machine.ask(&["systemctl", "is-active", "irp-record.service"]), "activating\n");
        machine.run(&["systemctl", "--no-block", "poweroff"]).unwrap();
        stage.is_over(&mut machine).await;
        assert_eq!(authority(), (1, 1, 1), "{}", stage.pebble.log());
    });
}

/// Puts the AWS CLI into the machine's image, as Amazon Linux and Debian have it in theirs.
fn install_aws_cli(stage: &Stage) {
    const PACKAGES: [&str; 11] = [
        "awscli",
        "botocore",
        "colorama",
        "dateutil",
        "docutils",
        "jmespath",
        "pyasn1",
        "rsa",
        "s3transfer",
        "urllib3",
        "yaml",
    ];
    let (folder, archive) = (stage.path("image/opt/aws"), stage.path("aws.tar"));
    fs::create_dir_all(&folder).unwrap();
    let tar = |arguments: &[&str]| {
        let mut tar = Command::new(find("tar", "tar").unwrap());
        assert!(tar.args(arguments).arg("--file").arg(&archive).status().unwrap().success());
    };
    let packages = python::packages().unwrap();
    let from = ["--create", "--exclude=awscli/examples", "--directory", packages.to_str().unwrap()];
    tar(&[&from[..], &PACKAGES, &["six.py"]].concat());
    tar(&["--extract", "--directory", folder.to_str().unwrap()]);
    stage.image("/usr/local/bin/aws", "#!/bin/sh\nPYTHONPATH=/opt/aws exec python3 -m awscli \"$@\"\n");
    let program = stage.path("image/usr/local/bin/aws");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Packs the system's Caddy as its own releases are packed; gives the URL.
fn offer_caddy(stage: &Stage) -> String {
    let caddy = find("caddy", "caddy").unwrap();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let name = format!("caddy_2.6.2_linux_{arch}.tar.gz");
    let archive = stage.path(&name);
    let packed = Command::new(find("tar", "tar").unwrap())
        .args(["--create", "--use-compress-program", "gzip -1", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(caddy.parent().unwrap())
        .arg("caddy")
        .status()
        .unwrap();
    assert!(packed.success());
    stage.offer(&name, &archive);
    format!("{DOWNLOADS}/{name}")
}

/// Who has made the user-data, and has the key that is in it.
struct Person {
    options: Vec<String>,
}

impl Person {
    /// Waits until the person is let in.
    fn of(stage: &Stage, machine: &Machine) -> Self {
        let key = stage.path(".config/irp/id_ed25519");
        let known = stage.path("known_hosts");
        let option = |name: &str, path: &Path| format!("-o{name}={}", path.display());
        let options = vec![
            "-F/dev/null".to_owned(),
            option("IdentityFile", &key),
            option("UserKnownHostsFile", &known),
            "-oIdentitiesOnly=yes".into(),
            "-oStrictHostKeyChecking=yes".into(),
            "-oBatchMode=yes".into(),
            "-oConnectTimeout=10".into(),
        ];
        let person = Self { options };
        machine.wait_until("somebody can log in", WITHIN, || {
            let host_key = fs::read_to_string(machine.file("/etc/ssh/ssh_host_ed25519_key.pub"));
            fs::write(&known, format!("{ADDRESS} {}", host_key.unwrap_or_default())).unwrap();
            person.ssh(&["true"]).output().unwrap().status.success()
        });
        person
    }

    /// `options` without a dash in front of the first are a command for the machine.
    fn ssh(&self, options: &[&str]) -> Command {
        let mut ssh = Command::new(find("ssh", "openssh-client").unwrap());
        ssh.args(&self.options);
        let host = format!("admin@{ADDRESS}");
        if options[0].starts_with('-') {
            ssh.args(options).arg(host)
        } else {
            ssh.arg(host).args(options)
        };
        ssh
    }

    /// Neither a program of a login nor a forward can borrow the machine's role.
    fn gets_nothing_from_metadata(&self) {
        let token = "http://169.254.169.254/latest/api/token";
        let header = "X-aws-ec2-metadata-token-ttl-seconds:60";
        let curl = ["curl", "-sS", "--max-time", "5", "-X", "PUT", "-H", header, token];
        let output = self.ssh(&curl).output().unwrap();
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        // Its packets are dropped, so nobody says no.
        let script = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 \"$@\"";
        let ssh = self.ssh(&["-W", "169.254.169.254:80"]);
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(ssh.get_program())
            .args(ssh.get_args())
            .output();
        let output = output.unwrap();
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
