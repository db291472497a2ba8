//! EC2, as moto knows it.

use std::collections::BTreeMap;

use irp_aws::{
    Kind,
    ec2::{Filter, Ingress, LaunchData, NetworkInterface, RunInstances, State, TemplateReference, Volume},
};
use irp_testkit::scripted::Reply;

use crate::support::{scripted, world};

fn tags(of: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("irp:managed".into(), "true".into()), ("irp:host".into(), of.into())])
}

#[tokio::test]
async fn a_machine_is_ordered_found_by_its_tags_and_ended() {
    let world = world().await;
    let ec2 = world.aws.ec2();
    let vpcs = ec2.vpcs(&[Filter::new("is-default", ["true"])]).await.unwrap();
    assert!(vpcs.len() == 1 && vpcs[0].is_default);
    let subnets = ec2.subnets(&[Filter::new("vpc-id", [&vpcs[0].id])]).await.unwrap();
    assert!(subnets.iter().all(|subnet| subnet.vpc_id == vpcs[0].id && subnet.default_for_az));

    let group =
        ec2.create_security_group(&vpcs[0].id, "irp-alice", "irp edge", &tags("alice")).await.unwrap();
    let again = ec2.create_security_group(&vpcs[0].id, "irp-alice", "irp edge", &tags("alice")).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Exists);
    for _ in 0..2 {
        ec2.authorize_ingress(&group, &Ingress::tcp_from_everywhere(443)).await.unwrap();
    }
    let groups = ec2.security_groups(&[Filter::new("tag:irp:host", ["alice"])]).await.unwrap();
    assert_eq!((groups.len(), &groups[0].id, &groups[0].name), (1, &group, &"irp-alice".to_owned()));
    assert!(groups[0].ingress[0].opens(443) && !groups[0].ingress[0].opens(22));
    assert_eq!(groups[0].ingress[0].ipv6, ["::/0"]);

    let images = world.moto.cli(&["ec2", "describe-images", "--owners", "amazon"]).unwrap();
    let image = images["Images"][0]["ImageId"].as_str().unwrap();
    let described = ec2.images(&[image]).await.unwrap();
    assert_eq!(described[0].id, image);
    assert!(described[0].root_device_name.is_some());

    let order = RunInstances {
        client_token: "launch-1".into(),
        launch_template: None,
        data: LaunchData {
            image_id: Some(image.into()),
            instance_type: Some("t4g.nano".into()),
            user_data: Some(b"#!/bin/sh\n# \xc3\xa4\n".to_vec()),
            network: Some(NetworkInterface {
                subnet_id: Some(subnets[0].id.clone()),
                security_groups: vec![group.clone()],
                public_address: Some(true),
                ipv6_addresses: None,
            }),
            root_volume: Some(Volume {
                device: "/dev/xvda".into(),
                size: Some(8),
                encrypted: true,
                kms_key: None,
            }),
            terminate_on_shutdown: true,
            strict_metadata: true,
            standard_credits: true,
            tags: tags("alice"),
            ..LaunchData::default()
        },
    };
    ec2.may_run_instance(&order).await.unwrap();
    let ordered = ec2.run_instance(&order).await.unwrap();
    assert_eq!(ordered.instance_type, "t4g.nano");

    let alive =
        [Filter::new("tag:irp:host", ["alice"]), Filter::new("instance-state-name", ["pending", "running"])];
    let found = ec2.instances_where(&alive).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, ordered.id);
    assert_eq!(found[0].tags, tags("alice"));
    assert_eq!(found[0].security_groups, std::slice::from_ref(&group));
    assert!(found[0].public_ip.is_some() && found[0].state.is_alive());
    assert!(ec2.terminates_on_shutdown(&ordered.id).await.unwrap());
    assert_eq!(ec2.user_data(&ordered.id).await.unwrap(), b"#!/bin/sh\n# \xc3\xa4\n");
    ec2.console_output(&ordered.id).await.unwrap();
    ec2.create_tags(&[&ordered.id], &BTreeMap::from([("irp:state".into(), "up".into())])).await.unwrap();

    // From outside: what was ordered is what is there.
    let seen = world.moto.cli(&["ec2", "describe-instances", "--instance-ids", &ordered.id]).unwrap();
    let seen = &seen["Reservations"][0]["Instances"][0];
    assert_eq!(seen["NetworkInterfaces"][0]["Groups"][0]["GroupId"], group.as_str());
    assert_eq!(seen["MetadataOptions"]["HttpTokens"], "required");
    let state = seen["Tags"].as_array().unwrap().iter().find(|tag| tag["Key"] == "irp:state").unwrap();
    assert_eq!(state["Value"], "up");

    let address = world.moto.cli(&["ec2", "allocate-address"]).unwrap();
    let allocation = address["AllocationId"].as_str().unwrap();
    ec2.associate_address(allocation, &ordered.id, false).await.unwrap();
    let addresses = ec2.addresses(&[allocation]).await.unwrap();
    assert_eq!(addresses[0].instance_id.as_deref(), Some(ordered.id.as_str()));

    let ended = ec2.terminate(&[&ordered.id]).await.unwrap();
    assert!(matches!(ended[0].current, State::ShuttingDown | State::Terminated));
    assert!(ec2.instances_where(&alive).await.unwrap().is_empty());
    ec2.settling(std::time::Duration::from_secs(20)).delete_security_group(&group).await.unwrap();
    let missing = ec2.instances(&["i-00000000000000000"]).await.unwrap_err();
    assert_eq!((missing.kind(), missing.code()), (Kind::NotFound, Some("InvalidInstanceID.NotFound")));
}

