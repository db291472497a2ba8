//! Access to stand-ins of AWS.

use irp_aws::{AccessKey, Aws, Options, Pace};
use irp_testkit::{
    moto::{KEY_ID, Moto, REGION, SECRET},
    scripted::{Reply, Scripted},
};

pub(crate) async fn aws_at(url: String) -> Aws {
    let credentials = AccessKey { id: KEY_ID.into(), secret: SECRET.into(), session_token: None };
    let options = Options {
        region: Some(REGION.into()),
        endpoint_url: Some(url),
        credentials: Some(credentials),
        pace: Pace::brisk(),
        ..Options::default()
    };
    Aws::load(options).await.unwrap()
}

/// A moto server, and access to it.
pub(crate) struct World {
    pub(crate) aws: Aws,
    pub(crate) moto: Moto,
    _dir: tempfile::TempDir,
}

pub(crate) async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let moto = tokio::task::spawn_blocking(move || Moto::start(&path)).await.unwrap().unwrap();
    World { aws: aws_at(moto.url()).await, moto, _dir: dir }
}

/// A server that gives these answers, and access to it.
pub(crate) async fn scripted(replies: impl IntoIterator<Item = Reply>) -> (Aws, Scripted) {
    let server = Scripted::start(replies).await.unwrap();
    (aws_at(server.url()).await, server)
}
