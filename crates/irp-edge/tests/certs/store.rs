//! The store of files: that it keeps the contract, and what only files can show.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use irp_edge::certs::{
    FileStore, Identity, Store as _,
    store::{MAX_BLOB, When, Written},
};
use secrecy::ExposeSecret as _;

use super::contract::{contract, done, name, race};

#[tokio::test]
async fn the_file_store_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(dir.path()).unwrap());
    contract(store.clone()).await;
    race(store).await;
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
