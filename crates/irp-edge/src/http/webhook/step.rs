//! Two steps of the pipeline: verify the signature, answer handshakes.

use std::sync::Arc;

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderValue, Method, Uri, header, request};
use hyper::body::Incoming;
use irp_webhook::{Answer, Failure, Handshake, Provider, Request, Verified, Verifier};
use irp_wire::policy::{VERIFIED, WEBHOOK, Webhook};

use super::{
    body::read,
    policy::{Owner, Policies, Rule, Sight},
};
use crate::{
    certs::{Clock as _, SystemClock},
    http::{Refusal, body::Whole, headers::Target, service::Shared},
    inbox::{Identity, Inbox},
    metrics::Counts,
};

/// The longest body of a request whose headers already show that it is not signed: enough for a handshake.
const UNSIGNED_MAX: usize = 16 * 1024;

/// What becomes of a request to a name with policies.
pub(in crate::http) enum Outcome {
    /// It goes on as it came: its path is open.
    Open(Incoming),
    /// It goes on, with its body read.
    Checked(Whole, Box<Note>),
    /// The edge answers a handshake; the text says which.
    Answered(Answer, String),
}

/// What is known about a request that goes on, and has to be told or taken back.
pub(in crate::http) struct Note {
    rule: Arc<Rule>,
    webhook: Webhook,
    /// A signing that is noted against replays.
    noted: Option<[u8; 32]>,
    /// What is needed to keep the request; `None` where it must not be kept.
    keeping: Option<Keeping>,
}

/// What a verified request is known by when it is kept.
#[derive(Debug)]
pub(in crate::http) struct Keeping {
    /// The URL as the provider called it.
    pub(in crate::http) url: String,
    /// What tells it from others.
    pub(in crate::http) known: Known,
}

/// What tells a verified request from others.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Known {
    /// With which secret it was signed.
    pub(in crate::http) key: usize,
    /// The same in all attempts of one delivery.
    pub(in crate::http) identity: Option<Identity>,
    /// Whether the very same delivery is kept already.
    pub(in crate::http) is_kept: bool,
}

/// Verifies a request by the policies of its name.
pub(in crate::http) async fn check(
    shared: &Shared,
    policies: &Policies,
    target: &Target,
    parts: &request::Parts,
    body: Incoming,
) -> Result<Outcome, Refusal> {
    let rule = match policies.owner(&parts.method, parts.uri.path()) {
        Owner::Provider(rule) => rule,
        Owner::Everybody => return Ok(Outcome::Open(body)),
        Owner::Nobody => {
            // A visitor of HTTP/2 who still sends would take the answer for a failure.
            let rest = read(body, UNSIGNED_MAX, None, shared.limits.upload_idle, &shared.budget);
            let _ = Box::pin(rest).await;
            return Err(Refusal::Closed);
        }
    };
    let verifier = rule.verifier();
    let announced = announced(&parts.headers);
    let unsigned_max = policies.body_max().min(UNSIGNED_MAX);
    // What is short is read in any case.
    let is_short = announced.is_some_and(|bytes| bytes <= unsigned_max as u64);
    let early = if is_short { Ok(()) } else { verifier.check_headers(&parts.headers) };
    let limit = if early.is_ok() || rule.report { policies.body_max() } else { unsigned_max };
    let whole = read(body, limit, announced, shared.limits.upload_idle, &shared.budget).await;
    let whole = match (whole, early) {
        (Err(Refusal::TooLarge), Err(failure)) if !rule.report => {
            return Err(refused(&rule, &failure, &shared.counts));
        }
        (whole, _) => whole?,
    };
    let url = public_url(&target.host, &parts.uri);
    let request =
        Request { method: parts.method.as_str(), url: &url, headers: &parts.headers, body: whole.bytes() };
    let may_keep = rule.inbox && parts.method == Method::POST;
    let parking = shared.inbox.as_ref().filter(|_| may_keep).map(|inbox| Parking {
        inbox,
        target,
        path: parts.uri.path(),
    });
    let judged = judge(shared, &rule, &verifier, &request, parking).await?;
    Ok(match judged {
        Judged::Answer(answer, text) => Outcome::Answered(answer, text),
        Judged::Pass { webhook, noted, known } => {
            let keeping = known.map(|known| Keeping { known, url });
            Outcome::Checked(whole, Box::new(Note { rule, webhook, noted, keeping }))
        }
    })
}

/// Where a request would be kept.
struct Parking<'p> {
    inbox: &'p Inbox,
    target: &'p Target,
    path: &'p str,
}

enum Judged {
    Answer(Answer, String),
    Pass {
        webhook: Webhook,
        noted: Option<[u8; 32]>,
        /// `None` where it was not verified, and passes all the same, or must not be kept.
        known: Option<Known>,
    },
}

impl Parking<'_> {
    /// What the request is known by here.
    fn know(&self, rule: &Rule, verified: &Verified, delivery: Option<&str>) -> Known {
        // Where a time is signed, no other request has this signing.
        let signing = verified.signed_at.map(|_| &verified.fingerprint);
        let identity = self.identity(rule, delivery, signing);
        let is_kept = identity.as_ref().is_some_and(|identity| self.inbox.known(identity));
        Known { key: verified.key, identity, is_kept }
    }

    /// Tells one delivery of a provider to one path from all others.
    fn identity(&self, rule: &Rule, delivery: Option<&str>, signing: Option<&[u8; 32]>) -> Option<Identity> {
        // One that was cut could stand for two.
        let delivery = delivery.filter(|text| text.chars().count() < irp_webhook::NAME_MAX);
        let (kind, number) = match (delivery, signing) {
            (Some(delivery), _) => ("delivery", delivery.as_bytes()),
            (None, Some(signing)) => ("signing", signing.as_slice()),
            (None, None) => return None,
        };
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [rule.provider().name(), &self.target.name(), self.path, kind] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        hash.update(number);
        hash.finish().as_ref().try_into().ok()
    }
}

