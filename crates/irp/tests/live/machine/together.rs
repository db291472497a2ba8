//! Two machines of one name that boot at the same moment, while AWS shows late what is written.

use std::{fs, time::Duration};

use irp_testkit::{detour::Detour, origin::Origin};

use super::stage::{NAME, Stage};
use crate::program::{Running, irp};

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_that_boot_at_once_are_one_edge_and_order_one_certificate() {
    let mut stage = Stage::set().await;
    let detour = Detour::start(stage.moto.address()).await.unwrap();
    stage.endpoint = detour.url();
    detour.late("GetParametersByPath", Duration::from_secs(2));
    let other = stage.file("other");
    fs::create_dir(&other).unwrap();
    let first = stage.boot(1.0);
    let second = stage.boot_beside(&other, 1.0);
    for edge in [&first, &second] {
        stage.serves(edge, &stage.root).await;
    }
    let pebble = &stage.pebble;
    assert_eq!((pebble.orders(), pebble.certificates()), (1, 1), "{}\n{}", pebble.log(), stage.log());

    // A client that has pinned the one knows the other: it would refuse a stranger.
    let origin = Origin::start();
    for edge in [&first, &second] {
        let (address, upstream) = (edge.address.to_string(), origin.port().to_string());
        let way = ["--connect-to", &address, "--cacert", &stage.root];
        let arguments = [&["--json", "connect", NAME, &upstream], &way[..]].concat();
        let mut client = Running::start(irp(stage.home.path(), &arguments), stage.file("client.log"));
        client.event("connected");
        client.interrupt();
        assert_eq!(client.end().code(), Some(0));
    }
    first.stop();
    second.stop();
}
