//! What AWS says when it does not do it, which no stand-in does as AWS does.

use std::time::Duration;

use irp_aws::{AccessKey, Aws, Kind, LoadError, Options};
use irp_testkit::scripted::Reply;

use crate::support::scripted;

fn refusal(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}\
         </Message></Error></Errors><RequestID>59dbff89-35bd-4eac-99ed-be587EXAMPLE</RequestID></Response>"
    )
}

const NONE: &str = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";

#[tokio::test]
async fn a_missing_permission_names_the_action() {
    let denied = refusal("UnauthorizedOperation", "You are not authorized to perform this operation.");
    let (aws, server) = scripted([Reply::new(403, denied)]).await;
    let error = aws.ec2().instances_where(&[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(error.action().permission(), "ec2:DescribeInstances");
    assert_eq!(error.request_id(), Some("59dbff89-35bd-4eac-99ed-be587EXAMPLE"));
    assert_eq!(server.asked().len(), 1, "a refusal for good is not asked again");
}

/// The policy of people allows this value of this attribute, which IAM sees where it is said so and not otherwise (EC2 User
/// Guide, "ec2:Attribute condition key"). moto knows only the other way to say it.
#[tokio::test]
async fn what_a_machine_does_when_it_is_off_is_said_as_policies_see_it() {
    let (aws, server) = scripted([Reply::xml("<R><return>true</return></R>")]).await;
    aws.ec2().terminate_on_shutdown("i-1").await.unwrap();
    let body = &server.asked()[0].body;
    for pair in [
        "Action=ModifyInstanceAttribute",
        "InstanceId=i-1",
        "InstanceInitiatedShutdownBehavior.Value=terminate",
    ] {
        assert!(body.split('&').any(|said| said == pair), "{pair}: {body}");
    }
    assert!(!body.contains("&Attribute="), "{body}");
}

#[tokio::test]
async fn throttled_and_lost_calls_are_made_again() {
    let throttled = refusal("RequestLimitExceeded", "Request limit exceeded.");
    let replies = [
        Reply::new(503, throttled.clone()),
        Reply::hang_up(),
        Reply::new(502, "<html><body>Bad Gateway</body></html>"),
        Reply::xml(NONE),
    ];
    let (aws, server) = scripted(replies).await;
    assert!(aws.ec2().instances_where(&[]).await.unwrap().is_empty());
    assert_eq!(server.asked().len(), 4);

    // And not for ever.
    let (aws, server) = scripted((0..20).map(|_| Reply::new(503, throttled.clone()))).await;
    assert_eq!(aws.ec2().instances_where(&[]).await.unwrap_err().kind(), Kind::Throttled);
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn what_was_just_made_is_waited_for_when_told_so() {
    let unknown = refusal("InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist");
    let profile = refusal(
        "InvalidParameterValue",
        "Value (x) for parameter iamInstanceProfile.name is invalid. \
                           Invalid IAM Instance Profile name",
    );
    let instance = "<R><instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState>\
                    <name>pending</name></instanceState><instanceType>t4g.nano</instanceType></item></instancesSet></R>";
    let described =
        format!("<R><reservationSet><item>{}</item></reservationSet></R>", &instance[3..instance.len() - 4]);
    let replies = [
        Reply::new(400, unknown.clone()),
        Reply::new(400, unknown.clone()),
        Reply::new(400, unknown),
        Reply::xml(described),
        Reply::new(400, profile),
        Reply::xml(instance),
    ];
    let (aws, server) = scripted(replies).await;
    let ec2 = aws.ec2();
    assert_eq!(ec2.instances(&["i-1"]).await.unwrap_err().kind(), Kind::NotFound);
    let patient = ec2.settling(Duration::from_secs(30));
    assert_eq!(patient.instances(&["i-1"]).await.unwrap()[0].id, "i-1");
    patient.run_instance(&irp_aws::ec2::RunInstances::default()).await.unwrap();
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn expired_credentials_and_wrong_clocks_are_told_apart() {
    let expired = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>The security token included in the request \
                   is expired</Message></Error><RequestId>r</RequestId></ErrorResponse>";
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
                  current time is too large.</Message></Error>";
    let replies = [
        Reply::new(403, expired),
        Reply::new(403, expired),
        Reply::new(403, skewed).with("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Reply::json(
            400,
            r#"{"__type":"UnrecognizedClientException","message":"The security token is invalid."}"#,
        ),
    ];
    let (aws, server) = scripted(replies).await;
    assert_eq!(aws.sts().caller().await.unwrap_err().kind(), Kind::ExpiredCredentials);
    assert_eq!(server.asked().len(), 2, "asked for credentials once more, then gave up");
    let bucket = "abc".parse().unwrap();
    let error = aws.s3().list_objects(&bucket, "").await.unwrap_err();
    assert!(
        matches!(error.kind(), Kind::ClockSkew { ahead_s: Some(ahead) } if ahead > 900_000_000),
        "{error:?}"
    );
    assert_eq!(aws.ssm().parameter("/x").await.unwrap_err().kind(), Kind::BadCredentials);
}

#[tokio::test]
async fn answers_are_bounded_and_odd_ones_are_no_panic() {
    let replies = [
        Reply::xml("x".repeat(5 * 1024 * 1024)),
        Reply::xml("<DescribeInstancesResponse><reservationSet><item>"),
        Reply::xml("\u{0}"),
        Reply::xml(format!("<R>{}</R>", "<a>".repeat(100_000))),
        Reply::json(200, "{\"Parameter\":{\"Name\":\"n\",\"Value\":[\"hush\"]}}"),
    ];
    let (aws, _server) = scripted(replies).await;
    for _ in 0..4 {
        let error = aws.ec2().instances_where(&[]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Answer, "{error}");
    }
    let error = aws.ssm().parameter("n").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Answer);
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_a_network_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let aws = crate::support::aws_at(url).await;
    let error = aws.ec2().instances_where(&[]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Network, None));
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn odd_regions_and_endpoints_are_refused_before_any_call() {
    let key = || Some(AccessKey { id: "x".into(), secret: "hush".into(), session_token: None });
    let region =
        |region: &str| Options { region: Some(region.into()), credentials: key(), ..Options::default() };
    assert!(matches!(Aws::load(region("evil.example/")).await, Err(LoadError::Region(_))));
    let endpoint = Options { endpoint_url: Some("localhost:5000".into()), ..region("eu-west-1") };
    assert!(matches!(Aws::load(endpoint).await, Err(LoadError::Endpoint { .. })));
    assert!(!format!("{:?}", region("eu-west-1")).contains("hush"));
}
