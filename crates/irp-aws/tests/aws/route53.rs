//! Route 53, as moto knows it, and as only AWS does it.

use irp_aws::{
    Kind,
    route53::{Change, RecordSet},
};
use irp_testkit::scripted::Reply;

use crate::support::{scripted, world};

#[tokio::test]
async fn zones_are_found_by_the_longest_name_and_records_change_as_sets() {
    let world = world().await;
    let route53 = world.aws.route53();
    let (made, change) = route53.create_zone("proxy.example.com", "first").await.unwrap();
    assert!(!made.name_servers.is_empty());
    route53.wait_in_sync(&change).await.unwrap();
    route53.create_zone("example.com", "second").await.unwrap();

    let found = route53.public_zones_of("alice.proxy.example.com").await.unwrap();
    assert_eq!(found, std::slice::from_ref(&made.zone));
    assert_eq!(route53.public_zones_of("other.example.com").await.unwrap()[0].name, "example.com");
    assert!(route53.public_zones_of("example.org").await.unwrap().is_empty());
    let zone = made.zone.id.as_str();
    assert_eq!(route53.zone(zone).await.unwrap().name_servers, made.name_servers);
    assert_eq!(route53.zone("Z0000000000000").await.unwrap_err().kind(), Kind::NotFound);

    let first = RecordSet::new("alice.proxy.example.com", "A", 60, ["192.0.2.1"]);
    let second = RecordSet::new("alice.proxy.example.com", "A", 60, ["192.0.2.2"]);
    let txt = RecordSet::new("*.proxy.example.com", "TXT", 60, ["\"a b\"", "\"c\""]);
    for set in [&first, &second, &txt] {
        let change = route53.change(zone, &[Change::Upsert(set.clone())]).await.unwrap();
        route53.wait_in_sync(&change).await.unwrap();
    }
    assert_eq!(route53.record_set(zone, "alice.proxy.example.com", "A").await.unwrap(), Some(second.clone()));
    assert_eq!(route53.record_set(zone, "Alice.proxy.example.com.", "AAAA").await.unwrap(), None);
    assert_eq!(route53.record_set(zone, "*.proxy.example.com", "TXT").await.unwrap(), Some(txt.clone()));
    assert!(route53.record_sets(zone).await.unwrap().contains(&second));

    let seen = world.moto.cli(&["route53", "list-resource-record-sets", "--hosted-zone-id", zone]).unwrap();
    let sets = seen["ResourceRecordSets"].as_array().unwrap();
    let seen = sets.iter().find(|set| set["Name"] == "alice.proxy.example.com.").unwrap();
    assert_eq!(seen["ResourceRecords"][0]["Value"], "192.0.2.2");

    route53.change(zone, &[Change::Delete(second), Change::Delete(txt)]).await.unwrap();
    assert_eq!(route53.record_set(zone, "alice.proxy.example.com", "A").await.unwrap(), None);
}

#[tokio::test]
async fn a_zone_that_only_follows_in_the_alphabet_is_not_the_one() {
    let following = "<ListHostedZonesByNameResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                     <HostedZones><HostedZone><Id>/hostedzone/ZNEXT</Id><Name>proxy.example.net.</Name>\
                     <CallerReference>c</CallerReference><Config><PrivateZone>false</PrivateZone></Config>\
                     </HostedZone></HostedZones><DNSName>x</DNSName><IsTruncated>true</IsTruncated>\
                     <NextDNSName>q.example.net.</NextDNSName><MaxItems>1</MaxItems></ListHostedZonesByNameResponse>";
    let both = "<ListHostedZonesByNameResponse><HostedZones><HostedZone><Id>/hostedzone/ZPRIVATE</Id>\
                <Name>example.com.</Name><Config><Comment/><PrivateZone>true</PrivateZone></Config></HostedZone>\
                <HostedZone><Id>/hostedzone/ZPUBLIC</Id><Name>example.com.</Name><Config>\
                <PrivateZone>false</PrivateZone></Config></HostedZone></HostedZones>\
                <IsTruncated>false</IsTruncated></ListHostedZonesByNameResponse>";
    let (aws, server) = scripted([Reply::xml(following), Reply::xml(both)]).await;
    let zones = aws.route53().public_zones_of("proxy.example.com").await.unwrap();
    assert_eq!(zones.iter().map(|zone| zone.id.as_str()).collect::<Vec<_>>(), ["ZPUBLIC"]);
    let asked = server.asked();
    assert!(
        asked[0].path.starts_with("/2013-04-01/hostedzonesbyname?dnsname=proxy.example.com&"),
        "{asked:?}"
    );
    assert!(asked[0].headers["authorization"].to_str().unwrap().contains("/us-east-1/route53/aws4_request"));
}

#[tokio::test]
async fn a_change_is_waited_for_and_a_wrong_deletion_is_explained() {
    let info = |status: &str| {
        Reply::xml(format!(
            "<R><ChangeInfo><Id>/change/C1</Id><Status>{status}</Status>\
             <SubmittedAt>2026-11-22T00:00:00Z</SubmittedAt></ChangeInfo></R>"
        ))
    };
    let invalid = "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                   <Error><Type>Sender</Type><Code>InvalidChangeBatch</Code><Message>[Tried to delete resource record \
                   set [name='a.example.', type='A'] but the values provided do not match the current values]</Message>\
                   </Error><RequestId>r-53</RequestId></ErrorResponse>";
    let busy = "<ErrorResponse><Error><Code>PriorRequestNotComplete</Code><Message>x</Message></Error></ErrorResponse>";
    let throttled = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
                     <RequestId>r</RequestId></ErrorResponse>";
    let unknown = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchChange</Code><Message>Could not find resource \
                   with ID: C1</Message></Error><RequestId>r</RequestId></ErrorResponse>";
    let replies = [
        Reply::new(400, throttled),
        Reply::new(400, busy),
        info("PENDING"),
        // What was made a moment ago is not known to everybody.
        Reply::new(404, unknown),
        info("PENDING"),
        info("INSYNC"),
        Reply::new(400, invalid),
    ];
    let (aws, server) = scripted(replies).await;
    let route53 = aws.route53();
    let set = RecordSet::new("a.example", "A", 60, ["192.0.2.1"]);
    let change = route53.change("Z1", &[Change::Upsert(set.clone())]).await.unwrap();
    route53.wait_in_sync(&change).await.unwrap();
    assert_eq!(server.asked()[4].path, "/2013-04-01/change/C1");
    let error = route53.change("Z1", &[Change::Delete(set)]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Invalid, Some("InvalidChangeBatch")));
    assert_eq!(error.request_id(), Some("r-53"));
    assert!(error.message().contains("[name='a.example.', type='A']"), "{error}");
    assert_eq!(server.asked().len(), 7);
}
