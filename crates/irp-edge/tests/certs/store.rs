//! The contract of [`Store`], which every store has to pass, and what only files can show.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::SystemTime};

use irp_edge::certs::{
    FileStore, Identity, Store,
    lease::{Acquired, LASTS, acquire},
    store::{BlobName, MAX_BLOB, When, Written},
};
use secrecy::ExposeSecret as _;

fn name(name: &str) -> BlobName {
    BlobName::parse(name).unwrap()
}

fn done(written: Written) -> irp_edge::certs::store::Version {
    match written {
        Written::Done(version) => version,
        Written::Refused => panic!("refused"),
    }
}

/// What any store promises; `store` is empty.
async fn contract(store: Arc<dyn Store>) {
    let (a, b) = (name("a"), name("b-1.x"));
    assert!(store.get(&a).await.unwrap().is_none());
    assert_eq!(
        store.delete(&a, When::Unchanged(irp_edge::certs::store::Version("1".into()))).await.unwrap(),
        Written::Refused
    );

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

    // Of many that race exactly one wins.
    let racers = (0..16u8).map(|racer| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&name("race"), &[racer], When::Absent).await.unwrap() })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap() != Written::Refused);
    }
    assert_eq!(won, 1);

    lease_contract(&*store).await;
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

#[tokio::test]
async fn the_file_store_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract(Arc::new(FileStore::open(dir.path()).unwrap())).await;
}

#[tokio::test]
async fn files_are_ours_alone_whole_and_shared_between_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let store = FileStore::open(&path).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    done(store.put(&name("key"), b"hush", When::Absent).await.unwrap());
    assert_eq!((mode(&path), mode(&path.join("key"))), (0o700, 0o600));

    // A folder that others could read is narrowed; a part that a killed process left is no blob, and no obstacle.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(path.join(".part-key"), "half").unwrap();
    let other = FileStore::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(other.list("").await.unwrap(), [name("key")]);
    assert_eq!(other.put(&name("key"), b"new", When::Absent).await.unwrap(), Written::Refused);
    done(other.put(&name("key"), b"new", When::Always).await.unwrap());
    assert_eq!(store.get(&name("key")).await.unwrap().unwrap().bytes(), b"new");

    let error = store.put(&name("key"), &vec![0; MAX_BLOB + 1], When::Always).await.unwrap_err();
    assert!(error.to_string().contains("cannot write key"), "{error}");
}

#[tokio::test]
async fn the_identity_is_made_once_however_many_ask_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(dir.path()).unwrap());
    let made: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { Identity::open_or_create(&*store).await.unwrap() }
            })
        })
        .collect();
    let mut identities = Vec::new();
    for identity in made {
        identities.push(identity.await.unwrap());
    }
    assert!(identities.windows(2).all(|pair| pair[0].public() == pair[1].public()));
    let seed = identities[0].seed().expose_secret();
    assert!(!format!("{:?}", identities[0]).contains(&format!("{seed:?}")));

    done(store.put(&name("identity"), b"{}", When::Always).await.unwrap());
    let error = Identity::open_or_create(&*store).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(store.get(&name("identity")).await.unwrap().unwrap().bytes(), b"{}");
}
