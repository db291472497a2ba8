//! The certificate authority of `irp up --local`.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use irp_edge::certs::{Certificates, Clock as _, LocalCa, Names, SystemClock, local::LEAF_LASTS};
use irp_testkit::process::find;
use tokio_util::sync::CancellationToken;

use super::support::{HandClock, LOOPBACK, SOON, echo, listen_tls, visit};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn alice() -> Names {
    Names::new(["alice.localhost"]).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn its_certificate_is_good_for_the_name_for_localhost_and_for_both_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let ca = LocalCa::open_or_create(&dir.path().join("ca"), SystemTime::now()).unwrap();
    let certificates = Certificates::new();
    certificates.install(&ca.issue(&alice(), SystemTime::now()).unwrap());
    let address = listen_tls(SocketAddr::new(LOOPBACK, 0), certificates).await;
    for name in ["alice.localhost", "localhost", "127.0.0.1", "::1"] {
        echo(&mut visit(address, name, ca.certificate_pem()).await.unwrap()).await;
    }
    assert!(visit(address, "bob.localhost", ca.certificate_pem()).await.is_err());
}

#[test]
fn openssl_accepts_the_chain_and_its_constraints() {
    let openssl = find("openssl", "openssl").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = LocalCa::open_or_create(dir.path(), SystemTime::now()).unwrap();
    let leaf = ca.issue(&alice(), SystemTime::now()).unwrap();
    let der = dir.path().join("leaf.der");
    std::fs::write(&der, leaf.leaf()).unwrap();
    for (flag, name) in [
        ("-verify_hostname", "alice.localhost"),
        ("-verify_hostname", "localhost"),
        ("-verify_ip", "127.0.0.1"),
        ("-verify_ip", "::1"),
    ] {
        let output = Command::new(&openssl)
            .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
            .arg(ca.path())
            .args([flag, name])
            .arg(&der)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn it_is_made_once_and_its_files_are_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("deep/ca");
    let now = SystemTime::now();
    let first = LocalCa::open_or_create(&dir, now).unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("ca.key")), 0o600);
    assert_eq!(first.path(), dir.join("ca.pem"));
    let again = LocalCa::open_or_create(&dir, now + 9 * YEAR).unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    // Close to its end it would cut the life of what it signs short.
    let successor = LocalCa::open_or_create(&dir, now + 10 * YEAR).unwrap();
    assert_ne!(first.certificate_pem(), successor.certificate_pem());
}

#[test]
fn programs_that_start_at_once_get_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let made: Vec<_> = std::thread::scope(|scope| {
        let open =
            || LocalCa::open_or_create(dir.path(), SystemTime::now()).unwrap().certificate_pem().to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn it_signs_for_nothing_but_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let ca = LocalCa::open_or_create(dir.path(), SystemTime::now()).unwrap();
    for name in ["example.com", "localhost.example.com", "notlocalhost"] {
        let refused = ca.issue(&Names::new([name]).unwrap(), SystemTime::now());
        assert!(refused.unwrap_err().to_string().contains("not below localhost"));
    }
}

#[test]
fn a_damaged_file_is_named_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    LocalCa::open_or_create(dir.path(), SystemTime::now()).unwrap();
    let key = dir.path().join("ca.key");
    std::fs::write(&key, "scribble").unwrap();
    let error = LocalCa::open_or_create(dir.path(), SystemTime::now()).unwrap_err().to_string();
    assert!(error.contains("ca.key") && error.contains("delete it"), "{error}");
    assert_eq!(std::fs::read_to_string(key).unwrap(), "scribble");
}

#[tokio::test]
async fn a_program_that_runs_for_months_renews_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::at(SystemClock.now());
    let ca = LocalCa::open_or_create(dir.path(), clock.now()).unwrap();
    let certificates = Certificates::new();
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (certificates, stop) = (certificates.clone(), stop.clone());
        let clock: std::sync::Arc<dyn irp_edge::certs::Clock> = std::sync::Arc::new(clock.clone());
        async move { ca.keep(&alice(), &certificates, &clock, &stop).await }
    });
    let shown = || certificates.for_name(None).map(|key| key.cert[0].clone());
    let until = |wanted: Box<dyn Fn() -> bool>| async move {
        tokio::time::timeout(SOON, async {
            while !wanted() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    let table = certificates.clone();
    until(Box::new(move || !table.is_empty())).await;
    let first = shown();
    clock.advance(LEAF_LASTS * 3 / 4);
    let (table, old) = (certificates.clone(), first.clone());
    until(Box::new(move || table.for_name(None).map(|key| key.cert[0].clone()) != old)).await;
    assert_ne!(shown(), first);
    stop.cancel();
    task.await.unwrap().unwrap();
}
