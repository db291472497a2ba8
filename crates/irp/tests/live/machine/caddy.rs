//! Engine `caddy`: the scripts that `irp generate` puts on its machine, against what AWS answers on its bad days. That they
//! work together on a machine is shown in `boot/`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use irp_testkit::{process::find, scripted::Reply};
use serde_json::Value;

use super::{
    refusals::{CHANGE, OTHER_ADDRESS, RECORD, detoured, refusal, zones},
    stage::{ADDRESS, NAME, Stage},
};
use crate::program::irp;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(100);

/// What the machine's user-data write to `path`, with `changes` in it, as a program.
fn script(stage: &Stage, path: &str, changes: &[(&str, &str)]) -> PathBuf {
    fs::write(
        stage.file(".env"),
        "HOSTED_ZONE_DOMAIN=irp.test\nCADDY_DL_URL=https://caddy.test/caddy_2.11_linux_arm64.tar.gz\n",
    )
    .unwrap();
    let output = irp(stage.home.path(), &["generate"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = unpacked(stage, &output.stdout);
    let data: Value = serde_json::from_str(data.strip_prefix("#cloud-config\n").unwrap()).unwrap();
    let mut files = data["write_files"].as_array().unwrap().iter();
    let mut text = files.find(|file| file["path"] == path).unwrap()["content"].as_str().unwrap().to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}: {text}");
        text = text.replace(from, to);
    }
    let file = stage.file(Path::new(path).file_name().unwrap().to_str().unwrap());
    fs::write(&file, text).unwrap();
    file
}