#[tokio::test]
async fn launch_templates_come_in_versions_and_go() {
    let world = world().await;
    let ec2 = world.aws.ec2();
    assert_eq!(ec2.launch_template("reverse-proxy").await.unwrap(), None);
    let mut data = LaunchData {
        image_id: Some("ami-12345678".into()),
        instance_type: Some("t4g.nano".into()),
        terminate_on_shutdown: true,
        strict_metadata: true,
        spot: true,
        tags: tags("alice"),
        ..LaunchData::default()
    };
    let made = ec2.create_launch_template("reverse-proxy", "first", &data, &tags("alice")).await.unwrap();
    assert_eq!((made.default_version, made.latest_version), (1, 1));
    let again = ec2.create_launch_template("reverse-proxy", "first", &data, &tags("alice")).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Exists);
    data.instance_type = Some("t4g.micro".into());
    assert_eq!(ec2.update_launch_template("reverse-proxy", "second", &data).await.unwrap(), 2);
    let described = async |version| ec2.launch_template_description("reverse-proxy", version).await.unwrap();
    assert_eq!(described("$Default").await.as_deref(), Some("second"));
    assert_eq!(described("1").await.as_deref(), Some("first"));
    let of_alice = [Filter::new("tag:irp:host", ["alice"])];
    assert_eq!(ec2.launch_templates_where(&of_alice).await.unwrap().len(), 1);
    let of_bob = [Filter::new("tag:irp:host", ["bob"])];
    assert_eq!(ec2.launch_templates_where(&of_bob).await.unwrap(), []);
    let found = ec2.launch_template("reverse-proxy").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.default_version), (made.id.as_str(), 2));

    let arguments = [
        "ec2",
        "describe-launch-template-versions",
        "--launch-template-name",
        "reverse-proxy",
        "--versions",
        "2",
    ];
    let seen = world.moto.cli(&arguments).unwrap();
    let seen = &seen["LaunchTemplateVersions"][0]["LaunchTemplateData"];
    assert_eq!(seen["InstanceType"], "t4g.micro");
    assert_eq!(seen["InstanceInitiatedShutdownBehavior"], "terminate");
    assert_eq!(seen["MetadataOptions"]["HttpTokens"], "required");
    assert_eq!(seen["InstanceMarketOptions"]["SpotOptions"]["SpotInstanceType"], "one-time");
    assert_eq!(seen["TagSpecifications"][1]["ResourceType"], "volume");

    assert!(ec2.delete_launch_template("reverse-proxy").await.unwrap());
    assert_eq!(ec2.launch_template("reverse-proxy").await.unwrap(), None);
    assert_eq!(ec2.instance_types(&["t4g.nano"]).await.unwrap()[0].architectures, ["arm64"]);
    assert!(ec2.offerings("t4g.nano").await.unwrap().iter().all(|offer| offer.instance_type == "t4g.nano"));
}

