//! Instance types of EC2, and which processor each has.

use std::{fmt, str::FromStr};

use super::ValueError;

/// A processor's architecture, as `uname -m` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// Graviton: 64-bit Arm.
    Aarch64,
    /// Intel and AMD.
    X86_64,
}

impl Arch {
    /// As `uname -m` prints it.
    #[must_use]
    pub fn uname(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// As EC2 names it in images and instance types.
    #[must_use]
    pub fn ec2(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The architecture that the name of a downloaded file tells, such as `caddy_2.11_linux_arm64.tar.gz`.
    ///
    /// `None` when it tells none, or several.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace("x86-64", "x86_64");
        let arm = ["arm64", "aarch64"].iter().any(|word| name.contains(word));
        let intel = ["amd64", "x86_64", "x64"].iter().any(|word| name.contains(word));
        match (arm, intel) {
            (true, false) => Some(Self::Aarch64),
            (false, true) => Some(Self::X86_64),
            _ => None,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ec2())
    }
}

/// An instance type such as `t4g.nano`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceType {
    name: String,
    arch: Arch,
}

impl InstanceType {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Its processor. AWS writes it into the name: a `g` behind the generation's number is Graviton
    /// (EC2 User Guide, "Instance type naming conventions"); `a1` came before that rule.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.arch
    }
}

impl FromStr for InstanceType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::new("is no instance type");
        let word = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=20).contains(&part.len()) && part.bytes().all(allowed)
        };
        let (family, size) = text.split_once('.').ok_or_else(wrong)?;
        if !word(family) || !word(size) || !family.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(wrong());
        }
        if family.starts_with("mac") {
            return Err(ValueError::new("runs macOS only"));
        }
        let options = family.trim_start_matches(|c: char| !c.is_ascii_digit());
        let options = options.trim_start_matches(|c: char| c.is_ascii_digit());
        let arch = if family == "a1" || options.contains('g') { Arch::Aarch64 } else { Arch::X86_64 };
        Ok(Self { name: text.to_owned(), arch })
    }
}

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_processor() {
        let arch = |name: &str| name.parse::<InstanceType>().map(|kind| kind.arch());
        for arm in [
            "t4g.nano",
            "a1.medium",
            "c6gn.large",
            "im4gn.large",
            "is4gen.medium",
            "g5g.xlarge",
            "m8gd.metal-24xl",
        ] {
            assert_eq!(arch(arm), Ok(Arch::Aarch64), "{arm}");
        }
        for intel in [
            "t3.nano",
            "t3a.micro",
            "g4dn.xlarge",
            "g4ad.xlarge",
            "gr6.4xlarge",
            "x2iedn.xlarge",
            "u-6tb1.metal",
            "m7i-flex.large",
        ] {
            assert_eq!(arch(intel), Ok(Arch::X86_64), "{intel}");
        }
        for wrong in
            ["", "t4g", "t4g.", ".nano", "T4G.nano", "t4g nano", "t4g.nano;reboot", "mac2.metal", "4.nano"]
        {
            assert!(arch(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_name_tells_one_architecture_or_none() {
        assert_eq!(Arch::of_file_name("caddy_2.11_linux_arm64.tar.gz"), Some(Arch::Aarch64));
        assert_eq!(Arch::of_file_name("irp-x86-64"), Some(Arch::X86_64));
        assert_eq!(Arch::of_file_name("download?os=linux&arch=amd64"), Some(Arch::X86_64));
        assert_eq!(Arch::of_file_name("caddy.tar.gz"), None);
        assert_eq!(Arch::of_file_name("arm64-and-amd64"), None);
    }
}
