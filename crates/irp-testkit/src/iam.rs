//! As much of IAM's evaluation as irp's policies use: effects, wildcards, and the operators of their conditions with
//! their odd cases (IAM User Guide, "Condition operators").

use std::collections::BTreeMap;

use serde_json::Value;

/// Policies, ready to judge.
#[derive(Debug)]
pub struct Judge {
    statements: Vec<Value>,
}

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub struct Call {
    action: String,
    resource: String,
    context: BTreeMap<String, Vec<String>>,
}

impl Call {
    /// An action such as `ec2:RunInstances`, and the ARN of one resource, or `*`.
    #[must_use]
    pub fn new(action: &str, resource: &str) -> Self {
        Self { action: action.into(), resource: resource.into(), context: BTreeMap::new() }
    }

    /// The same with the values of a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.context.insert(key.to_ascii_lowercase(), values);
        self
    }

    /// What is done.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The values of a key, whose name has no case. A key without values is as good as absent.
    fn values(&self, key: &str) -> Option<&[String]> {
        self.context.get(&key.to_ascii_lowercase()).map(Vec::as_slice).filter(|values| !values.is_empty())
    }
}

impl Judge {
    /// Of one policy document.
    ///
    /// # Panics
    ///
    /// When the document is none that IAM would take.
    #[must_use]
    pub fn of(policy: &Value) -> Self {
        assert_eq!(policy["Version"], "2012-10-17");
        let statements = policy["Statement"].as_array().unwrap().clone();
        let mut sids: Vec<_> =
            statements.iter().map(|statement| statement["Sid"].as_str().unwrap()).collect();
        let before = sids.len();
        sids.sort_unstable();
        sids.dedup();
        assert_eq!(sids.len(), before, "each Sid is there once");
        assert!(sids.iter().all(|sid| sid.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        Self { statements }
    }

    /// What both allow together, as where both are attached.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.statements.extend(other.statements);
        self
    }

    /// Something allows it, and nothing denies it.
    ///
    /// # Panics
    ///
    /// When a statement has something in it that this judge does not know.
    #[must_use]
    pub fn allows(&self, call: &Call) -> bool {
        let matching = |effect: &str| {
            self.statements.iter().any(|statement| statement["Effect"] == effect && applies(statement, call))
        };
        matching("Allow") && !matching("Deny")
    }
}

fn applies(statement: &Value, call: &Call) -> bool {
    for key in statement.as_object().unwrap().keys() {
        // What this judge does not know, it must not pass over.
        assert!(["Sid", "Effect", "Action", "Resource", "Condition"].contains(&key.as_str()), "{key}");
    }
    let action = call.action.to_ascii_lowercase();
    list(&statement["Action"]).iter().any(|pattern| is_like(&pattern.to_ascii_lowercase(), &action))
        && list(&statement["Resource"]).iter().any(|pattern| is_like(pattern, &call.resource))
        && statement.get("Condition").is_none_or(|condition| holds(condition, call))
}

fn holds(condition: &Value, call: &Call) -> bool {
    condition.as_object().unwrap().iter().all(|(operator, keys)| {
        keys.as_object()
            .unwrap()
            .iter()
            .all(|(key, wanted)| one_holds(operator, call.values(key), &list(wanted)))
    })
}

/// One operator with one key.
fn one_holds(operator: &str, has: Option<&[String]>, wanted: &[String]) -> bool {
    let any = |value: &String, same: fn(&str, &str) -> bool| wanted.iter().any(|wanted| same(wanted, value));
    match operator {
        "Null" => wanted.iter().any(|wanted| (wanted == "true") == has.is_none()),
        "StringEquals" => single(has).is_some_and(|value| any(value, is_same)),
        "StringLike" => single(has).is_some_and(|value| any(value, is_like)),
        "StringLikeIfExists" => single(has).is_none_or(|value| any(value, is_like)),
        // True for an absent key: that is the odd case.
        "ForAllValues:StringEquals" => has.unwrap_or_default().iter().all(|value| any(value, is_same)),
        "ForAllValues:StringLike" => has.unwrap_or_default().iter().all(|value| any(value, is_like)),
        "ForAnyValue:StringEquals" => has.unwrap_or_default().iter().any(|value| any(value, is_same)),
        other => panic!("an operator that this judge does not know: {other}"),
    }
}

fn single(has: Option<&[String]>) -> Option<&String> {
    match has {
        Some([value]) => Some(value),
        Some(_) => panic!("an operator for one value, and several values"),
        None => None,
    }
}

fn is_same(wanted: &str, value: &str) -> bool {
    wanted == value
}

/// `*` is any text, `?` any character.
fn is_like(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            is_like(&pattern[1..], text)
                || text.chars().next().is_some_and(|first| is_like(pattern, &text[first.len_utf8()..]))
        }
        (Some('?'), Some(first)) => is_like(&pattern[1..], &text[first.len_utf8()..]),
        (Some(wanted), Some(first)) if wanted == first => {
            is_like(&pattern[wanted.len_utf8()..], &text[first.len_utf8()..])
        }
        _ => false,
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        other => panic!("neither a text nor a list: {other}"),
    }
}

#[cfg(test)]
#[test]
fn the_judge_knows_the_odd_cases() {
    let value = |text: &str| vec![text.to_owned()];
    assert!(one_holds("ForAllValues:StringEquals", None, &value("A")));
    assert!(one_holds("ForAllValues:StringEquals", Some(&value("A")), &value("A")));
    assert!(!one_holds("ForAllValues:StringEquals", Some(&["A".into(), "B".into()]), &value("A")));
    assert!(!one_holds("ForAnyValue:StringEquals", None, &value("A")));
    assert!(one_holds("ForAnyValue:StringEquals", Some(&["A".into(), "B".into()]), &value("A")));
    assert!(!one_holds("StringEquals", None, &value("A")));
    assert!(!one_holds("StringEquals", Some(&value("a")), &value("A")));
    assert!(one_holds("StringLikeIfExists", None, &value("A")));
    assert!(one_holds("Null", None, &value("true")) && !one_holds("Null", None, &value("false")));
    assert!(one_holds("Null", Some(&value("x")), &value("false")));
    assert!(is_like("a/*", "a/") && is_like("*", "") && is_like("a?c*e", "abcde"));
    assert!(!is_like("a/*", "a") && !is_like("a", "ab") && !is_like("a?", "a"));
    let deny = serde_json::json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "All", "Effect": "Allow", "Action": "s3:*", "Resource": "*" },
        { "Sid": "No", "Effect": "Deny", "Action": ["s3:DeleteObject"], "Resource": "*" },
    ]});
    let judge = Judge::of(&deny);
    assert!(
        judge.allows(&Call::new("s3:GetObject", "x")) && !judge.allows(&Call::new("s3:DeleteObject", "x"))
    );
}
