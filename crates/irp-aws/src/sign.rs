//! Signature Version 4, in headers or, for URLs to hand on, in the query.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use bytes::Bytes;

use crate::{error::Cause, service::Service};

/// For whom and when a signature is made.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) service: Service,
    pub(crate) region: &'a str,
    pub(crate) credentials: &'a Credentials,
    pub(crate) at: SystemTime,
}

impl Signer<'_> {
    /// Adds the signature to the headers.
    pub(crate) fn sign(&self, request: &mut http::Request<Bytes>) -> Result<(), Cause> {
        let mut settings = self.settings();
        if self.service == Service::S3 {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        self.apply(request, settings, false)
    }

    /// Makes a URL that whoever has it may GET for `lasts`, at most seven days.
    pub(crate) fn presign(&self, uri: http::Uri, lasts: Duration) -> Result<String, Cause> {
        let mut settings = self.settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(lasts);
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = uri;
        self.apply(&mut request, settings, true)?;
        Ok(request.uri().to_string())
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == Service::S3 {
            // S3 takes the path as it was sent; the others decode it first.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }

    fn apply(
        &self,
        request: &mut http::Request<Bytes>,
        settings: SigningSettings,
        unsigned_body: bool,
    ) -> Result<(), Cause> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service.prefix())
            .time(self.at)
            .settings(settings)
            .build()?
            .into();
        let headers = request.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body =
            if unsigned_body { SignableBody::UnsignedPayload } else { SignableBody::Bytes(request.body()) };
        let uri = request.uri().to_string();
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_ID: &str = "AKIDEXAMPLE";

    fn credentials() -> Credentials {
        Credentials::new(KEY_ID, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test")
    }

    #[test]
    fn the_url_of_amazons_own_example_is_signed_as_there() {
        // "Authenticating Requests: Using Query Parameters" of the S3 API reference.
        let credentials = Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            None,
            "test",
        );
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let signer = Signer { service: Service::S3, region: "us-east-1", credentials: &credentials, at };
        let uri = "https://examplebucket.s3.amazonaws.com/test.txt".parse().unwrap();
        let url = signer.presign(uri, Duration::from_secs(86400)).unwrap();
        let signature = "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(url.contains(signature), "{url}");
    }

    #[test]
    fn headers_carry_service_and_region() {
        let credentials = credentials();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let signer = Signer { service: Service::Iam, region: "us-east-1", credentials: &credentials, at };
        let mut request = http::Request::new(Bytes::from_static(b"Action=ListUsers"));
        *request.uri_mut() = "https://iam.amazonaws.com/".parse().unwrap();
        signer.sign(&mut request).unwrap();
        let header = request.headers()["authorization"].to_str().unwrap();
        assert!(header.contains("Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request"), "{header}");
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
    }
}
