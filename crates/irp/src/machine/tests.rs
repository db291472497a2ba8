//! The ports filled with AWS, against moto, an emulated metadata service and pebble.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use irp_aws::{AccessKey, Aws, Imds, Options, Pace, s3::Bucket};
use irp_edge::certs::{
    AcmeConfig, Certificates, Challenge, Dns, FileStore, Identity, Keeper, Names, Source, Status, Store,
    SystemClock,
    solve::DnsError,
    store::{When, Written},
};
use irp_edge::{
    inbox::{Seal, Vault as _},
    notices::Notices,
    power::Presence as _,
    troubles::Troubles,
};
use irp_testkit::{
    acme::{Pebble, PebbleOptions},
    detour::Detour,
    dns::Responder,
    imds::Imds as Emulated,
    moto::{KEY_ID, Moto, REGION, SECRET},
    scripted::Reply,
};
use irp_wire::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::{
    contract::{contract, done, name, race},
    mirror::Mirror,
    record::RecordKeeper,
    s3_store::S3Store,
    ssm_store::SsmStore,
    vault::S3Vault,
    zone::{Named, Zone},
};

struct World {
    aws: Aws,
    moto: Moto,
    dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let moto = Moto::start(dir.path()).unwrap();
    World { aws: Aws::load(options(&moto.url())).await.unwrap(), moto, dir }
}

fn options(endpoint: &str) -> Options {
    Options {
        region: Some(REGION.into()),
        endpoint_url: Some(endpoint.into()),
        credentials: Some(AccessKey { id: KEY_ID.into(), secret: SECRET.into(), session_token: None }),
        pace: Pace::brisk(),
        ..Options::default()
    }
}

#[tokio::test]
async fn the_store_in_parameters_keeps_the_contract() {
    let world = world().await;
    let store = Arc::new(SsmStore::new(world.aws.ssm(), "alice.example.com", None));
    contract(store.clone()).await;
    race(store.clone()).await;

    // Another name sees nothing of it, nothing is readable in the clear, and old generations go.
    let other = SsmStore::new(world.aws.ssm(), "alice.example.co", None);
    assert!(other.list("").await.unwrap().is_empty());
    let blob = name("certificate");
    let large = vec![7; 20_000];
    for _ in 0..4 {
        done(store.put(&blob, &large, When::Always).await.unwrap());
    }
    let path = "/irp/cert/alice.example.com/certificate";
    let seen = world.moto.cli(&["ssm", "get-parameters-by-path", "--path", path, "--recursive"]).unwrap();
    let seen = seen["Parameters"].as_array().unwrap();
    assert!(seen.iter().all(|parameter| parameter["Type"] == "SecureString"));
    let heads = seen.iter().filter(|parameter| parameter["Name"].as_str().unwrap().contains("/g0"));
    assert_eq!(heads.count(), 2, "the last two generations");
    assert!(seen.len() < 20, "{}", seen.len());
}

const READING: &str = "GetParametersByPath";

#[tokio::test]
async fn a_store_whose_writes_are_shown_late_keeps_the_contract() {
    let world = world().await;
    let detour = Detour::start(world.moto.address()).await.unwrap();
    let aws = Aws::load(options(&detour.url())).await.unwrap();
    detour.late(READING, Duration::from_secs(5));
    let store = Arc::new(SsmStore::new(aws.ssm(), "alice.example.com", None));
    contract(store.clone()).await;
    race(store.clone()).await;
    detour.straight(READING);

    // Another process sees what was there before: it overtakes nobody, and comes through where it is to in any case.
    detour.late(READING, Duration::from_secs(3600));
    let (blob, other) = (name("shared"), SsmStore::new(aws.ssm(), "alice.example.com", None));
    assert!(other.get(&blob).await.unwrap().is_none());
    done(store.put(&blob, b"one", When::Absent).await.unwrap());
    assert!(other.get(&blob).await.unwrap().is_none(), "it is shown at once");
    assert_eq!(other.put(&blob, b"two", When::Absent).await.unwrap(), Written::Refused);
    let written = || detour.asked("PutParameter").len();
    let before = written();
    let shown = async {
        while written() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        detour.straight(READING);
    };
    let (put, ()) = tokio::join!(other.put(&blob, b"three", When::Always), shown);
    done(put.unwrap());
    for store in [&*store, &other] {
        assert_eq!(store.get(&blob).await.unwrap().unwrap().bytes(), b"three");
    }
}

