//! Engine `irp`.

use irp_testkit::{machine::Ended, origin::Origin};

use crate::{
    program::{Program, irp},
    stage::{ADDRESS, NAME, OTHER_ADDRESS, Stage, WITHIN, cloud_init_is_done, on_a_network},
};

/// What the original's `.env` has beside the names; the language is one that no image can make.
const ENV: &str = "UPSTREAM_PORT=3000\nLOCALE=xx_YY.UTF-8\nTIMEZONE=Asia/Tokyo\n";

/// A client that is connected.
fn connect(stage: &Stage, address: &str, origin: &Origin) -> Program {
    let (upstream, address) = (origin.address().to_string(), format!("{address}:443"));
    let arguments =
        ["--json", "connect", NAME, &upstream, "--connect-to", &address, "--cacert", stage.root()];
    let client = Program::start(irp(stage.home.path(), &arguments), stage.path("client.log"));
    client.event("connected", WITHIN);
    client
}

#[test]
fn a_machine_of_engine_irp_serves_starts_again_and_ends_when_nobody_is_there() {
    on_a_network("bootirp", || async {
        let stage = Stage::set().await;
        // 36 s after the last session: nobody may be late with the first one.
        let mut machine = stage.launch(&format!("{}{ENV}SHUTDOWN_TIMER_HOUR=0.01\n", stage.offer_edge()));
        let origin = Origin::start();
        stage.answers(&machine, "/", 503).await;
        assert_eq!(stage.record().await.unwrap(), [ADDRESS]);
        let client = connect(&stage, ADDRESS, &origin);
        stage.answers(&machine, "/page", 200).await;
        assert_eq!(origin.counters().seen(), 1);

        cloud_init_is_done(&machine);
        let failed = machine.ask(&["systemctl", "--failed", "--plain", "--no-legend"]);
        assert_eq!(failed, "", "{}", machine.journal());
        machine.wait_until("the clock shows the zone's time", WITHIN, || {
            machine.ask(&["readlink", "/etc/localtime"]) == "/usr/share/zoneinfo/Asia/Tokyo\n"
        });
        machine.wait_until("the locale is given up", WITHIN, || {
            machine.journal().contains("this image cannot make the locale xx_YY.UTF-8: it stays as it is")
        });
        // The edge has put the dead-man timer off: it is not the one that the boot has started.
        machine.wait_until("the dead-man timer is renewed", WITHIN, || {
            machine.journal().contains("renew the dead-man timer")
        });

        // Switched off and on again by somebody, it has another address; nothing of user-data runs anew.
        machine.run(&["systemctl", "--no-block", "reboot"]).unwrap();
        assert_eq!(machine.end(WITHIN), Ended::Rebooted, "{}", machine.journal());
        drop(client);
        assert_eq!(stage.record().await, None, "the record is there while the machine is off");
        stage.imds.set("public-ipv4", OTHER_ADDRESS);
        machine.boot().unwrap();
        stage.answers(&machine, "/", 503).await;
        assert_eq!(stage.record().await.unwrap(), [OTHER_ADDRESS]);
        let client = connect(&stage, OTHER_ADDRESS, &origin);
        stage.answers(&machine, "/page", 200).await;
        assert_eq!(stage.pebble.orders(), 1, "{}", stage.pebble.log());

        drop(client);
        stage.is_over(&mut machine).await;
    });
}
