//! Several processes with one store.

use irp_edge::certs::{Source, Status};
use irp_testkit::acme::PebbleOptions;

use super::support::{Authority, Running};

#[tokio::test]
async fn keepers_that_share_a_store_order_one_certificate_between_them() {
    let authority = Authority::start(PebbleOptions::default()).await;
    let config = authority.config(&["alice.irp.test"], authority.zone());
    let mut edges: Vec<_> = (0..4).map(|_| Running::start(config.clone(), authority.store())).collect();
    let mut ordered = 0;
    for edge in &mut edges {
        if let Status::Ready { source: Source::Ordered, .. } = edge.ready().await {
            ordered += 1;
        }
    }
    assert_eq!(ordered, 1);
    assert_eq!(authority.pebble.orders(), 1);
    let shown: Vec<_> =
        edges.iter().map(|edge| edge.certificates.for_name(None).unwrap().cert[0].clone()).collect();
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "they do not show the same certificate");
    for edge in edges {
        edge.stop().await;
    }
}
