use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::{
    key::{PublicKey, SecretKey},
    proof::ChannelBinding,
    report::{Idle, Report},
};

const HOST: &str = "a.example";

fn request() -> Request {
    Request { names: vec![HOST.parse().unwrap()], instance: 7, lanes_max: 32, agent: "test".into() }
}

fn pair() -> (DuplexStream, DuplexStream) {
    // Eight bytes at a time: every read and write is cut.
    duplex(8)
}

async fn serve(
    mut io: DuplexStream,
    binding: ChannelBinding,
    identity: SecretKey,
) -> Result<Opened, HelloError> {
    let opened = receive(&mut io, &binding, HOST, &identity).await?;
    let secret = SessionSecret::random();
    Applicant::welcome(&mut io, SessionId::random(), &secret, Terms::default()).await?;
    io.write_all(b"PRI *").await?;
    Ok(opened)
}

#[tokio::test]
async fn both_ends_prove_themselves_and_no_byte_too_many_is_read() {
    let (mut client, edge) = pair();
    let (identity, key) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let known = identity.public_key();
    let binding = ChannelBinding([9; 32]);
    let check = |found: &PublicKey| if *found == known { Ok(()) } else { Err("other".into()) };
    let (served, welcome) = tokio::join!(serve(edge, binding, identity), async {
        let welcome = open_control(&mut client, &binding, HOST, &request(), &key, check).await.unwrap();
        let mut next = [0; 5];
        client.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"PRI *");
        welcome
    });
    let Opened::Control(applicant) = served.unwrap() else { panic!("not a control connection") };
    assert_eq!(applicant.key, key.public_key());
    assert_eq!(applicant.request.names, request().names);
    assert!(welcome.capabilities.contains(&CAPABILITY_LANES.to_owned()));
}

#[tokio::test]
async fn a_proof_from_another_tls_session_is_refused_by_both() {
    let (mut client, edge) = pair();
    let (identity, key) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let (_, opened) = tokio::join!(serve(edge, ChannelBinding([1; 32]), identity), async {
        let binding = ChannelBinding([2; 32]);
        let opened = open_control(&mut client, &binding, HOST, &request(), &key, |_| Ok(())).await;
        drop(client);
        opened
    });
    assert!(matches!(opened, Err(HelloError::Proof)));
}

#[tokio::test]
async fn a_client_says_nothing_of_itself_to_an_identity_that_it_does_not_know() {
    let (mut client, mut edge) = pair();
    let (identity, key) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let binding = ChannelBinding([3; 32]);
    let (received, opened) =
        tokio::join!(async { receive(&mut edge, &binding, HOST, &identity).await }, async {
            let refused = |_: &PublicKey| Err("not the edge that I know".into());
            let result = open_control(&mut client, &binding, HOST, &request(), &key, refused).await;
            drop(client);
            result
        });
    assert!(matches!(opened, Err(HelloError::Identity(_))));
    assert!(matches!(received, Err(HelloError::Io(_))));
}

#[tokio::test]
async fn a_lane_is_proven_by_the_sessions_secret_over_its_own_keying_material() {
    let credentials = Credentials { session: SessionId::random(), secret: SessionSecret::random() };
    for (theirs, good) in [(ChannelBinding([4; 32]), true), (ChannelBinding([5; 32]), false)] {
        let ours = ChannelBinding([4; 32]);
        let (mut client, mut edge) = pair();
        let identity = SecretKey::generate().unwrap();
        let (proven, opened) = tokio::join!(
            async {
                let opened = receive(&mut edge, &ours, HOST, &identity).await.unwrap();
                let Opened::Lane(lane) = opened else { panic!("not a lane") };
                assert_eq!(lane.session, credentials.session);
                let proven = lane.is_proven(&credentials.secret, &ours);
                LaneApplicant::welcome(&mut edge, &credentials.secret, &ours).await.unwrap();
                proven
            },
            open_lane(&mut client, &theirs, &credentials)
        );
        assert_eq!((proven, opened.is_ok()), (good, good));
    }
}

#[tokio::test]
async fn who_only_looks_proves_itself_as_well_and_gets_a_report() {
    let (mut client, mut edge) = pair();
    let (identity, key) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let binding = ChannelBinding([6; 32]);
    let report = Report { sessions: 2, idle: Idle::Held { after_s: 3600 }, ..Report::default() };
    let (told, wanted) = (report.clone(), request());
    let (looked, asked) = tokio::join!(
        async {
            let opened = receive(&mut edge, &binding, HOST, &identity).await.unwrap();
            let Opened::Look(applicant) = opened else { panic!("not a look") };
            Applicant::tell(&mut edge, told).await.unwrap();
            applicant
        },
        ask(&mut client, &binding, HOST, &wanted, &key, |_| Ok(()))
    );
    assert_eq!((looked.key, looked.request.names), (key.public_key(), wanted.names));
    assert_eq!(asked.unwrap(), report);
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
    let (mut client, mut edge) = duplex(64);
    client.write_all(b"irp1\xff\xff").await.unwrap();
    let identity = SecretKey::generate().unwrap();
    let error = receive(&mut edge, &ChannelBinding([0; 32]), HOST, &identity).await.unwrap_err();
    assert!(matches!(error, HelloError::Frame(_)), "{error}");
}

#[test]
fn secrets_do_not_print() {
    let credentials = Credentials { session: SessionId::random(), secret: SessionSecret::random() };
    assert!(format!("{credentials:?}").contains("SessionSecret(…)"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse_frame::<Open>(&bytes);
    }
}
