//! Launch templates.

use serde::Deserialize;

use super::{Ec2, Filter, LaunchData, Tags};
use crate::{error::Error, form::Form, xml};

/// A launch template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplate {
    /// `lt-…`.
    #[serde(rename = "launchTemplateId")]
    pub id: String,
    /// Its name.
    #[serde(rename = "launchTemplateName")]
    pub name: String,
    /// The version that `$Default` stands for.
    #[serde(rename = "defaultVersionNumber")]
    pub default_version: u64,
    /// The version that `$Latest` stands for.
    #[serde(rename = "latestVersionNumber")]
    pub latest_version: u64,
    /// Its tags.
    #[serde(default, rename = "tagSet", deserialize_with = "xml::tags")]
    pub tags: Tags,
}

impl Ec2 {
    /// DescribeLaunchTemplates by name; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn launch_template(&self, name: &str) -> Result<Option<LaunchTemplate>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            launch_templates: Vec<LaunchTemplate>,
        }
        let mut form = Form::new();
        form.list("LaunchTemplateName", [name]);
        match self.send("DescribeLaunchTemplates", &form).await {
            Ok(Answer { launch_templates }) => Ok(launch_templates.into_iter().next()),
            Err(error) if error.kind() == crate::Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// DescribeLaunchTemplates: those that match.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn launch_templates_where(&self, filters: &[Filter]) -> Result<Vec<LaunchTemplate>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default, deserialize_with = "xml::items")]
            launch_templates: Vec<LaunchTemplate>,
            next_token: Option<String>,
        }
        let parts = |page: Page| (page.launch_templates, page.next_token);
        self.pages("DescribeLaunchTemplates", Form::matching(filters), parts).await
    }

    /// DescribeLaunchTemplateVersions: the description of a version, a number or `$Default`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when there is no such template or version.
    pub async fn launch_template_description(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "xml::items")]
            launch_template_version_set: Vec<Version>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            version_description: Option<String>,
        }
        let mut form = Form::new();
        form.set("LaunchTemplateName", name).list("LaunchTemplateVersion", [version]);
        let answer: Answer = self.send("DescribeLaunchTemplateVersions", &form).await?;
        let version = answer.launch_template_version_set.into_iter().next();
        Ok(version.and_then(|version| version.version_description).filter(|text| !text.is_empty()))
    }

    /// CreateLaunchTemplate; `description` is that of its first version, at most 255 characters.
    ///
    /// # Errors
    ///
    /// [`Exists`](crate::Kind::Exists) when there is one of this name.
    pub async fn create_launch_template(
        &self,
        name: &str,
        description: &str,
        data: &LaunchData,
        tags: &Tags,
    ) -> Result<LaunchTemplate, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            launch_template: LaunchTemplate,
        }
        let mut form = Form::new();
        form.set("LaunchTemplateName", name).set("VersionDescription", description);
        form.tag_specifications("", &["launch-template"], tags);
        data.write(&mut form, "LaunchTemplateData.");
        let answer: Answer = self.send("CreateLaunchTemplate", &form).await?;
        Ok(answer.launch_template)
    }

    /// CreateLaunchTemplateVersion, and ModifyLaunchTemplate to make it the default; gives its number.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Kind::NotFound) when there is no template of this name.
    pub async fn update_launch_template(
        &self,
        name: &str,
        description: &str,
        data: &LaunchData,
    ) -> Result<u64, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            launch_template_version: Version,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            version_number: u64,
        }
        let mut form = Form::new();
        form.set("LaunchTemplateName", name).set("VersionDescription", description);
        data.write(&mut form, "LaunchTemplateData.");
        let answer: Answer = self.send("CreateLaunchTemplateVersion", &form).await?;
        let version = answer.launch_template_version.version_number;
        let mut form = Form::new();
        form.set("LaunchTemplateName", name).set("SetDefaultVersion", version);
        self.order("ModifyLaunchTemplate", &form).await?;
        Ok(version)
    }

    /// DeleteLaunchTemplate; `false` when there was none.
    ///
    /// # Errors
    ///
    /// When AWS refuses or is not reached.
    pub async fn delete_launch_template(&self, name: &str) -> Result<bool, Error> {
        let mut form = Form::new();
        form.set("LaunchTemplateName", name);
        match self.order("DeleteLaunchTemplate", &form).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == crate::Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
