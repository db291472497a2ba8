//! What was signed is believed, for every provider that can be signed for and any body that its scheme admits.

use http::header;
use irp_webhook::Provider;
use proptest::prelude::*;

use crate::case::{Case, SIGNED_AT, at, secret_of};

/// A body as the scheme admits it.
fn body_for(provider: &str, bytes: &[u8], is_form: bool) -> Vec<u8> {
    match provider {
        "mailgun" | "linear" => serde_json::to_vec(&serde_json::json!({ "x": bytes })).unwrap(),
        "twilio" if is_form => {
            let pairs =
                bytes.chunks(3).map(|chunk| format!("p{}={:?}", chunk[0] % 5, chunk).replace(", ", "%2C+"));
            pairs.collect::<Vec<_>>().join("&").into_bytes()
        }
        _ => bytes.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_signed_is_believed(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        path in "/[a-zA-Z0-9%:/?=&!*.-]{0,40}",
        second in SIGNED_AT..SIGNED_AT * 2,
        id in "[a-zA-Z0-9_-]{1,40}",
        is_form in any::<bool>(),
    ) {
        for provider in Provider::all().iter().filter(|provider| provider.name() != "sns") {
            let name = provider.name();
            let mut case = Case::new(name, &secret_of(name), &[], &body_for(name, &bytes, is_form));
            case.url = format!("https://alice.example.com:8443{path}");
            case.now = at(second);
            if name == "twilio" && is_form {
                let form = "application/x-www-form-urlencoded".parse().unwrap();
                case.headers.insert(header::CONTENT_TYPE, form);
            }
            case.sign(&id);
            prop_assert!(case.verdict().is_ok(), "{name}: {:?}", case.verdict());

            // Delivered later, it is signed anew, and is the same delivery.
            if provider.is_symmetric() {
                let delivery = provider.kind(&case.request()).delivery;
                case.now = at(second + 100_000);
                let again = case.verifier().sign_again(&case.request(), case.now, 7).unwrap();
                (case.url, case.body) = (again.url, again.body);
                for (header, value) in again.headers {
                    case.headers.insert(header, value);
                }
                prop_assert!(case.verdict().is_ok(), "again, {name}: {:?}", case.verdict());
                prop_assert_eq!(provider.kind(&case.request()).delivery, delivery, "{}", name);
            }

            // Another secret beside it, as while it is being changed, before and after.
            case.secrets.insert(0, crate::case::other_secret_of(name));
            prop_assert_eq!(case.verdict().unwrap().key, 1, "{}", name);
            // And not by the other one alone.
            case.secrets.pop();
            prop_assert!(case.verdict().is_err(), "{}", name);
        }
    }

    #[test]
    fn nothing_makes_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        value in "[ -~]{0,120}",
        url in "[ -~]{0,60}",
    ) {
        for provider in Provider::all().iter().filter(|provider| provider.name() != "sns") {
            let mut case = Case::new(provider.name(), &secret_of(provider.name()), &[], b"{}");
            case.sign("1");
            case.url.clone_from(&url);
            case.body.clone_from(&bytes);
            for header in case.headers.values_mut() {
                *header = value.parse().unwrap();
            }
            let _ = case.verdict();
            let _ = provider.kind(&case.request());
            let _ = provider.offline(&case.request());
            let _ = case.verifier().open_handshake(&case.request());
        }
    }
}