#[tokio::test]
async fn machines_of_one_name_that_begin_at_once_agree_though_writes_are_shown_late() {
    let world = world().await;
    let detour = Detour::start(world.moto.address()).await.unwrap();
    let aws = Aws::load(options(&detour.url())).await.unwrap();
    detour.late(READING, Duration::from_secs(2));
    let name = "alice.example.com".parse().unwrap();
    let stores = [(); 3].map(|()| SsmStore::new(aws.ssm(), "alice.example.com", None));
    let keys = [(); 3].map(|()| SsmStore::of_inbox(aws.ssm(), &name, None));
    let identities = join_all(stores.iter().map(|store| Identity::open_or_create(store)));
    let (identities, seals) = tokio::join!(identities, join_all(keys.iter().map(|store| Seal::of(store))));
    let identities: Vec<_> = identities.into_iter().map(|identity| *identity.unwrap().public()).collect();
    assert!(identities.iter().all(|public| *public == identities[0]), "{identities:?}");
    let sealed = seals[0].as_ref().unwrap().seal(1, b"event".to_vec()).unwrap();
    for seal in seals {
        assert_eq!(seal.unwrap().open(1, &sealed).unwrap(), b"event");
    }
}

#[tokio::test]
async fn a_write_comes_through_throttling_and_a_refusal_names_the_action() {
    let world = world().await;
    let detour = Detour::start(world.moto.address()).await.unwrap();
    let aws = Aws::load(options(&detour.url())).await.unwrap();
    let store = SsmStore::new(aws.ssm(), "alice.example.com", None);
    let blob = name("order");
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let busy = r#"{"__type":"TooManyUpdates","message":"There are concurrent updates for a resource"}"#;
    for (mark, code) in
        [("PutParameter", throttled), ("PutParameter", busy), ("GetParametersByPath", throttled)]
    {
        detour.instead(mark, Reply::json(400, code));
    }
    done(store.put(&blob, b"url", When::Always).await.unwrap());
    assert_eq!(store.get(&blob).await.unwrap().unwrap().bytes(), b"url");

    // The role lacks its right: an error that names the action, and nothing is changed.
    let denied = r#"{"__type":"AccessDeniedException","Message":"User: x is not authorized to perform: ssm:PutParameter"}"#;
    detour.always("PutParameter", Reply::json(400, denied));
    let error = store.put(&blob, b"other", When::Always).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.starts_with("ssm:PutParameter was refused: AccessDeniedException"), "{source}");
    assert_eq!(store.get(&blob).await.unwrap().unwrap().bytes(), b"url");
}

#[tokio::test]
async fn the_store_in_a_bucket_keeps_the_contract() {
    let world = world().await;
    let bucket: Bucket = "irp-certificates".parse().unwrap();
    world.aws.s3().create_bucket(&bucket).await.unwrap();
    let s3 = world.aws.s3();
    // Moto checks conditions without a lock, so it cannot show who wins a race.
    contract(Arc::new(S3Store::new(s3, bucket, "cert", "alice.example.com", None))).await;
}

#[tokio::test]
async fn the_key_of_the_inbox_is_made_once_however_many_machines_begin() {
    let world = world().await;
    let name = "alice.example.com".parse().unwrap();
    let store = || SsmStore::of_inbox(world.aws.ssm(), &name, None);
    contract(Arc::new(store())).await;
    let stores = [store(), store(), store()];
    let seals = join_all(stores.iter().map(|store| Seal::of(store))).await;
    let sealed = seals[0].as_ref().unwrap().seal(1, b"event".to_vec()).unwrap();
    for seal in seals {
        assert_eq!(seal.unwrap().open(1, &sealed).unwrap(), b"event");
    }
    let path = "/irp/inbox/alice.example.com/inbox-key";
    let seen = world.moto.cli(&["ssm", "get-parameters-by-path", "--path", path, "--recursive"]).unwrap();
    let seen = seen["Parameters"].as_array().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|parameter| parameter["Type"] == "SecureString"), "{seen:?}");
}

