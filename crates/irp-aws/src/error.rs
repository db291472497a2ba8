//! What went wrong with a call, in AWS's own words and as a kind to act upon.

use std::fmt;

use crate::service::Service;

/// How much of AWS's message is kept, in characters: encoded authorization failures fill pages.
const MESSAGE_MOST: usize = 600;

/// A call that AWS refused, or that did not reach it.
#[derive(Debug)]
pub struct Error {
    action: Action,
    kind: Kind,
    /// In a box, since every call returns a result with room for an error.
    words: Box<Words>,
}

#[derive(Debug)]
struct Words {
    code: Option<String>,
    message: String,
    request_id: Option<String>,
    status: Option<u16>,
    source: Option<Cause>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.words.source.as_deref()?;
        Some(source)
    }
}

/// An error that caused this one.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What of AWS was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// The service.
    pub service: Service,
    /// The operation as the API calls it, such as `RunInstances`.
    pub operation: &'static str,
}

/// What kind of failure it is: what a program does about it, and what a person can mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The caller may not do this: the policy lacks the action, or something denies it.
    Denied,
    /// There are no credentials, or they cannot be read.
    NoCredentials,
    /// The credentials were good once (a session of SSO, of an assumed role).
    ExpiredCredentials,
    /// AWS does not know the credentials, or the signature is wrong.
    BadCredentials,
    /// The clock here differs from that of AWS.
    ClockSkew {
        /// By how many seconds ours is ahead, if the answer told.
        ahead_s: Option<i64>,
    },
    /// Too many calls; all tries were refused.
    Throttled,
    /// What was named does not exist (yet).
    NotFound,
    /// What was to be made exists.
    Exists,
    /// The condition of a conditional write does not hold, or another write is under way.
    Precondition,
    /// AWS has no free machine of that type there at the moment.
    Capacity,
    /// A quota of the account is used up.
    Quota,
    /// It is in use by something else.
    InUse,
    /// AWS understood, and will not do it as asked.
    Invalid,
    /// AWS failed.
    Service,
    /// AWS was not reached, or did not answer in time.
    Network,
    /// The answer cannot be read.
    Answer,
}

impl Error {
    pub(crate) fn new(action: Action, kind: Kind, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_MOST) {
            message.truncate(end);
            message.push('…');
        }
        let words = Words { code: None, message, request_id: None, status: None, source: None };
        Self { action, kind, words: Box::new(words) }
    }

    pub(crate) fn because(mut self, source: impl Into<Cause>) -> Self {
        self.words.source = Some(source.into());
        self
    }

    /// Makes an error of what AWS answered.
    pub(crate) fn refused(action: Action, refusal: Refusal) -> Self {
        let kind = refusal.kind();
        let mut error = Self::new(action, kind, refusal.message);
        error.words.code = refusal.code;
        error.words.request_id = refusal.request_id;
        error.words.status = Some(refusal.status);
        error
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same, of another kind, where the call knows better than the code.
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// AWS's own code, such as `InvalidInstanceID.NotFound`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.words.code.as_deref()
    }

    /// AWS's own message, or ours where the call never arrived.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.words.message
    }

    /// The number by which AWS's support finds the call.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.words.request_id.as_deref()
    }

    /// What was called, as policies name it: `ec2:RunInstances`.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether AWS gave this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.words.code.as_deref() == Some(code)
    }

    fn sentence(&self) -> String {
        let action = self.action;
        let mut text = match (&self.words.code, self.words.status) {
            (Some(code), _) => format!("{action} was refused: {code}: {}", self.words.message),
            (None, Some(status)) => {
                format!("{action} was refused with status {status}: {}", self.words.message)
            }
            (None, None) => format!("{action} failed: {}", self.words.message),
        };
        if let Some(id) = &self.words.request_id {
            text.push_str(&format!(" (request {id})"));
        }
        text
    }
}

impl Action {
    /// The action that a policy has to allow for this call. It differs from the operation where S3 names its
    /// actions after permissions, not calls.
    #[must_use]
    pub fn permission(self) -> String {
        let permission = match (self.service, self.operation) {
            (Service::S3, "HeadObject") => "GetObject",
            (Service::S3, "ListObjectsV2" | "HeadBucket") => "ListBucket",
            (Service::S3, "PutPublicAccessBlock") => "PutBucketPublicAccessBlock",
            (Service::S3, "GetPublicAccessBlock") => "GetBucketPublicAccessBlock",
            (Service::S3, "GetBucketEncryption") => "GetEncryptionConfiguration",
            (Service::S3, "GetBucketLifecycleConfiguration") => "GetLifecycleConfiguration",
            (Service::S3, "PutBucketEncryption") => "PutEncryptionConfiguration",
            (Service::S3, "PutBucketLifecycleConfiguration") => "PutLifecycleConfiguration",
            (_, operation) => operation,
        };
        format!("{}:{permission}", self.service)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.operation)
    }
}

/// A refusal as it came.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    /// By how many seconds our clock is ahead of the `Date` of the answer.
    pub(crate) ahead_s: Option<i64>,
}

/// AWS takes signatures that are up to five minutes off.
const SKEW_ALLOWED_S: i64 = 300;

