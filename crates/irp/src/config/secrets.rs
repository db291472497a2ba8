//! Where a client's signing secrets are: in the environment, else in the `.env` of the current folder.

use std::path::Path;

use irp_launch::values::SecretReference;
use irp_webhook::Provider;
use irp_wire::policy::SecretText;
use secrecy::{ExposeSecret as _, SecretString};

use super::launch;
use crate::{
    environment,
    error::{Failure, Kind},
};

/// Appended to the name of a variable, it names the secret that was valid before, while secrets are changed.
const OLD: &str = "_OLD";

/// Variables that may hold secrets, and where they stand. Of two places, the environment counts.
pub(crate) struct Secrets {
    /// What the file holds, or why it cannot be read: that matters once something is looked for in it.
    file: Result<Vec<(String, SecretString)>, Failure>,
    name: String,
    /// What was found otherwise, with its variable; it counts first.
    given: Option<(&'static str, SecretString)>,
}

/// A secret that was found.
pub(crate) struct Found {
    value: SecretString,
    /// Where, for people.
    pub(crate) place: String,
}

impl Found {
    /// The text, to be passed on to an edge and shown to nobody.
    pub(crate) fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Whether it is no secret but says where one is: the edge of a machine in AWS resolves it by itself.
    pub(crate) fn is_reference(&self) -> bool {
        SecretReference::is_meant(self.value.expose_secret())
    }
}

impl Secrets {
    /// Those of the environment, and of the usual file if it is there.
    pub(crate) fn of_client() -> Self {
        let file = Path::new(launch::ENV_FILE);
        Self {
            file: if file.is_file() { read(file) } else { Ok(Vec::new()) },
            name: launch::ENV_FILE.into(),
            given: None,
        }
    }

    /// Those of the environment alone: a server has no current folder of its own.
    pub(crate) fn of_edge() -> Self {
        Self { file: Ok(Vec::new()), name: String::new(), given: None }
    }

    /// These, and the secret of a provider that the settings of a launch have.
    pub(crate) fn with(self, provider: Option<Provider>, secret: Option<&SecretString>) -> Self {
        let variable = provider.map(|provider| provider.manners().variable);
        Self { given: variable.zip(secret.cloned()), ..self }
    }

    /// Looks for a variable.
    ///
    /// # Errors
    ///
    /// When it is not in the environment, and the file cannot be read.
    pub(crate) fn find(&self, variable: &str) -> Result<Option<Found>, Failure> {
        if let Some((_, value)) = self.given.as_ref().filter(|(name, _)| *name == variable) {
            return Ok(Some(Found { value: value.clone(), place: "the settings".into() }));
        }
        if let Some(value) = environment::secret(variable) {
            return Ok(Some(Found { value, place: "the environment".into() }));
        }
        let lines = self.file.as_ref().map_err(Clone::clone)?;
        let found = lines.iter().rfind(|(name, value)| name == variable && !value.expose_secret().is_empty());
        Ok(found.map(|(_, value)| Found { value: value.clone(), place: self.name.clone() }))
    }

    /// The secret of `variable`, and the one before it.
    ///
    /// # Errors
    ///
    /// When there is none, or it is a reference.
    pub(crate) fn of(&self, provider: &Provider, variable: &str) -> Result<Vec<SecretText>, Failure> {
        let mut secrets = Vec::new();
        for name in [variable.to_owned(), format!("{variable}{OLD}")] {
            let Some(found) = self.find(&name)? else { continue };
            if found.is_reference() {
                let what =
                    format!("{name} ({}) says where the secret is, and is not the secret", found.place);
                return Err(Failure::new(Kind::User, what)
                    .hint("a machine that was launched with it verifies by itself: leave --verify out"));
            }
            secrets.push(SecretText::new(found.value.expose_secret()));
        }
        if secrets.is_empty() {
            let what = format!("there is no secret for {}: {variable} is not set", provider.title());
            let failure = Failure::new(Kind::User, what);
            return Err(match self.name.as_str() {
                "" => failure.hint(format!("{variable}=… irp …, or Environment= of its systemd unit")),
                file => failure.hint(format!("{variable}=… irp …, or the same as a line of {file}")),
            });
        }
        Ok(secrets)
    }
}

fn read(file: &Path) -> Result<Vec<(String, SecretString)>, Failure> {
    let variables = launch::variables(file)?;
    Ok(variables.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect())
}