/// What few requests need is boxed, so that the others do not carry its state about.
async fn judge(
    shared: &Shared,
    rule: &Rule,
    verifier: &Verifier,
    request: &Request<'_>,
    parking: Option<Parking<'_>>,
) -> Result<Judged, Refusal> {
    let counts = &shared.counts;
    let provider = rule.provider();
    let kind = provider.kind(request);
    let answered = |handshake| match handshake {
        Some(Handshake::Answer(answer)) if rule.handshakes => {
            counts.handshake(rule.column);
            let what = kind.name.as_deref().unwrap_or("handshake");
            Some(Judged::Answer(answer, format!("{} ✓ {what}", provider.name())))
        }
        // What else there is, the program behind the tunnel has to do.
        _ => None,
    };
    let handshake = match verifier.open_handshake(request) {
        Some(Handshake::Learn { secret, answer }) if rule.handshakes => {
            let kept = Box::pin(shared.learned.keep(rule, &secret)).await;
            kept.map_err(|why| Refusal::Unconfirmed(format!("{} ✗ {why}", provider.name())))?;
            Some(Handshake::Answer(answer))
        }
        other => other,
    };
    if let Some(judged) = answered(handshake) {
        return Ok(judged);
    }
    let now = SystemClock.now();
    let certificate = match verifier.certificate_url(request) {
        Ok(Some(url)) => Box::pin(shared.notary.certificate(&url)).await,
        _ => None,
    };
    let verdict = verifier.verify(request, now, certificate.as_deref());
    let (mut noted, mut known, mut sight) = (None, None::<Known>, Sight::Unknown);
    let failure = match verdict {
        Ok(verified) => {
            let handshake = match verifier.signed_handshake(request, &verified) {
                Some(Handshake::Confirm { url, answer }) if rule.handshakes => {
                    // Where that fails, the provider tries again.
                    let confirmed = Box::pin(shared.notary.confirm(&url)).await;
                    confirmed.map_err(|why| Refusal::Unconfirmed(format!("{} ✗ {why}", provider.name())))?;
                    Some(Handshake::Answer(answer))
                }
                other => other,
            };
            if let Some(judged) = answered(handshake) {
                return Ok(judged);
            }
            known = parking.map(|parking| parking.know(rule, &verified, kind.delivery.as_deref()));
            // The repeat of a delivery that is kept is no attack.
            if !known.as_ref().is_some_and(|known| known.is_kept) {
                sight = rule.see(verified.fingerprint, now);
            }
            noted = (sight == Sight::New).then_some(verified.fingerprint);
            (sight == Sight::Replay).then_some(Failure::Replayed)
        }
        Err(failure) => Some(failure),
    };
    match &failure {
        None => counts.verified(rule.column),
        Some(failure) if rule.report => counts.failure(rule.column, failure),
        Some(failure) => return Err(refused(rule, failure, counts)),
    }
    let deadline = provider.manners().deadline.as_millis();
    let webhook = Webhook {
        provider: provider.name().to_owned(),
        failure: failure.map(|failure| failure.to_string()),
        kind: kind.name,
        retry: kind.retry,
        repeated: sight == Sight::Repeat,
        deadline_ms: u32::try_from(deadline).unwrap_or(u32::MAX),
        kept_s: None,
    };
    let known = known.filter(|_| webhook.failure.is_none());
    Ok(Judged::Pass { webhook, noted, known })
}

fn refused(rule: &Rule, failure: &Failure, counts: &Counts) -> Refusal {
    counts.failure(rule.column, failure);
    Refusal::Unverified(format!("{} ✗ {failure}", rule.provider().name()))
}

/// The URL as the provider called it. Nobody signs a URL without TLS.
fn public_url(host: &HeaderValue, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    ["https://", host.to_str().unwrap_or_default(), path].concat()
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Note {
    /// Tells the upstream that the request was verified, and the client what it is.
    pub(in crate::http) fn tell(&self, headers: &mut HeaderMap) {
        if self.webhook.failure.is_none()
            && let Some(name) = &self.rule.verified
        {
            headers.insert(VERIFIED, name.clone());
        }
        if let Some(value) = self.webhook.to_header() {
            headers.insert(WEBHOOK, value);
        }
    }

    /// What is needed to keep the request, where it may be kept.
    pub(in crate::http) fn take_keeping(&mut self) -> Option<Keeping> {
        self.keeping.take()
    }

    /// Whose it is.
    pub(in crate::http) fn provider(&self) -> &Provider {
        self.rule.provider()
    }

    /// What the provider calls it.
    pub(in crate::http) fn kind(&self) -> Option<&str> {
        self.webhook.kind.as_deref()
    }

    /// The request was answered: the same again is a replay.
    pub(in crate::http) fn keep(mut self) {
        self.noted = None;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some(noted) = self.noted.take() {
            self.rule.forget(&noted);
        }
    }
}
