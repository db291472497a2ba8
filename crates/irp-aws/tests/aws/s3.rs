//! S3: conditions, lists, settings of buckets, URLs to hand on.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use irp_aws::{
    Kind,
    s3::{Bucket, PutObject, When},
};
use irp_testkit::{scripted::Reply, visitor::Curl};

use crate::support::{scripted, world};

fn put(body: &str, when: When) -> PutObject {
    let metadata = BTreeMap::from([("sha256".to_owned(), "00ff".to_owned())]);
    PutObject { body: Bytes::copy_from_slice(body.as_bytes()), when, kms_key: None, metadata }
}

#[tokio::test]
async fn objects_are_written_under_conditions_and_read_by_whoever_has_the_url() {
    let world = world().await;
    let s3 = world.aws.s3();
    let bucket: Bucket = "irp-123456789012".parse().unwrap();
    assert!(!s3.bucket_exists(&bucket).await.unwrap());
    s3.create_bucket(&bucket).await.unwrap();
    let bare = s3.bucket_settings(&bucket).await.unwrap();
    assert!(!bare.is_private && bare.expiry.is_empty(), "{bare:?}");
    for _ in 0..2 {
        s3.create_bucket(&bucket).await.unwrap();
        s3.block_public_access(&bucket).await.unwrap();
        s3.encrypt_bucket(&bucket, None).await.unwrap();
        s3.expire_objects(&bucket, "edge/", 30).await.unwrap();
    }
    let settings = s3.bucket_settings(&bucket).await.unwrap();
    assert!(settings.is_private && settings.kms_key.is_none(), "{settings:?}");
    assert_eq!(settings.encryption.as_deref(), Some("AES256"));
    assert_eq!(settings.expiry, [("edge/".to_owned(), 30)]);
    let missing = s3.bucket_settings(&"irp-nobody".parse().unwrap()).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(s3.bucket_exists(&bucket).await.unwrap());
    let cli = |args: &[&str]| world.moto.cli(&[args, &["--bucket", "irp-123456789012"]].concat()).unwrap();
    let blocked = cli(&["s3api", "get-public-access-block"]);
    assert_eq!(blocked["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"], true);
    let rule = cli(&["s3api", "get-bucket-encryption"]);
    let rule = &rule["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"];
    assert_eq!(rule["SSEAlgorithm"], "AES256");
    let rule = cli(&["s3api", "get-bucket-lifecycle-configuration"]);
    assert_eq!(rule["Rules"][0]["Expiration"]["Days"], 30);
    assert_eq!(cli(&["s3api", "get-bucket-location"])["LocationConstraint"], "eu-central-1");

    let key = "edge/ä b+c";
    let first = s3.put_object(&bucket, key, put("one", When::Absent)).await.unwrap();
    let refused = s3.put_object(&bucket, key, put("two", When::Absent)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Precondition);
    let second = s3.put_object(&bucket, key, put("two", When::Unchanged(first.clone()))).await.unwrap();
    let refused = s3.put_object(&bucket, key, put("three", When::Unchanged(first))).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Precondition);
    let read = s3.get_object(&bucket, key, 100).await.unwrap().unwrap();
    assert_eq!((&*read.body, &read.etag, read.metadata["sha256"].as_str()), (&b"two"[..], &second, "00ff"));
    assert!(s3.get_object(&bucket, "none", 100).await.unwrap().is_none());
    assert_eq!(s3.get_object(&bucket, key, 2).await.unwrap_err().kind(), Kind::Answer);
    assert_eq!(s3.head_object(&bucket, key).await.unwrap().unwrap().etag, second);
    assert!(s3.head_object(&bucket, "none").await.unwrap().is_none());
    let listed = s3.list_objects(&bucket, "edge/").await.unwrap();
    assert_eq!((listed.len(), listed[0].key.as_str(), listed[0].size), (1, key, 3));
    assert!(s3.list_objects(&bucket, "cert/").await.unwrap().is_empty());

    let url = s3.presigned_get(&bucket, key, Duration::from_secs(600)).await.unwrap();
    assert!(url.contains("X-Amz-Expires=600&") && url.contains("X-Amz-Signature="), "{url}");
    let reply = Curl::new().get(&url).await.unwrap();
    assert_eq!(reply.text(), "two");

    assert_eq!(s3.delete_bucket(&bucket).await.unwrap_err().kind(), Kind::InUse);
    s3.delete_object(&bucket, key, &When::Always).await.unwrap();
    s3.delete_object(&bucket, key, &When::Always).await.unwrap();
    assert!(s3.delete_bucket(&bucket).await.unwrap());
    assert!(!s3.delete_bucket(&bucket).await.unwrap());
}

#[tokio::test]
async fn a_conditional_write_is_not_repeated_in_the_dark() {
    let conflict = "<Error><Code>ConditionalRequestConflict</Code><Message>x</Message></Error>";
    let failed = "<Error><Code>InternalError</Code><Message>x</Message></Error>";
    let replies = [
        Reply::new(409, conflict),
        Reply::new(500, failed),
        Reply::hang_up(),
        Reply::new(500, failed),
        Reply::new(200, "").with("etag", "\"e\""),
        Reply::new(404, "<Error><Code>NoSuchKey</Code><Message>x</Message></Error>"),
    ];
    let (aws, server) = scripted(replies).await;
    let (s3, bucket): (_, Bucket) = (aws.s3(), "abc".parse().unwrap());
    for expected in [Kind::Precondition, Kind::Service, Kind::Network] {
        let error = s3.put_object(&bucket, "k", put("x", When::Absent)).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
    }
    assert_eq!(s3.put_object(&bucket, "k", put("x", When::Always)).await.unwrap(), "\"e\"");
    let gone = s3.put_object(&bucket, "k", put("x", When::Unchanged("\"e\"".into()))).await.unwrap_err();
    assert_eq!(gone.kind(), Kind::Precondition);
    let asked = server.asked();
    assert_eq!(asked.len(), 6);
    assert_eq!(asked[0].path, "/abc/k");
    assert_eq!(asked[0].headers["if-none-match"], "*");
    assert!(asked[0].headers.contains_key("x-amz-content-sha256"));
}
