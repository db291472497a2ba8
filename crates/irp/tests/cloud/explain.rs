//! What people are told when AWS does not do what they want: answers of AWS itself, which moto does not give.

use irp_testkit::scripted::{Reply, Scripted};

use crate::stage::{Stage, err};

const ENV: &str = "HOSTED_ZONE_DOMAIN=proxy.example.com\n";

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>59dbff89</RequestId></ErrorResponse>"
    );
    Reply::new(status, body).with("content-type", "text/xml")
}

fn caller() -> Reply {
    Reply::xml(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/alice</Arn>\
         <UserId>AIDA1</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    )
}

/// What `irp setup ARGS…` says when AWS answers so; it must end with code 4.
async fn told(replies: Vec<Reply>, arguments: &[&str]) -> String {
    let server = Scripted::start(replies).await.unwrap();
    let (url, arguments) = (server.url(), [&["setup"], arguments].concat().into_iter().map(str::to_owned));
    let arguments: Vec<String> = arguments.collect();
    tokio::task::spawn_blocking(move || {
        let stage = Stage::without_moto();
        stage.write(".env", ENV);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = stage.irp_at(&url, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", err(&output));
        assert!(output.stdout.is_empty());
        err(&output)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn credentials_that_are_no_good_are_told_before_anything_else() {
    let expired = || refusal(403, "ExpiredToken", "The security token included in the request is expired");
    let text = told(vec![expired(), expired()], &["--profile", "work"]).await;
    assert!(text.contains("the AWS session has expired"), "{text}");
    assert!(text.contains("aws sso login --profile work"), "{text}");

    let text = told(vec![refusal(403, "InvalidClientTokenId", "The security token is invalid.")], &[]).await;
    assert!(text.contains("AWS does not accept these credentials"), "{text}");

    let message = "Signature not yet current: 20261122T120000Z is still later than 20261122T110000Z";
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let text = told(vec![refusal(403, "SignatureDoesNotMatch", message).with("date", date)], &[]).await;
    assert!(text.contains("the clock of this machine is") && text.contains("s ahead"), "{text}");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_who_denies_it() {
    let denied = |because: &str| {
        let message = format!(
            "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: route53:ListHostedZonesByName \
             {because}"
        );
        vec![caller(), refusal(403, "AccessDenied", &message)]
    };
    let text = told(denied("because no identity-based policy allows the action"), &[]).await;
    assert!(text.contains("the permission route53:ListHostedZonesByName is missing"), "{text}");
    assert!(text.contains("irp setup --print policy"), "{text}");
    let text = told(denied("with an explicit deny in a service control policy"), &[]).await;
    assert!(text.contains("your organisation forbids route53:ListHostedZonesByName"), "{text}");
    let text = told(denied("because no permissions boundary allows the action"), &[]).await;
    assert!(text.contains("the permissions boundary of your user or role"), "{text}");
}

/// Route 53 begins its list at the name that was asked for, and goes on with others: they are not meant.
#[tokio::test]
async fn a_zone_that_follows_in_the_alphabet_is_not_the_one() {
    let zone = |name: &str, private: bool| {
        format!(
            "<HostedZone><Id>/hostedzone/Z{}</Id><Name>{name}.</Name><CallerReference>c</CallerReference><Config>\
             <PrivateZone>{private}</PrivateZone></Config></HostedZone>",
            name.len()
        )
    };
    let page = |zones: &[String]| {
        Reply::xml(format!(
            "<ListHostedZonesByNameResponse><HostedZones>{}</HostedZones><IsTruncated>false</IsTruncated>\
             <MaxItems>100</MaxItems></ListHostedZonesByNameResponse>",
            zones.concat()
        ))
    };
    let following = || page(&[zone("example.net", false)]);
    let text = told(vec![caller(), following(), following(), following()], &[]).await;
    assert!(text.contains("there is no Route 53 zone named proxy.example.com"), "{text}");
    assert!(text.contains("--create-zone"), "{text}");

    let parent = page(&[zone("example.com", false)]);
    let text = told(vec![caller(), following(), following(), parent], &[]).await;
    assert!(text.contains("there is example.com: is that the one you mean?"), "{text}");

    let text = told(vec![caller(), page(&[zone("proxy.example.com", true)])], &[]).await;
    assert!(text.contains("is private"), "{text}");
    let two = page(&[zone("proxy.example.com", false), zone("proxy.example.com", false)]);
    let text = told(vec![caller(), two], &[]).await;
    assert!(text.contains("there are 2 public zones named proxy.example.com"), "{text}");
}
