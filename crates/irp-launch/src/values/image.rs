//! Images of EC2: which parameter of AWS names today's, and who logs in.

use std::{fmt, str::FromStr};

use super::{Arch, ValueError};

/// What a machine is started from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Image {
    /// Amazon Linux 2023: with the SSM agent and EC2 Instance Connect.
    #[default]
    AmazonLinux,
    /// Debian 13.
    Debian,
    /// Ubuntu 24.04.
    Ubuntu,
    /// One of one's own, `ami-…`.
    Own(String),
}

impl Image {
    /// The public parameter of Systems Manager that holds the id of today's image; `None` for one's own.
    #[must_use]
    pub fn parameter(&self, arch: Arch) -> Option<String> {
        let debian = match arch {
            Arch::Aarch64 => "arm64",
            Arch::X86_64 => "amd64",
        };
        match self {
            Self::AmazonLinux => {
                Some(format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}", arch.ec2()))
            }
            Self::Debian => Some(format!("/aws/service/debian/release/13/latest/{debian}")),
            Self::Ubuntu => Some(format!(
                "/aws/service/canonical/ubuntu/server/24.04/stable/current/{debian}/hvm/ebs-gp3/ami-id"
            )),
            Self::Own(_) => None,
        }
    }

    /// The account that people log in to; `None` where nobody can tell.
    #[must_use]
    pub fn user(&self) -> Option<&'static str> {
        match self {
            Self::AmazonLinux => Some("ec2-user"),
            Self::Debian => Some("admin"),
            Self::Ubuntu => Some("ubuntu"),
            Self::Own(_) => None,
        }
    }

    /// The newest glibc that a program for it may need; `None` where nobody can tell.
    #[must_use]
    pub fn glibc(&self) -> Option<(u32, u32)> {
        match self {
            Self::AmazonLinux => Some((2, 34)),
            Self::Debian => Some((2, 41)),
            Self::Ubuntu => Some((2, 39)),
            Self::Own(_) => None,
        }
    }
}

impl FromStr for Image {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_id =
            |id: &str| (8..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            "al2023" => Ok(Self::AmazonLinux),
            "debian" => Ok(Self::Debian),
            "ubuntu" => Ok(Self::Ubuntu),
            _ if text.strip_prefix("ami-").is_some_and(is_id) => Ok(Self::Own(text.to_owned())),
            _ => Err(ValueError::new("is no image: al2023, debian, ubuntu or ami-… are")),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmazonLinux => "al2023",
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
            Self::Own(id) => id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_parameter_for_each_processor_or_is_an_id() {
        let parameter = |text: &str, arch| text.parse::<Image>().map(|image| image.parameter(arch));
        let al = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";
        assert_eq!(parameter("al2023", Arch::X86_64), Ok(Some(al.into())));
        let debian = "/aws/service/debian/release/13/latest/amd64";
        assert_eq!(parameter("debian", Arch::X86_64), Ok(Some(debian.into())));
        assert!(parameter("ubuntu", Arch::Aarch64).unwrap().unwrap().contains("/arm64/hvm/"));
        assert_eq!(parameter("ami-0123456789abcdef0", Arch::Aarch64), Ok(None));
        for wrong in ["", "ami-", "ami-xyz", "windows", "AL2023"] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong}");
        }
        for name in ["al2023", "debian", "ubuntu", "ami-0123456789abcdef0"] {
            assert_eq!(name.parse::<Image>().unwrap().to_string(), name);
        }
    }
}
