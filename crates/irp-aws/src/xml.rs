//! XML answers: bounded by the size of the answer, read into typed structs, refusals in any of AWS's four shapes.

use std::collections::BTreeMap;

use quick_xml::{Reader, events::Event};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{
    error::{Action, Error, Kind},
    transport::Answer,
};

/// Reads an answer.
pub(crate) fn parse<T: DeserializeOwned>(action: Action, answer: &Answer) -> Result<T, Error> {
    let unreadable = |message: &str| Error::new(action, Kind::Answer, message);
    let text = std::str::from_utf8(&answer.body)
        .map_err(|error| unreadable("the answer is no UTF-8").because(error))?;
    quick_xml::de::from_str(text)
        .map_err(|error| unreadable("the answer does not have the expected shape").because(error))
}

/// The `<item>` elements of a list, as EC2 writes it.
pub(crate) fn items<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    struct Set<T> {
        #[serde(default = "Vec::new")]
        item: Vec<T>,
    }
    Set::deserialize(from).map(|set| set.item)
}

/// The `<member>` elements of a list, as IAM writes it.
pub(crate) fn members<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    struct Set<T> {
        #[serde(default = "Vec::new")]
        member: Vec<T>,
    }
    Set::deserialize(from).map(|set| set.member)
}

/// EC2's tags.
pub(crate) fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Tag {
        key: String,
        #[serde(default)]
        value: String,
    }
    let tags: Vec<Tag> = items(from)?;
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// An element that is empty where others leave it out.
pub(crate) fn non_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Code, message and request id of a refusal. EC2, S3, the query protocol and older answers of Route 53 nest and
/// spell them differently, and only names matter here.
pub(crate) fn refusal(body: &[u8]) -> (Option<String>, String, Option<String>) {
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::from_str(&text);
    let (mut root, mut element) = (None, String::new());
    let (mut code, mut messages, mut request_id) = (None, Vec::new(), None);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                element = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                root.get_or_insert_with(|| element.clone());
            }
            Ok(Event::Text(text)) => {
                keep(&element, &text.decode().unwrap_or_default(), &mut code, &mut messages, &mut request_id)
            }
            Ok(Event::CData(text)) => {
                keep(&element, &text.decode().unwrap_or_default(), &mut code, &mut messages, &mut request_id)
            }
            // An entity such as `&apos;`, which stands between two texts.
            Ok(Event::GeneralRef(entity)) => {
                let entity = entity.decode().unwrap_or_default();
                let letter = quick_xml::escape::resolve_xml_entity(&entity).unwrap_or(" ");
                keep(&element, letter, &mut code, &mut messages, &mut request_id);
            }
            Ok(Event::End(_)) => element.clear(),
            // What cannot be read tells no more.
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    // An answer whose root is the code: `<InvalidChangeBatch><Messages>…`.
    let root = root.filter(|root| !matches!(root.as_str(), "Error" | "ErrorResponse" | "Response" | "html"));
    (code.or(root), messages.concat().trim().to_owned(), request_id)
}

fn keep(
    element: &str,
    text: &str,
    code: &mut Option<String>,
    messages: &mut Vec<String>,
    request_id: &mut Option<String>,
) {
    match element {
        "Code" if code.is_none() => *code = Some(text.trim().to_owned()),
        "Message" | "message" => messages.push(text.to_owned()),
        "RequestId" | "RequestID" => *request_id = Some(text.trim().to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_all_shapes_are_read() {
        let some = |text: &str| Some(text.to_owned());
        for (body, code, message, request_id) in [
            (
                "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You &amp; I</Message></Error>\
                 </Errors><RequestID>r</RequestID></Response>",
                some("UnauthorizedOperation"),
                "You & I",
                some("r"),
            ),
            (
                "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
                 <Type>Sender</Type><Code>NoSuchEntity</Code><Message>gone</Message></Error>\
                 <RequestId>q</RequestId></ErrorResponse>",
                some("NoSuchEntity"),
                "gone",
                some("q"),
            ),
            (
                "<InvalidChangeBatch xmlns=\"x\"><Messages><Message>not found</Message></Messages>\
                 <RequestId>p</RequestId></InvalidChangeBatch>",
                some("InvalidChangeBatch"),
                "not found",
                some("p"),
            ),
            (
                "<Error><Code>PreconditionFailed</Code><Message>x</Message><Condition>If-Match</Condition>\
                 <RequestId>o</RequestId></Error>",
                some("PreconditionFailed"),
                "x",
                some("o"),
            ),
            ("", None, "", None),
            ("<html><body>Bad Gateway</body></html>", None, "", None),
            ("<Error><Code>Broken", some("Broken"), "", None),
        ] {
            assert_eq!(refusal(body.as_bytes()), (code, message.to_owned(), request_id), "{body}");
        }
    }

    #[test]
    fn lists_may_be_empty_or_absent() {
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(rename_all = "camelCase")]
        struct Thing {
            #[serde(default, deserialize_with = "items")]
            group_set: Vec<String>,
            #[serde(default, deserialize_with = "tags")]
            tag_set: BTreeMap<String, String>,
            #[serde(default, deserialize_with = "non_empty")]
            ip: Option<String>,
        }
        let of = |text: &str| quick_xml::de::from_str::<Thing>(text).unwrap();
        let nothing = Thing { group_set: vec![], tag_set: BTreeMap::new(), ip: None };
        assert_eq!(of("<r/>"), nothing);
        assert_eq!(of("<r xmlns='x'><groupSet/><tagSet></tagSet><ip/></r>"), nothing);
        let some = of("<r>\n <groupSet>\n<item>a</item><item>b</item></groupSet><tagSet><item><key>k</key>\
                       <value>v</value></item><item><key>e</key><value/></item></tagSet><ip>1</ip></r>");
        assert_eq!(some.group_set, ["a", "b"]);
        assert_eq!(some.tag_set, BTreeMap::from([("k".into(), "v".into()), ("e".into(), String::new())]));
        assert_eq!(some.ip.as_deref(), Some("1"));
    }
}
