//! What ends a machine that cannot do its work, or should not do it any longer.

use std::{fs, path::Path};

use irp_testkit::machine::Ended;

use crate::stage::{DOWNLOADS, Stage, WITHIN, on_a_network};

/// The idle time and an hour would be long for a test.
const SOON: &str = "[Timer]\nOnActiveSec=\nOnActiveSec=30s\nAccuracySec=1s\n";

#[test]
fn another_program_than_the_one_that_was_meant_is_refused_and_the_longest_life_ends_the_machine() {
    on_a_network("boothash", || async {
        let stage = Stage::set().await;
        let name = format!("irp-{}", std::env::consts::ARCH);
        stage.offer(&name, Path::new("/bin/true"));
        // The life of 45 s is over long before the ten minutes that are left for a look at a broken machine.
        let mut machine = stage.launch(&format!(
            "EDGE_DL_URL={DOWNLOADS}/{name}\nEDGE_SHA256={}\nMAX_LIFE_HOUR=0.0125\n",
            "0".repeat(64)
        ));
        machine.wait_until("the program is refused", WITHIN, || {
            machine
                .journal()
                .contains("the download is refused: its hash is wrong: this machine ends in 10 minutes")
        });
        assert!(
            !machine.file("/usr/local/bin/irp").exists() && !machine.file("/usr/local/bin/irp.part").exists()
        );
        let timers = machine.ask(&["systemctl", "list-timers", "--no-legend"]);
        assert!(timers.contains("irp-give-up.timer") && timers.contains("irp-dead-man.timer"), "{timers}");
        assert_eq!(stage.record().await, None);
        assert_eq!(machine.end(WITHIN), Ended::PoweredOff, "{}", machine.journal());
    });
}

#[test]
fn an_edge_that_is_killed_and_does_not_come_back_takes_the_machine_with_it() {
    on_a_network("bootdead", || async {
        let stage = Stage::set().await;
        stage.image("/etc/systemd/system/irp-dead-man.timer.d/soon.conf", SOON);
        let mut machine = stage.launch(&stage.offer_edge());
        machine.wait_until("the edge is ready", WITHIN, || {
            machine.ask(&["systemctl", "is-active", "irp-edge.service"]) == "active\n"
        });
        let pid = || machine.ask(&["systemctl", "show", "--property=MainPID", "--value", "irp-edge.service"]);
        let first = pid();
        // Killed, it is started again.
        machine.run(&["systemctl", "kill", "--signal=KILL", "irp-edge.service"]).unwrap();
        machine.wait_until("the edge is back", WITHIN, || {
            ![first.as_str(), "0\n", ""].contains(&pid().as_str())
        });
        // Its program is gone: it is started again for ever, and in vain.
        fs::remove_file(machine.file("/usr/local/bin/irp")).unwrap();
        machine.run(&["systemctl", "kill", "--signal=KILL", "irp-edge.service"]).unwrap();
        assert_eq!(machine.end(WITHIN), Ended::PoweredOff, "{}", machine.journal());
        assert!(machine.journal().contains("power this machine off"), "{}", machine.journal());
    });
}
