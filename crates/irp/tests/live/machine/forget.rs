//! `irp forget`: the certificate is revoked, by the word of the authority itself, before its key is gone.

use std::process::Output;

use irp_testkit::moto::{KEY_ID, REGION, SECRET};
use serde_json::Value;

use super::stage::{NAME, Stage};
use crate::program::{curl, irp};

/// Where objects of the name are kept, where that is S3.
const BUCKET: &str = "irp-certificates";

fn forget(stage: &Stage, more: &[&str]) -> Output {
    forget_trusting(stage, stage.pebble.root_pem.to_str().unwrap(), more)
}

fn forget_trusting(stage: &Stage, roots: &str, more: &[&str]) -> Output {
    let arguments = [&["forget", NAME, "--acme-cacert", roots], more].concat();
    let mut command = irp(stage.home.path(), &arguments);
    command.env("AWS_ENDPOINT_URL", &stage.endpoint).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.output().unwrap()
}

/// What pebble says of the certificate that it issued last.
#[track_caller]
fn status(stage: &Stage) -> String {
    let log = stage.pebble.log();
    let serial = log.rsplit_once("Issued certificate serial ").unwrap().1.split_whitespace().next().unwrap();
    let address = stage.pebble.management();
    let url = format!("https://localhost:{}/cert-status-by-serial/{serial}", address.port());
    // Its management interface shows a certificate that nobody can know.
    let told = curl(stage.pebble.root_pem.to_str().unwrap(), &["--noproxy", "*", "-k", &url]);
    let told: Value = serde_json::from_str(&told).unwrap();
    told["Status"].as_str().unwrap().to_owned()
}

#[track_caller]
fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_revoked_and_deleted_in_parameter_store() {
    let stage = Stage::set().await;
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    edge.stop();
    assert_eq!(status(&stage), "Valid");
    let dry = forget(&stage, &["--dry-run"]);
    assert!(dry.status.success() && err(&dry).contains("/irp/cert/alice.irp.test/"), "{}", err(&dry));
    assert_eq!(status(&stage), "Valid");

    // An authority that cannot be called keeps everything as it is.
    let output = forget_trusting(&stage, &stage.root, &[]);
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
    assert!(
        err(&output).contains("nothing is deleted") && err(&output).contains("--no-revoke"),
        "{}",
        err(&output)
    );
    let kept = || {
        let below = ["ssm", "get-parameters-by-path", "--path", "/irp/cert", "--recursive"];
        stage.moto.cli(&below).unwrap()["Parameters"].as_array().unwrap().len()
    };
    assert!(kept() > 0);

    let output = forget(&stage, &[]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(err(&output).contains("alice.irp.test  revoked"), "{}", err(&output));
    assert_eq!((status(&stage).as_str(), kept()), ("Revoked", 0));

    // The next launch begins anew; without a revocation its certificate stays good.
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    edge.stop();
    assert_eq!(stage.pebble.certificates(), 2);
    let output = forget(&stage, &["--no-revoke"]);
    assert!(output.status.success() && err(&output).contains("is not revoked"), "{}", err(&output));
    assert_eq!((status(&stage).as_str(), kept()), ("Valid", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_revoked_and_deleted_in_s3() {
    let mut stage = Stage::set().await;
    let place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"];
    stage.moto.cli(&[&["s3api", "create-bucket", "--bucket", BUCKET], &place[..]].concat()).unwrap();
    stage
        .moto
        .cli(&["s3api", "put-object", "--bucket", BUCKET, "--key", "certs/bob.irp.test/identity"])
        .unwrap();
    // What machines of both names have left to the next one.
    let own = "irp-123456789012-eu-central-1";
    stage.moto.cli(&[&["s3api", "create-bucket", "--bucket", own], &place[..]].concat()).unwrap();
    for name in [NAME, "bob.irp.test"] {
        let key = format!("inbox/{name}/000001700000000-00ff");
        stage.moto.cli(&["s3api", "put-object", "--bucket", own, "--key", &key]).unwrap();
    }
    stage.tables = format!("[inbox]\nenabled = false\n{}", stage.tables);
    stage.tables = format!("cert_store = \"s3://{BUCKET}/certs\"\n{}", stage.tables);
    let edge = stage.boot(1.0);
    stage.serves(&edge, &stage.root).await;
    edge.stop();
    assert_eq!(status(&stage), "Valid");
    // What Caddy has left at the time when the machine ran Caddy is Caddy's, and stays as long as that is not said.
    let caddys = format!("certs/caddy/{NAME}/acme/users/default/default.json");
    stage.moto.cli(&["s3api", "put-object", "--bucket", BUCKET, "--key", &caddys]).unwrap();
    let store = format!("s3://{BUCKET}/certs");
    let output = forget(&stage, &["--cert-store", &store]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(status(&stage), "Revoked");
    let output = forget(&stage, &["--cert-store", &store, "--engine", "caddy"]);
    assert!(output.status.success() && err(&output).contains("is not revoked"), "{}", err(&output));
    for (bucket, others) in
        [(BUCKET, "certs/bob.irp.test/identity"), (own, "inbox/bob.irp.test/000001700000000-00ff")]
    {
        let left = stage.moto.cli(&["s3api", "list-objects-v2", "--bucket", bucket]).unwrap();
        let left = left["Contents"].as_array().unwrap();
        assert!(left.len() == 1 && left[0]["Key"] == others, "{left:?}");
    }
}