#[tokio::test]
async fn what_a_machine_leaves_is_there_for_the_next_and_only_where_there_is_a_bucket() {
    let world = world().await;
    let (name, other) = ("alice.example.com".parse().unwrap(), "alice.example.co".parse().unwrap());
    let bucket: Bucket = "irp-123456789012-eu-central-1".parse().unwrap();
    let s3 = || world.aws.s3().owned_by("123456789012");
    assert!(S3Vault::open(s3(), bucket.clone(), &name, None).await.is_none());
    world.aws.s3().create_bucket(&bucket).await.unwrap();
    let vault = S3Vault::open(s3(), bucket.clone(), &name, None).await.unwrap();
    assert!(vault.list().await.unwrap().is_empty());
    // Both are there: one that was not taken in is not overwritten.
    vault.save(b"first".to_vec()).await.unwrap();
    vault.save(b"second".to_vec()).await.unwrap();
    let names = S3Vault::open(s3(), bucket.clone(), &name, None).await.unwrap().list().await.unwrap();
    assert_eq!(names, vault.list().await.unwrap());
    let mut found = Vec::new();
    for name in &names {
        found.push(vault.load(name).await.unwrap().unwrap());
    }
    found.sort();
    assert_eq!(found, [&b"first"[..], b"second"]);
    vault.remove(&names[0]).await.unwrap();
    assert_eq!(vault.load(&names[0]).await.unwrap(), None);
    assert_eq!(vault.list().await.unwrap(), names[1..]);
    assert!(
        S3Vault::open(s3(), bucket.clone(), &other, None).await.unwrap().list().await.unwrap().is_empty()
    );

    // A bucket that only does not answer may be there in the end.
    let away = options(&format!("http://127.0.0.1:{}", irp_testkit::port::unused().unwrap()));
    let away = S3Vault::open(Aws::load(away).await.unwrap().s3(), bucket, &name, None).await.unwrap();
    let error = away.list().await.unwrap_err();
    assert!(
        error.to_string().contains("s3://irp-123456789012-eu-central-1/inbox/alice.example.com/"),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_with_a_copy_keeps_the_contract_and_reads_when_the_original_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let copy = || FileStore::open(&dir.path().join("copy")).unwrap();
    let original = Arc::new(FileStore::open(&dir.path().join("original")).unwrap());
    let mirror = Mirror::new(original, copy());
    contract(Arc::new(mirror)).await;

    // Nobody listens there.
    let away = options(&format!("http://127.0.0.1:{}", irp_testkit::port::unused().unwrap()));
    let away = SsmStore::new(Aws::load(away).await.unwrap().ssm(), "alice.example.com", None);
    let (kept, other) = (name("kept"), name("other"));
    done(copy().put(&kept, b"yes", When::Always).await.unwrap());
    let mirror = Mirror::new(Arc::new(away), copy());
    let blob = mirror.get(&kept).await.unwrap().unwrap();
    assert_eq!(blob.bytes(), b"yes");
    mirror.get(&other).await.unwrap_err();
    mirror.put(&kept, b"no", When::Always).await.unwrap_err();
    assert_eq!(copy().get(&kept).await.unwrap().unwrap().bytes(), b"yes");
}

#[tokio::test]
async fn records_follow_the_address_and_go_with_the_machine_only_if_they_are_ours() {
    let world = world().await;
    let route53 = world.aws.route53();
    let (zone, _) = route53.create_zone("example.com", "one").await.unwrap();
    let zone = zone.zone.id;
    let emulated = Emulated::start().await.unwrap();
    emulated.set("public-ipv4", "203.0.113.7");
    emulated.set("ipv6", "2001:db8::7");
    let keeper = |named| {
        let own = Arc::new(Zone::new(world.aws.route53(), named));
        let names = vec!["alice.example.com".parse().unwrap(), "bob.example.com".parse().unwrap()];
        RecordKeeper::new(Imds::new(&emulated.url()).unwrap(), Some(own), names, 60)
    };
    let first = keeper(Named::Name("example.com".into()));
    let notices = Notices::default();
    let mut reader = notices.reader();
    let tasks = Tasks::new();
    let ends_soon = CancellationToken::new();
    tasks.spawn(first.clone().run(notices, Troubles::default(), ends_soon.clone(), tasks.token().clone()));
    let value = async |name: &str, kind: &str| {
        let set = route53.record_set(&zone, name, kind).await.unwrap();
        set.map(|set| (set.ttl, set.values.join(" ")))
    };
    let becomes = async |name: &str, kind: &str, wanted: &str| {
        let waiting = async {
            while value(name, kind).await != Some((60, wanted.to_owned())) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect(wanted);
    };
    becomes("alice.example.com", "A", "203.0.113.7").await;
    becomes("bob.example.com", "AAAA", "2001:db8::7").await;

    // An Elastic IP is attached.
    emulated.set("public-ipv4", "203.0.113.99");
    becomes("bob.example.com", "A", "203.0.113.99").await;
    emulated.recommend_rebalance("2026-11-22T19:00:00Z");
    let told = tokio::time::timeout(Duration::from_secs(30), reader.next()).await.unwrap();
    assert!(told.contains("rebalance"), "{told}");

    // Another machine has taken one name; the restart of the service leaves everything.
    tasks.shutdown(Duration::from_secs(2)).await;
    assert!(!ends_soon.is_cancelled());
    let theirs = Zone::new(world.aws.route53(), Named::Id(zone.clone()));
    theirs.point("alice.example.com", "A", 60, "198.51.100.1").await.unwrap().unwrap();
    first.withdraw().await;
    assert_eq!(value("alice.example.com", "A").await, Some((60, "198.51.100.1".into())));
    assert_eq!(value("bob.example.com", "A").await, None);
    assert_eq!(value("alice.example.com", "AAAA").await, None);

    // Spot: the names go at once, and clients hear it.
    let second = keeper(Named::Id(zone.clone()));
    let notices = Notices::default();
    let mut reader = notices.reader();
    let tasks = Tasks::new();
    tasks.spawn(second.run(notices, Troubles::default(), ends_soon.clone(), tasks.token().clone()));
    becomes("bob.example.com", "A", "203.0.113.99").await;
    emulated.announce_spot_end("2026-11-22T20:00:00Z");
    let told = async { while !reader.next().await.contains("2026-11-22T20:00:00Z") {} };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("the notice");
    assert!(ends_soon.is_cancelled());
    let gone = async {
        while value("bob.example.com", "A").await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the record goes");
    tasks.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn challenges_are_quoted_kept_apart_and_taken_down_exactly() {
    let world = world().await;
    let route53 = world.aws.route53();
    let (made, _) = route53.create_zone("example.com", "one").await.unwrap();
    let zone = Zone::new(world.aws.route53(), Named::Name("example.com".into()));
    let record = "_acme-challenge.alice.example.com";
    let values =
        async || route53.record_set(&made.zone.id, record, "TXT").await.unwrap().map(|set| set.values);
    zone.set_txt(record, "one").await.unwrap();
    zone.set_txt(record, "two").await.unwrap();
    zone.set_txt(record, "two").await.unwrap();
    zone.wait_visible(record, "two").await.unwrap();
    assert_eq!(values().await.unwrap(), ["\"one\"", "\"two\""]);
    zone.clear_txt(record, "one").await.unwrap();
    zone.clear_txt(record, "one").await.unwrap();
    assert_eq!(values().await.unwrap(), ["\"two\""]);
    zone.clear_txt(record, "two").await.unwrap();
    assert_eq!(values().await, None);

    let missing = Zone::new(world.aws.route53(), Named::Name("example.org".into()));
    let error = missing.set_txt("_acme-challenge.example.org", "x").await.unwrap_err();
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("no public Route 53 zone"),
        "{error:?}"
    );
}

/// The responder of the testkit as a zone: moto answers no DNS queries.
#[derive(Debug)]
struct Answering(Arc<Responder>);

impl Dns for Answering {
    fn set_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.0.add_txt(name, value);
        Box::pin(async { Ok(()) })
    }

    fn clear_txt<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        self.0.remove_txt(name, value);
        Box::pin(async { Ok(()) })
    }

    fn wait_visible<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), DnsError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn launching_the_same_name_ten_times_orders_one_certificate() {
    let world = world().await;
    let dns = Arc::new(Responder::start().await.unwrap());
    let options = PebbleOptions { dns: Some(dns.address()), ..PebbleOptions::default() };
    let pebble = Pebble::start(world.dir.path(), &options).unwrap();
    let mut ordered = 0;
    for _ in 0..10 {
        // Each launch is a new machine: nothing but Parameter Store is left of the one before.
        let config = AcmeConfig {
            directory_url: pebble.directory_url.clone(),
            contact: None,
            extra_roots_pem: Some(std::fs::read_to_string(&pebble.root_pem).unwrap()),
            challenge: Challenge::Dns01(Arc::new(Answering(Arc::clone(&dns)))),
            names: Names::new(["alice.example.com"]).unwrap(),
        };
        let store = Arc::new(SsmStore::new(world.aws.ssm(), "alice.example.com", None));
        let keeper = Keeper::new(config, store, Certificates::new(), Arc::new(SystemClock)).unwrap();
        let (mut status, stop, tasks) = (keeper.status(), CancellationToken::new(), Tasks::new());
        tasks.spawn(keeper.run(stop.clone()));
        let ready = status.wait_for(|status| matches!(status, Status::Ready { .. }));
        let ready = tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap().unwrap().clone();
        ordered += usize::from(matches!(ready, Status::Ready { source: Source::Ordered, .. }));
        stop.cancel();
        tasks.shutdown(Duration::from_secs(10)).await;
    }
    assert_eq!((ordered, pebble.orders(), pebble.certificates()), (1, 1, 1));
}
