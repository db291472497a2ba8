//! Asking IAM what a principal may do, without doing it.

use serde::Deserialize;

use super::Iam;
use crate::{error::Error, form::Form, xml};

/// A question: whether a principal may take these actions on these resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// The ARN of user or role.
    pub principal: String,
    /// Actions such as `route53:ChangeResourceRecordSets`.
    pub actions: Vec<String>,
    /// ARNs; every resource if empty.
    pub resources: Vec<String>,
    /// Condition keys with their values, all of the type list of strings.
    pub context: Vec<(String, Vec<String>)>,
}

/// What IAM says of one action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Evaluation {
    /// The action.
    #[serde(rename = "EvalActionName")]
    pub action: String,
    /// Whether it is allowed.
    #[serde(rename = "EvalDecision")]
    pub decision: Decision,
    /// Whether the organisation (a service control policy) is what denies it; unknown outside organisations.
    #[serde(default, rename = "OrganizationsDecisionDetail", deserialize_with = "by_organisation")]
    pub allowed_by_organisation: Option<bool>,
    /// Condition keys that a policy asks for and the question did not give.
    #[serde(default, deserialize_with = "xml::members")]
    pub missing_context_values: Vec<String>,
}

/// Whether an action is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It is.
    Allowed,
    /// Something denies it.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
}

impl Iam {
    /// SimulatePrincipalPolicy.
    ///
    /// # Errors
    ///
    /// [`Denied`](crate::Kind::Denied) when the caller may not ask, as many may not.
    pub async fn simulate(&self, question: &Simulation) -> Result<Vec<Evaluation>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            simulate_principal_policy_result: Evaluations,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Evaluations {
            #[serde(default, deserialize_with = "xml::members")]
            evaluation_results: Vec<Evaluation>,
        }
        let mut form = Form::new();
        form.set("PolicySourceArn", &question.principal);
        form.list("ActionNames.member", &question.actions);
        form.list("ResourceArns.member", &question.resources);
        for (index, (key, values)) in question.context.iter().enumerate() {
            let entry = format!("ContextEntries.member.{}", index + 1);
            form.set(format!("{entry}.ContextKeyName"), key);
            form.set(format!("{entry}.ContextKeyType"), "stringList");
            form.list(&format!("{entry}.ContextKeyValues.member"), values);
        }
        let answer: Answer = self.send("SimulatePrincipalPolicy", &form).await?;
        Ok(answer.simulate_principal_policy_result.evaluation_results)
    }
}

fn by_organisation<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(rename = "AllowedByOrganizations")]
        allowed: Option<bool>,
    }
    Ok(Option::<Detail>::deserialize(from)?.and_then(|detail| detail.allowed))
}
