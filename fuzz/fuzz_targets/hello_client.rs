//! Whatever answers as an edge, the client ends without panic, reads whole frames and not a byte more, and
//! says who it is only to an edge that has signed this very session and that the client knows.
//!
//! Input: a byte of choices, then what the edge sends. With bit 0 the first frame is signed by the edge's
//! true key, which the fuzzer does not have; with bit 1 the client knows that key. With bit 2 it is a lane.

#![no_main]

use irp_fuzz::{base64, finish, frame, key, split_frame, stops};
use irp_wire::{
    hello::{self, Credentials, HelloError, Request},
    proof::{ChannelBinding, Role, Statement},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, join};

const HOST: &str = "a.example";
const BINDING: ChannelBinding = ChannelBinding([7; 32]);

fuzz_target!(|data: &[u8]| {
    let Some((choices, stream)) = data.split_first() else { return };
    if choices & 4 != 0 {
        return lane(stream);
    }
    let signed = (choices & 1 != 0).then(|| sign(stream)).flatten();
    let stream = signed.as_deref().unwrap_or(stream);
    let is_known = choices & 2 != 0;

    let (first, second) = stream.split_at(usize::from(choices >> 3).min(stream.len()));
    let mut io = join(first.chain(second), Vec::new());
    let request = Request {
        names: vec![HOST.parse().expect("a name")],
        instance: 1,
        lanes_max: 2,
        agent: "fuzz".into(),
    };
    let mut asked = None;
    let client = key(2);
    let opened = finish(hello::open_control(&mut io, &BINDING, HOST, &request, &client, |identity| {
        asked = Some(*identity);
        if is_known && *identity == key(1).public_key() { Ok(()) } else { Err("not known".into()) }
    }));
    let rest = io.reader().get_ref();
    let read = stream.len() - rest.0.len() - rest.1.len();
    let allowed = stops(stream);
    assert!(allowed.iter().take(2).any(|stop| *stop == read), "read {read} of {allowed:?}");

    // Without a known edge there is nothing but the first frame, in which nobody is named.
    let (_, after_open) = split_frame(io.writer()).expect("the client begins with a frame");
    let told = !after_open.is_empty();
    assert!(signed.is_some() || asked.is_none(), "nobody has signed");
    assert_eq!(told, is_known && asked.is_some(), "the client says who it is to an edge that it knows");
    assert!(!String::from_utf8_lossy(io.writer()).contains(&client.public_key().to_string()) || told);
    match opened {
        Ok(_) => assert!(told && allowed.get(1) == Some(&read)),
        Err(HelloError::Identity(_)) => assert!(!told),
        Err(HelloError::Sign(_)) => panic!("the key is there"),
        Err(_) => {}
    }
});

/// A lane is taken by nobody who does not have the session's secret.
fn lane(stream: &[u8]) {
    let credentials = Credentials {
        session: serde_json::from_value(base64(&[4; 16]).into()).expect("16 bytes are a number"),
        secret: serde_json::from_value(base64(&[3; 32]).into()).expect("32 bytes are a secret"),
    };
    let mut io = join(stream, Vec::new());
    let opened = finish(hello::open_lane(&mut io, &BINDING, &credentials));
    assert!(opened.is_err(), "nobody has made a MAC");
    let read = stream.len() - io.reader().len();
    assert!(stops(stream).first() == Some(&read));
}

/// The stream with its first frame signed, where that reads as an edge's proof.
fn sign(stream: &[u8]) -> Option<Vec<u8>> {
    let (proof, rest) = split_frame(stream)?;
    let mut proof: Value = serde_json::from_slice(proof).ok()?;
    let statement = Statement { role: Role::Edge, host: HOST, names: &[], binding: &BINDING };
    let signature = key(1).sign(&statement.to_signed_bytes());
    let fields = proof.as_object_mut()?;
    fields.insert("identity".into(), key(1).public_key().to_string().into());
    fields.insert("signature".into(), base64(&signature).into());
    Some([frame(&serde_json::to_vec(&proof).ok()?)?, rest.to_vec()].concat())
}
