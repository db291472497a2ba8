//! Whatever a stranger sends as a hello, the edge ends without panic, reads whole frames and not a byte more,
//! and takes nobody for a client who has not signed this very session.
//!
//! Input: a byte of choices, then what the client sends. With bit 0 the second frame is signed by a key that
//! the fuzzer does not have, so that what comes after the signature is reached too.

#![no_main]

use irp_fuzz::{base64, finish, frame, key, split_frame, stops};
use irp_wire::{
    hello::{self, NAMES_MAX, Open, Opened},
    name::Hostname,
    proof::{ChannelBinding, Role, Statement},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, join};

const HOST: &str = "a.example";
const BINDING: ChannelBinding = ChannelBinding([7; 32]);

fuzz_target!(|data: &[u8]| {
    let Some((choices, stream)) = data.split_first() else { return };
    let _ = hello::parse_frame::<Open>(stream);
    let signed = (choices & 1 != 0).then(|| sign(stream)).flatten();
    let stream = signed.as_deref().unwrap_or(stream);

    let (first, second) = stream.split_at(usize::from(choices >> 1).min(stream.len()));
    let mut io = join(first.chain(second), Vec::new());
    let opened = finish(hello::receive(&mut io, &BINDING, HOST, &key(1)));
    let (rest, written) = (io.reader().get_ref(), io.writer());

    let read = stream.len() - rest.0.len() - rest.1.len();
    let allowed = stops(stream);
    assert!(allowed.iter().take(2).any(|stop| *stop == read), "read {read} of {allowed:?}");
    match opened {
        Ok(Opened::Control(applicant) | Opened::Errand(applicant) | Opened::Look(applicant)) => {
            assert!(signed.is_some() && applicant.key == key(2).public_key(), "nobody has signed");
            assert!((1..=NAMES_MAX).contains(&applicant.request.names.len()));
            let agent = applicant.request.agent;
            assert!(agent.chars().count() <= 64 && !agent.contains(char::is_control));
            assert_eq!(Some(&read), allowed.get(1));
        }
        Ok(Opened::Lane(lane)) => {
            assert!(!lane.is_proven(&secret(), &BINDING), "nobody has made a MAC");
            assert!(written.is_empty() && read == allowed[0]);
        }
        Err(_) => {}
    }
    // The edge says one thing at most before its verdict: its own proof.
    assert!(written.is_empty() || split_frame(written).is_some_and(|(_, rest)| rest.is_empty()));
});

/// The stream with its second frame signed, where that reads as a claim.
fn sign(stream: &[u8]) -> Option<Vec<u8>> {
    let (open, rest) = split_frame(stream)?;
    let (claim, rest) = split_frame(rest)?;
    let mut claim: Value = serde_json::from_slice(claim).ok()?;
    let names: Vec<Hostname> = serde_json::from_value(claim.get("names")?.clone()).ok()?;
    let statement = Statement { role: Role::Client, host: HOST, names: &names, binding: &BINDING };
    let signature = key(2).sign(&statement.to_signed_bytes());
    let claim_fields = claim.as_object_mut()?;
    claim_fields.insert("key".into(), key(2).public_key().to_string().into());
    claim_fields.insert("signature".into(), serde_json::to_value(base64(&signature)).ok()?);
    Some([frame(open)?, frame(&serde_json::to_vec(&claim).ok()?)?, rest.to_vec()].concat())
}

fn secret() -> hello::SessionSecret {
    serde_json::from_value(base64(&[3; 32]).into()).expect("32 bytes are a secret")
}
