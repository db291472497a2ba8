use super::*;

fn wanted() -> Wanted {
    Wanted {
        name: "alice.proxy.example.com".into(),
        instance_type: "t4g.nano".parse().ok(),
        image: Image::AmazonLinux,
        spot: false,
        template: None,
        profile: Some("irp-edge-alice".into()),
        sets_record: false,
        address: None,
        upload: None,
    }
}

fn upload(arch: Arch, glibc: Option<(u32, u32)>) -> Option<Upload> {
    let program = Program { arch, glibc };
    Some(Upload { program, sha256: "ab".into(), bytes: 20_000_000, bucket: "irp-1-r".into() })
}

fn place(subnet: &str, zone: &str) -> Place {
    Place { subnet: subnet.into(), vpc: "vpc-1".into(), zone: zone.into(), ipv6: false }
}

fn found() -> Found {
    Found {
        image: Some(FoundImage {
            id: "ami-1".into(),
            arch: Some(Arch::Aarch64),
            root_device: Some("/dev/xvda".into()),
            root_gib: Some(8),
        }),
        places: vec![place("subnet-a", "eu-central-1a"), place("subnet-b", "eu-central-1b")],
        offered_in: vec!["eu-central-1b".into(), "eu-central-1a".into()],
        group: Some(FoundGroup { id: "sg-1".into(), open: true }),
        profile: Some(true),
        bucket: true,
        uploaded: false,
    }
}

fn told(wanted: &Wanted, found: &Found) -> Vec<String> {
    launch(wanted, found).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn where_all_is_there_a_launch_is_one_order() {
    assert_eq!(
        told(&wanted(), &found()),
        [
            "launch a t4g.nano from ami-1 in eu-central-1a, subnet-a, role irp-edge-alice",
            "wait until its edge answers and alice.proxy.example.com leads to it",
            "connect",
        ]
    );
}

#[test]
fn what_is_missing_is_made_first() {
    let mut wanted = Wanted { spot: true, address: Some("eipalloc-1".into()), ..wanted() };
    wanted.upload = upload(Arch::Aarch64, Some((2, 34)));
    let found = Found { group: None, ..found() };
    assert_eq!(
        told(&wanted, &found)[..4],
        [
            "upload the program, 20 MiB, to s3://irp-1-r/edge/ab",
            "make the security group irp-edge in vpc-1, open at port 443 only",
            "launch a t4g.nano (spot) from ami-1 in eu-central-1a, subnet-a, role irp-edge-alice",
            "attach eipalloc-1",
        ]
    );
    let closed =
        Found { group: Some(FoundGroup { id: "sg-1".into(), open: false }), uploaded: true, ..found };
    assert_eq!(told(&wanted, &closed)[0], "open port 443 of the security group sg-1");
}

#[test]
fn zones_without_the_type_are_left_out() {
    let mut found = Found { offered_in: vec!["eu-central-1b".into()], ..found() };
    let Step::Launch(order) = &launch(&wanted(), &found).unwrap()[0] else { panic!("no launch") };
    assert_eq!(
        order.networks.iter().map(|network| network.subnet.as_str()).collect::<Vec<_>>(),
        ["subnet-b"]
    );
    found.offered_in = vec!["eu-central-1c".into()];
    let refused = launch(&wanted(), &found).unwrap_err();
    assert_eq!(refused.to_string(), "t4g.nano is not offered in eu-central-1a, eu-central-1b");
}

#[test]
fn what_would_not_work_is_told_before_anything_is_made() {
    let refused = |wanted: &Wanted, found: &Found| launch(wanted, found).unwrap_err();
    let no_network = Found { places: Vec::new(), ..found() };
    assert_eq!(refused(&wanted(), &no_network), PlanError::NoNetwork);
    let no_role = Found { profile: Some(false), ..found() };
    assert_eq!(refused(&wanted(), &no_role), PlanError::NoProfile("irp-edge-alice".into()));
    let intel = Wanted { instance_type: "t3.nano".parse().ok(), ..wanted() };
    assert!(matches!(refused(&intel, &found()), PlanError::ImageProcessor { .. }));
    let other = Wanted { upload: upload(Arch::X86_64, None), ..wanted() };
    assert!(matches!(refused(&other, &found()), PlanError::ProgramProcessor { .. }));
    let newer = Wanted { upload: upload(Arch::Aarch64, Some((2, 39))), ..wanted() };
    assert_eq!(
        refused(&newer, &found()).to_string(),
        "the program for the machine needs glibc 2.39, and al2023 has 2.34"
    );
    let fits = Wanted { image: Image::Debian, ..newer };
    assert!(launch(&fits, &found()).is_ok());
    let no_bucket = Found { bucket: false, ..found() };
    assert_eq!(refused(&fits, &no_bucket), PlanError::NoBucket("irp-1-r".into()));
}

#[test]
fn a_role_that_nobody_may_look_at_is_left_to_the_order() {
    assert!(launch(&wanted(), &Found { profile: None, ..found() }).is_ok());
}

#[test]
fn a_template_needs_no_network_of_ours() {
    let wanted = Wanted { template: Some("reverse-proxy".into()), profile: None, ..wanted() };
    let steps = told(&wanted, &Found::default());
    assert_eq!(steps[0], "launch a t4g.nano with the launch template reverse-proxy");
    // Nor need it be known here what it starts: neither type nor image can be compared then.
    let wanted = Wanted { instance_type: None, upload: upload(Arch::X86_64, Some((2, 39))), ..wanted };
    let steps = told(&wanted, &Found { bucket: true, uploaded: true, ..Found::default() });
    assert_eq!(steps[0], "launch a machine with the launch template reverse-proxy");
}

#[test]
fn the_oldest_machine_that_lives_is_used() {
    let machine = |id: &str, alive: bool| Existing { id: id.into(), alive };
    let all = [machine("i-0", false), machine("i-1", true), machine("i-2", true)];
    assert_eq!(to_use(&all).map(|machine| machine.id.as_str()), Some("i-1"));
    assert_eq!(to_use(&all[..1]), None);
    let steps: Vec<_> =
        reuse("i-1", "a.b.c", Some("eipalloc-1"), false).iter().map(ToString::to_string).collect();
    assert_eq!(steps[..2], ["use i-1, which runs", "attach eipalloc-1"]);
}

#[test]
fn for_a_machine_without_a_role_this_pc_sets_the_record() {
    let bare = Wanted { profile: None, sets_record: true, ..wanted() };
    let steps = told(&bare, &Found { profile: None, ..found() });
    assert_eq!(steps[0], "launch a t4g.nano from ami-1 in eu-central-1a, subnet-a");
    assert_eq!(steps[1], "point alice.proxy.example.com at it");
    let steps: Vec<_> = reuse("i-1", "a.b.c", None, true).iter().map(ToString::to_string).collect();
    assert_eq!(steps[1], "point a.b.c at it");
}