impl Refusal {
    fn kind(&self) -> Kind {
        let code = self.code.as_deref().unwrap_or_default();
        let skewed = Kind::ClockSkew { ahead_s: self.ahead_s };
        let is_skewed = self.ahead_s.is_some_and(|ahead| ahead.abs() > SKEW_ALLOWED_S);
        match code {
            "RequestTimeTooSkewed" | "RequestInTheFuture" => return skewed,
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure" | "RequestExpired"
                if is_skewed
                    || self.message.contains("Signature expired")
                    || self.message.contains("not yet current") =>
            {
                return skewed;
            }
            // EC2 says so of an expired session, too.
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
                return Kind::ExpiredCredentials;
            }
            "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature" => {
                return Kind::BadCredentials;
            }
            "PriorRequestNotComplete"
            | "TooManyUpdates"
            | "SlowDown"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded" => return Kind::Throttled,
            "PreconditionFailed" | "ConditionalRequestConflict" => return Kind::Precondition,
            "InsufficientInstanceCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientFreeAddressesInSubnet"
            | "InsufficientReservedInstanceCapacity"
            | "SpotMaxPriceTooLow" => return Kind::Capacity,
            "DependencyViolation"
            | "DeleteConflict"
            | "BucketNotEmpty"
            | "HostedZoneNotEmpty"
            | "IncorrectState" => {
                return Kind::InUse;
            }
            "BucketAlreadyOwnedByYou" => return Kind::Exists,
            _ => {}
        }
        match code {
            _ if code.contains("Throttl") => Kind::Throttled,
            _ if code.contains("AccessDenied")
                || code.contains("Unauthorized")
                || code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
                || code == "AuthException" =>
            {
                Kind::Denied
            }
            _ if code.contains("AlreadyExists") || code.contains("Duplicate") => Kind::Exists,
            _ if code.contains("NotFound") || code.starts_with("NoSuch") => Kind::NotFound,
            _ if code.contains("LimitExceeded") || code == "MaxSpotInstanceCountExceeded" => Kind::Quota,
            _ => match self.status {
                403 => Kind::Denied,
                404 => Kind::NotFound,
                409 | 412 => Kind::Precondition,
                429 => Kind::Throttled,
                500.. => Kind::Service,
                _ => Kind::Invalid,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str, message: &str, ahead_s: Option<i64>) -> Kind {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        Refusal { status, code, message: message.into(), request_id: None, ahead_s }.kind()
    }

    #[test]
    fn codes_of_all_services_become_kinds() {
        for (status, code, expected) in [
            (403, "UnauthorizedOperation", Kind::Denied),
            (400, "AccessDeniedException", Kind::Denied),
            (403, "AccessDenied", Kind::Denied),
            (403, "", Kind::Denied),
            (503, "RequestLimitExceeded", Kind::Throttled),
            (400, "Throttling", Kind::Throttled),
            (400, "ThrottlingException", Kind::Throttled),
            (400, "PriorRequestNotComplete", Kind::Throttled),
            (400, "InvalidInstanceID.NotFound", Kind::NotFound),
            (404, "NoSuchKey", Kind::NotFound),
            (400, "ParameterNotFound", Kind::NotFound),
            (400, "ExpiredToken", Kind::ExpiredCredentials),
            (400, "RequestExpired", Kind::ExpiredCredentials),
            (401, "AuthFailure", Kind::BadCredentials),
            (400, "InvalidGroup.Duplicate", Kind::Exists),
            (409, "EntityAlreadyExists", Kind::Exists),
            (412, "PreconditionFailed", Kind::Precondition),
            (500, "InsufficientInstanceCapacity", Kind::Capacity),
            (400, "VcpuLimitExceeded", Kind::Quota),
            (400, "MaxSpotInstanceCountExceeded", Kind::Quota),
            (400, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", Kind::Denied),
            (400, "DependencyViolation", Kind::InUse),
            (400, "InvalidChangeBatch", Kind::Invalid),
            (503, "Unavailable", Kind::Service),
        ] {
            assert_eq!(kind(status, code, "", None), expected, "{code}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_from_an_expired_session() {
        let ahead_s = Some(4000);
        assert_eq!(kind(403, "RequestTimeTooSkewed", "", ahead_s), Kind::ClockSkew { ahead_s });
        assert_eq!(kind(400, "RequestExpired", "", ahead_s), Kind::ClockSkew { ahead_s });
        assert_eq!(kind(400, "RequestExpired", "", Some(3)), Kind::ExpiredCredentials);
        let message = "Signature expired: 20261122T100000Z is now earlier than …";
        assert_eq!(kind(403, "SignatureDoesNotMatch", message, None), Kind::ClockSkew { ahead_s: None });
    }

    #[test]
    fn a_sentence_names_action_code_and_request_and_stays_short() {
        let action = Action { service: Service::Ec2, operation: "RunInstances" };
        let refusal = Refusal {
            status: 403,
            code: Some("UnauthorizedOperation".into()),
            message: "no".repeat(10_000),
            request_id: Some("r-1".into()),
            ahead_s: None,
        };
        let text = Error::refused(action, refusal).to_string();
        assert!(text.starts_with("ec2:RunInstances was refused: UnauthorizedOperation: nono"), "{text}");
        assert!(text.ends_with("… (request r-1)") && text.len() < 800, "{text}");
    }
}