/// What cloud-init reads out of user-data that are larger than EC2 takes as they are.
fn unpacked(stage: &Stage, data: &[u8]) -> String {
    let file = stage.file("user-data");
    fs::write(&file, data).unwrap();
    let unpack = "import email, gzip, sys\n\
                  part, = email.message_from_file(open(sys.argv[1])).get_payload()\n\
                  sys.stdout.write(gzip.decompress(part.get_payload(decode=True)).decode())";
    let output =
        Command::new(find("python3", "python3").unwrap()).args(["-c", unpack]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The script of the record, as its unit calls it.
struct Recorder<'a> {
    stage: &'a Stage,
    script: PathBuf,
}

impl<'a> Recorder<'a> {
    fn of(stage: &'a Stage) -> Self {
        Self { stage, script: script(stage, "/usr/local/lib/irp/record", &[]) }
    }

    fn start(&self, what: &str) -> Child {
        let log = File::create(self.stage.file("record.log")).unwrap();
        Command::new(find("python3", "python3").unwrap())
            .arg(&self.script)
            .arg(what)
            .env_clear()
            .envs([("NAME", NAME), ("ZONE", "irp.test"), ("AWS_ENDPOINT_URL", &self.stage.endpoint)])
            .env("IRP_METADATA", self.stage.imds.url())
            .env("IRP_RUN", self.stage.home.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.stage.file("record.log")).unwrap()
    }

    async fn ends(&self, mut child: Child) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{}", self.log());
                return self.log();
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it does not end: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn run(&self, what: &str) -> String {
        self.ends(self.start(what)).await
    }

    /// What it says where it does not come through.
    fn fails(&self, what: &str) -> String {
        let mut child = self.start(what);
        let status = tokio::task::block_in_place(|| child.wait()).unwrap();
        assert_eq!(status.code(), Some(1), "{}", self.log());
        self.log()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_caddys_machine_comes_through_refusals_and_goes_only_where_it_is_ours() {
    let (stage, detour) = detoured().await;
    let own = stage.zone.id.as_str();
    let listed = [("ZINSIDE", "irp.test", true), (own, "irp.test", false), ("ZNEXT", "irp.testing", false)];
    detour.instead("hostedzonesbyname", zones(&listed[2..]));
    detour.always("hostedzonesbyname", zones(&listed));
    detour.instead(RECORD, refusal(400, "Throttling", "Rate exceeded"));
    detour.instead(RECORD, Reply::hang_up());
    stage.imds.remove("public-ipv4");

    // No address yet: nothing is registered, and Caddy waits.
    let recorder = Recorder::of(&stage);
    let upsert = recorder.start("upsert");
    let deadline = Instant::now() + WITHIN;
    while !recorder.log().contains("no public address yet: trying again") {
        assert!(Instant::now() < deadline, "{}", recorder.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(detour.asked(RECORD).is_empty());
    stage.imds.set("public-ipv4", ADDRESS);
    stage.imds.set("ipv6", "2001:db8::7");
    let said = recorder.ends(upsert).await;
    for words in ["no public zones are called irp.test", "400 Throttling", "-> 2001:db8::7, 203.0.113.7"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(stage.record("A").await.unwrap(), [ADDRESS]);
    assert_eq!(stage.record("AAAA").await.unwrap(), ["2001:db8::7"]);

    // An Elastic IP; the same once more changes nothing.
    stage.imds.set("public-ipv4", OTHER_ADDRESS);
    detour.words("/rrset", "INSYNC", "PENDING");
    detour.instead(
        CHANGE,
        Reply::xml("<R><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></R>"),
    );
    let asked = detour.asked(CHANGE).len();
    recorder.run("follow").await;
    assert_eq!(stage.record("A").await.unwrap(), [OTHER_ADDRESS]);
    assert_eq!(detour.asked(CHANGE).len(), asked + 2, "it did not wait until all name servers know");
    let changed = detour.asked("<Action>UPSERT").len();
    recorder.run("follow").await;
    assert_eq!(detour.asked("<Action>UPSERT").len(), changed);

    // Another machine has the one address by now: it stays, and ours goes.
    let taken = "Tried to delete resource record set [name='alice.irp.test.', type='A'] but the values provided do \
                 not match the current values";
    detour.always(RECORD, refusal(400, "InvalidChangeBatch", taken));
    let said = recorder.run("delete").await;
    assert!(said.contains("the A record of alice.irp.test is not ours any more, and stays"), "{said}");
    assert_eq!(stage.record("A").await.unwrap(), [OTHER_ADDRESS]);
    assert_eq!(stage.record("AAAA").await, None);
    assert_eq!(recorder.run("delete").await, "", "it was done already");
}

/// What a machine before has left, of the kind that this one has no address of.
fn leave_behind(stage: &Stage) {
    let values: Vec<Value> =
        ["2001:db8::1", "2001:db8::2"].map(|value| serde_json::json!({ "Value": value })).into();
    let set = serde_json::json!({ "Name": NAME, "Type": "AAAA", "TTL": 300, "ResourceRecords": values });
    let batch = serde_json::json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": set }] });
    let change = ["route53", "change-resource-record-sets", "--hosted-zone-id", &stage.zone.id];
    stage.moto.cli(&[&change[..], &["--change-batch", &batch.to_string()]].concat()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_caddys_machine_clears_what_was_left_and_goes_when_spot_takes_the_machine() {
    let (stage, detour) = detoured().await;
    leave_behind(&stage);
    let recorder = Recorder::of(&stage);
    let said = recorder.run("upsert").await;
    assert!(said.contains("an AAAA record of alice.irp.test was left behind, and is deleted"), "{said}");
    assert_eq!((stage.record("A").await.unwrap(), stage.record("AAAA").await), (vec![ADDRESS.into()], None));

    // An address that comes, and goes again.
    for (ipv6, wanted) in [(Some("2001:db8::7"), Some(vec!["2001:db8::7".to_owned()])), (None, None)] {
        ipv6.map_or_else(|| stage.imds.remove("ipv6"), |ipv6| stage.imds.set("ipv6", ipv6));
        recorder.run("follow").await;
        assert_eq!(stage.record("AAAA").await, wanted);
        assert_eq!(stage.record("A").await.unwrap(), [ADDRESS]);
    }
    // Another address, of which Route 53 hears at the second time.
    stage.imds.set("public-ipv4", OTHER_ADDRESS);
    detour.instead(RECORD, refusal(400, "Throttling", "Rate exceeded"));
    recorder.fails("follow");
    assert_eq!(stage.record("A").await.unwrap(), [ADDRESS]);
    recorder.run("follow").await;
    assert_eq!(stage.record("A").await.unwrap(), [OTHER_ADDRESS]);

    // AWS takes the machine. Route 53 refuses once; the next look comes half a minute later.
    stage.imds.announce_spot_end("2026-11-22T20:00:00Z");
    detour.instead("<Action>DELETE", refusal(400, "Throttling", "Rate exceeded"));
    let said = recorder.fails("follow");
    assert!(
        said.contains("AWS takes this spot machine away") && said.contains("2026-11-22T20:00:00Z"),
        "{said}"
    );
    assert_eq!(stage.record("A").await.unwrap(), [OTHER_ADDRESS]);
    let said = recorder.run("follow").await;
    assert!(said.contains("the A record of alice.irp.test is deleted"), "{said}");
    assert_eq!(stage.record("A").await, None);
    // Nobody brings it back: not the next look, nor who was still about to write it.
    assert_eq!(
        recorder.run("follow").await + &recorder.run("upsert").await + &recorder.run("delete").await,
        ""
    );
    assert_eq!(stage.record("A").await, None);
}

/// A machine's processes, and what is done to end it.
struct Watched<'a> {
    stage: &'a Stage,
    script: PathBuf,
}

impl<'a> Watched<'a> {
    fn of(stage: &'a Stage) -> Self {
        for folder in ["proc", "bin"] {
            fs::create_dir(stage.file(folder)).unwrap();
        }
        let done = stage.file("done").display().to_string();
        let program = |name: &str, text: String| {
            let (draft, file) = (stage.file("draft"), stage.file("bin").join(name));
            fs::write(&draft, text).unwrap();
            // Put there by another program: a file that this process has open for writing, or a fork of it, does not run.
            let install = find("install", "coreutils").unwrap();
            assert!(
                Command::new(install).args(["-m", "755"]).args([&draft, &file]).status().unwrap().success()
            );
            file.display().to_string()
        };
        // Whatever becomes of the record, the machine ends.
        let record = program("record", format!("#!/bin/sh\necho \"record $1\" >>{done}\nexit 1\n"));
        program("systemctl", format!("#!/bin/sh\necho \"$*\" >>{done}\n"));
        let changes = [("/usr/local/lib/irp/record", record.as_str())];
        Self { stage, script: script(stage, "/usr/local/lib/irp/watch", &changes) }
    }

    /// Lets one process be there, and no other: the name of its program, and its title.
    fn process(&self, comm: &str, title: &str) {
        let folder = self.stage.file("proc").join("4242");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("cmdline"), format!("{title}\0\0")).unwrap();
    }

    /// What is done when the last session was over long ago.
    fn look(&self, idle: &str) -> Vec<String> {
        let _ = fs::remove_file(self.stage.file("done"));
        fs::write(self.stage.file("last-seen"), "-1000000.0").unwrap();
        self.look_again(idle)
    }

    fn look_again(&self, idle: &str) -> Vec<String> {
        let status = Command::new(find("python3", "python3").unwrap())
            .arg(&self.script)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.stage.file("bin").display()))
            .env("IRP_PROC", self.stage.file("proc"))
            .env("IRP_RUN", self.stage.home.path())
            .env("IDLE_S", idle)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let done = fs::read_to_string(self.stage.file("done")).unwrap_or_default();
        done.lines().map(ToOwned::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caddys_machine_counts_logins_and_forwards_and_nothing_that_only_looks_like_them() {
    let stage = Stage::set().await;
    let watched = Watched::of(&stage);
    let (ends, stays) = (["record delete", "--no-block poweroff"], ["record follow"]);
    let sessions = [
        ("sshd", "sshd: ec2-user@pts/0"),
        ("sshd", "sshd: admin"),
        ("sshd-session", "sshd-session: ubuntu@notty"),
        ("sshd-session", "/usr/lib/openssh/sshd-session: irp"),
    ];
    for (comm, title) in sessions {
        watched.process(comm, title);
        assert_eq!(watched.look("36"), stays, "{title}");
        // It was seen a moment ago; then nobody is there, and the time begins.
        watched.process("sh", "-sh");
        assert_eq!(watched.look_again("3600").last().unwrap(), "record follow", "{title}");
    }
    let others = [
        ("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"),
        ("sshd", "sshd: ec2-user [net]"),
        ("sshd-session", "sshd-session: [accepted]"),
        ("sshd", "sshd: unknown [priv]"),
        ("python3", "sshd: ec2-user@pts/0"),
        ("ssh", "ssh -N -R 3000:localhost:3000"),
    ];
    for (comm, title) in others {
        watched.process(comm, title);
        assert_eq!(watched.look("36"), ends, "{title}");
        assert_eq!(watched.look("0"), stays, "0 is never: {title}");
    }
    // Not even a record that nobody can take away keeps the machine.
    fs::remove_file(stage.file("bin/record")).unwrap();
    assert_eq!(watched.look("36"), ends[1..]);
}