/// What moto loses is looked at in the request itself.
#[tokio::test]
async fn an_order_says_everything_that_it_must() {
    let answer = "<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
                  <instancesSet><item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>0\
                  </code><name>pending</name></instanceState><instanceType>t4g.nano</instanceType>\
                  <stateReason><code>pending</code><message>pending</message></stateReason><ipAddress/>\
                  <networkInterfaceSet><item><ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address></item>\
                  </ipv6AddressesSet></item></networkInterfaceSet><instanceLifecycle>spot</instanceLifecycle>\
                  <clientToken>t</clientToken></item></instancesSet></RunInstancesResponse>";
    let (aws, server) = scripted([Reply::xml(answer)]).await;
    let order = RunInstances {
        client_token: "t".into(),
        launch_template: Some(TemplateReference { name: "reverse-proxy".into(), version: "$Default".into() }),
        data: LaunchData {
            user_data: Some(b"x".to_vec()),
            instance_profile: Some("irp-edge-alice".into()),
            terminate_on_shutdown: true,
            strict_metadata: true,
            spot: true,
            network: Some(NetworkInterface { ipv6_addresses: Some(1), ..NetworkInterface::default() }),
            tags: tags("alice"),
            ..LaunchData::default()
        },
    };
    let instance = aws.ec2().run_instance(&order).await.unwrap();
    assert_eq!(instance.ipv6, Some("2001:db8::1".parse().unwrap()));
    assert!(instance.public_ip.is_none() && instance.spot);

    let asked = &server.asked()[0];
    let has = |pair: &str| assert!(asked.body.split('&').any(|own| own == pair), "{pair} in {}", asked.body);
    has("Action=RunInstances");
    has("ClientToken=t");
    has("UserData=eA%3D%3D");
    has("LaunchTemplate.LaunchTemplateName=reverse-proxy");
    has("LaunchTemplate.Version=%24Default");
    has("IamInstanceProfile.Name=irp-edge-alice");
    has("InstanceInitiatedShutdownBehavior=terminate");
    has("MetadataOptions.HttpPutResponseHopLimit=1");
    has("MetadataOptions.InstanceMetadataTags=enabled");
    has("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior=terminate");
    has("NetworkInterface.1.Ipv6AddressCount=1");
    has("TagSpecification.4.ResourceType=spot-instances-request");
    has("TagSpecification.4.Tag.2.Key=irp%3Amanaged");
    let authorization = asked.headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("/eu-central-1/ec2/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn a_network_has_a_way_to_the_internet_or_not() {
    let world = world().await;
    let ec2 = world.aws.ec2();
    let vpc = ec2.vpcs(&[Filter::new("is-default", ["true"])]).await.unwrap().remove(0);
    let of_vpc = [Filter::new("vpc-id", [&vpc.id])];
    let main = async || {
        let tables = ec2.route_tables(&of_vpc).await.unwrap();
        let is_main = |table: &irp_aws::ec2::RouteTable| table.associations.iter().any(|it| it.main);
        tables.into_iter().find(is_main).unwrap()
    };
    let table = main().await;
    assert!(!table.is_public(), "{table:?}");
    let cli = |args: &[&str]| world.moto.cli(&[&["ec2"], args].concat()).unwrap();
    let gateway = cli(&["create-internet-gateway"]);
    let gateway = gateway["InternetGateway"]["InternetGatewayId"].as_str().unwrap();
    cli(&["attach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", &vpc.id]);
    let everywhere = ["--destination-cidr-block", "0.0.0.0/0", "--gateway-id", gateway];
    cli(&[&["create-route", "--route-table-id", &table.id], &everywhere[..]].concat());
    assert!(main().await.is_public());
}
