//! The contract of [`Store`], which every store has to pass: of files, of Parameter Store, of S3.

use std::{sync::Arc, time::SystemTime};

use irp_edge::certs::{
    Store,
    lease::{Acquired, LASTS, acquire},
    store::{BlobName, MAX_BLOB, Version, When, Written},
};

pub(crate) fn name(name: &str) -> BlobName {
    BlobName::parse(name).unwrap()
}

pub(crate) fn done(written: Written) -> Version {
    match written {
        Written::Done(version) => version,
        Written::Refused => panic!("refused"),
    }
}

/// What any store promises; `store` is empty.
pub(crate) async fn contract(store: Arc<dyn Store>) {
    let (a, b) = (name("a"), name("b-1.x"));
    assert!(store.get(&a).await.unwrap().is_none());
    assert_eq!(store.delete(&a, When::Unchanged(Version("1".into()))).await.unwrap(), Written::Refused);

    // Absent, and only once.
    let first = done(store.put(&a, b"one", When::Absent).await.unwrap());
    assert_eq!(store.put(&a, b"two", When::Absent).await.unwrap(), Written::Refused);
    let blob = store.get(&a).await.unwrap().unwrap();
    assert_eq!((blob.bytes(), blob.version()), (&b"one"[..], &first));

    // Unchanged, and no longer once it is changed.
    let second = done(store.put(&a, b"two", When::Unchanged(first.clone())).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(store.put(&a, b"three", When::Unchanged(first.clone())).await.unwrap(), Written::Refused);
    assert_eq!(store.delete(&a, When::Unchanged(first)).await.unwrap(), Written::Refused);
    assert_eq!(store.get(&a).await.unwrap().unwrap().bytes(), b"two");

    // Always; empty and large blobs; a list by prefix.
    done(store.put(&b, b"", When::Always).await.unwrap());
    let large = vec![0xa5; MAX_BLOB];
    done(store.put(&b, &large, When::Always).await.unwrap());
    assert_eq!(store.get(&b).await.unwrap().unwrap().bytes(), large);
    assert_eq!(store.list("").await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.list("b-").await.unwrap(), std::slice::from_ref(&b));

    done(store.delete(&a, When::Unchanged(second)).await.unwrap());
    assert!(store.get(&a).await.unwrap().is_none());

    lease_contract(&*store).await;
}

/// Of many that race exactly one wins.
pub(crate) async fn race(store: Arc<dyn Store>) {
    let racers = (0..16u8).map(|racer| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&name("race"), &[racer], When::Absent).await.unwrap() })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap() != Written::Refused);
    }
    assert_eq!(won, 1);
}

async fn lease_contract(store: &dyn Store) {
    let lease = name("lease");
    let now = SystemTime::now();
    let Acquired::Held(mut held) = acquire(store, &lease, "one", now).await.unwrap() else { panic!("busy") };
    let busy = acquire(store, &lease, "two", now + LASTS / 2).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { until } if until <= now + LASTS), "{busy:?}");

    // Extended it lasts longer; once it has ended another one takes it, and the first one learns so.
    assert!(held.extend(store, now + LASTS / 2).await.unwrap());
    assert!(matches!(acquire(store, &lease, "two", now + LASTS).await.unwrap(), Acquired::Busy { .. }));
    let later = now + LASTS * 2;
    let Acquired::Held(second) = acquire(store, &lease, "two", later).await.unwrap() else { panic!("busy") };
    assert!(!held.extend(store, later).await.unwrap());
    held.release(store).await.unwrap();
    assert!(matches!(acquire(store, &lease, "three", later).await.unwrap(), Acquired::Busy { .. }));
    second.release(store).await.unwrap();
    assert!(matches!(acquire(store, &lease, "three", later).await.unwrap(), Acquired::Held(_)));

    // One that cannot be sane binds nobody.
    for nonsense in [&b"?"[..], br#"{"owner":"x","ends":99999999999999}"#] {
        done(store.put(&lease, nonsense, When::Always).await.unwrap());
        assert!(matches!(acquire(store, &lease, "four", later).await.unwrap(), Acquired::Held(_)));
    }
}
