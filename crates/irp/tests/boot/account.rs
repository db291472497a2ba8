//! From an account that has nothing but a zone to a URL, and to a machine that has ended itself: `irp setup`, `irp up`, and
//! what comes of them without anybody's help.

use std::process::Command;

use irp_testkit::{machine::Machine, origin::Origin, process::find, running::Running};
use serde_json::{Value, json};

use crate::stage::{NAME, Stage, on_a_network};

/// `irp up` to a program, and the machine that it has launched or found.
struct Up {
    running: Running,
    machine: Value,
}

impl Up {
    fn start(stage: &Stage, origin: &Origin) -> Self {
        let port = origin.port().to_string();
        let command = stage.irp(&["--json", "up", &port, "--cacert", stage.root()]);
        let mut running = Running::start(command, stage.path("up.log"));
        let machine = running.event("machine");
        Self { running, machine }
    }

    fn text(&self, key: &str) -> &str {
        self.machine[key].as_str().unwrap()
    }

    /// Switches the machine on, which moto only writes down, at the address that moto has given it.
    fn boot(&self, stage: &Stage) -> Machine {
        let address = format!("{}/32", self.text("address"));
        let ip = find("ip", "iproute2").unwrap();
        let added = Command::new(ip).args(["address", "add", &address, "dev", "eth0"]).status().unwrap();
        assert!(added.success());
        stage.boot(self.text("id"), self.text("address"))
    }

    /// Its URL answers with what the program says.
    async fn serves(&mut self, stage: &Stage, machine: &Machine, origin: &Origin) {
        let certificate = self.running.event("certificate");
        assert!(certificate["issuer"].as_str().unwrap().starts_with("Pebble"), "{certificate}");
        assert_eq!(self.running.event("url")["url"], json!(format!("https://{NAME}")));
        let before = origin.counters().seen();
        stage.answers(machine, "/page", 200).await;
        assert_eq!(origin.counters().seen(), before + 1);
        assert_eq!(stage.record().await.unwrap(), [self.text("address")]);
    }
}

#[test]
fn an_account_with_a_zone_becomes_a_url_and_the_next_launch_orders_no_certificate() {
    on_a_network("bootup", || async {
        let stage = Stage::set().await;
        // 36 s after the last session.
        let env = format!(
            "HOSTED_ZONE_DOMAIN=irp.test\nSHUTDOWN_TIMER_HOUR=0.01\nACME_DIRECTORY={}\n",
            stage.pebble.directory_url
        );
        std::fs::write(stage.path(".env"), env).unwrap();
        let setup = stage.irp(&["setup"]).output().unwrap();
        assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));

        let origin = Origin::start();
        let mut up = Up::start(&stage, &origin);
        assert_eq!(up.machine["launched"], true);
        let mut machine = up.boot(&stage);
        up.serves(&stage, &machine, &origin).await;
        assert_eq!(stage.pebble.orders(), 1, "{}", stage.pebble.log());

        // The laptop is gone, and says nothing. Nobody does anything from here on.
        up.running.kill();
        stage.is_over(&mut machine).await;
        // What EC2 does, since the order said so.
        let first = up.machine["id"].as_str().unwrap().to_owned();
        let attribute = ["--attribute", "instanceInitiatedShutdownBehavior", "--instance-id", &first];
        let behaviour =
            stage.moto.cli(&[&["ec2", "describe-instance-attribute"], &attribute[..]].concat()).unwrap();
        assert_eq!(behaviour["InstanceInitiatedShutdownBehavior"]["Value"], "terminate");
        stage.moto.cli(&["ec2", "terminate-instances", "--instance-ids", &first]).unwrap();

        // The next day: another machine, another address, the same certificate.
        let mut up = Up::start(&stage, &origin);
        assert_eq!(up.machine["launched"], true);
        assert_ne!(up.text("id"), first);
        let mut machine = up.boot(&stage);
        up.serves(&stage, &machine, &origin).await;
        let pebble = &stage.pebble;
        assert_eq!(
            (pebble.orders(), pebble.certificates(), pebble.accounts()),
            (1, 1, 1),
            "{}",
            pebble.log()
        );
        // The program went to the bucket once.
        let bucket = ["s3api", "list-objects-v2", "--bucket", "irp-123456789012-eu-central-1"];
        let objects = stage.moto.cli(&bucket).unwrap();
        assert_eq!(objects["Contents"].as_array().unwrap().len(), 1, "{objects}");

        up.running.interrupt();
        assert_eq!(up.running.end().code(), Some(0));
        stage.is_over(&mut machine).await;
        let left = stage.irp(&["--json", "gc"]).output().unwrap();
        let left = String::from_utf8(left.stdout).unwrap();
        assert_eq!(left.lines().last().unwrap(), r#"{"event":"gc","found":0,"removed":0}"#, "{left}");
    });
}
