use super::*;
use crate::config::toml_file::parse;

const KEY: &str = r#"
[[key]]
public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8cU9WHIxFEGvIhVyFDuYtEKKyNi4BGRWXDZZ2kTmIe alice@laptop"
names = ["alice.example.com"]
"#;

fn file(text: &str) -> EdgeFile {
    parse(text, Path::new("edge.toml")).unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn misfit(text: &str) -> String {
    file(&format!("{text}\n{KEY}")).check().unwrap_err().what
}

#[test]
fn the_documented_example_is_right() {
    let file = file(include_str!("../../../../../docs/edge.toml"));
    file.check().unwrap_or_else(|misfit| panic!("{misfit:?}"));
    assert_eq!(file.keys.len(), 2);
    assert_eq!(file.idle.on_end, OnEnd::File("/run/irp/power-off".into()));
}

#[test]
fn a_short_file_gets_the_defaults() {
    let file = file(&format!("[acme]\nchallenge = 'tls-alpn-01'\n{KEY}"));
    file.check().unwrap();
    assert_eq!(file.listen, default_listen());
    assert!(file.http_listen.is_empty());
    assert_eq!(file.idle.hours, 1.0);
    assert_eq!(file.idle.on_end, OnEnd::Exit);
    assert_eq!(file.certificate_names(), BTreeSet::from(["alice.example.com".to_owned()]));
}

#[test]
fn one_request_must_fit_into_the_memory_for_all() {
    let told = misfit("certificate.mode = 'local'\n[limits]\nmemory = '1MiB'\nstream_window = '1MiB'");
    assert_eq!(told, "[limits] one request may need 1114112 bytes, and there are 1048576 for all together");
    let fits = file(&format!(
        "certificate.mode = 'local'\n[limits]\nmemory = '2MiB'\nstream_window = '1MiB'\n{KEY}"
    ));
    fits.check().unwrap_or_else(|misfit| panic!("{misfit:?}"));
}

#[test]
fn staging_and_another_authority_are_two() {
    let text = |lines: &str| format!("[acme]\nchallenge = 'tls-alpn-01'\n{lines}\n{KEY}");
    let read = |lines: &str| EdgeFile::parse(&text(lines), Path::new("edge.toml"));
    let own = "directory = 'https://ca.example.com/dir'";
    for both in [format!("{own}\nstaging = true"), format!("staging = true\n{own}")] {
        let failure = read(&both).unwrap_err();
        let line = text(&both).lines().position(|line| line.starts_with("staging")).unwrap() + 1;
        let told = format!(
            "edge.toml:{line}:11: [acme] names two certificate authorities: \
             directory = \"https://ca.example.com/dir\" and staging = true"
        );
        assert_eq!((failure.message(), failure.kind()), (told.as_str(), Kind::Config));
        assert_eq!(failure.hints(), ["keep one of them: staging is Let's Encrypt's, for trials"]);
    }
    for one in [own, "staging = true", "directory = 'letsencrypt-staging'\nstaging = true"] {
        read(one).unwrap_or_else(|failure| panic!("{one}: {failure:?}"));
    }
    read(&format!("{own}\nstaging = false")).unwrap();
    // Where nothing is ordered, nothing contradicts.
    let local = format!("certificate.mode = 'local'\n{}", text(&format!("{own}\nstaging = true")));
    EdgeFile::parse(&local, Path::new("edge.toml")).unwrap();
}

#[test]
fn secrets_of_all_providers_are_told_by_reference() {
    const AWS: &str = "certificate.mode = 'local'\n[aws]\nrecord = false\n[aws.secrets]\n";
    let file = file(&format!(
        "{AWS}slack = 'ssm:/irp/secret/alice/slack'\nstripe = 'secretsmanager:irp/secret/alice/stripe'\n\
         github = {{ secret = 'ssm:/irp/secret/alice/github', path = '/hooks/github' }}\n{KEY}"
    ));
    file.check().unwrap();
    let secrets = &file.aws.as_ref().unwrap().secrets;
    let told: Vec<_> = secrets.referred().unwrap();
    let told = told.iter().map(|it| (it.provider.name(), it.path, it.reference));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("github", Some("/hooks/github"), "ssm:/irp/secret/alice/github"),
            ("slack", None, "ssm:/irp/secret/alice/slack"),
            ("stripe", None, "secretsmanager:irp/secret/alice/stripe"),
        ]
    );
    let wrong = |line: &str| misfit(&format!("{AWS}{line}"));
    assert_eq!(wrong("github = 'ghs_0123456789'"), "`github` of [aws.secrets] is no reference: ghs_…");
    let told = wrong("slak = 'ssm:/irp/secret/alice/slack'");
    assert!(told.starts_with("[aws.secrets]: ") && told.contains("slak"), "{told}");
    assert_eq!(
        wrong("github = 'ssm:/a'\nstripe = 'ssm:/b'"),
        "github and stripe of [aws.secrets] are both at /"
    );
    let text = format!("{AWS}github = {{ secret = 'ssm:/a' }}\n{KEY}");
    let failure = parse::<EdgeFile>(&text, Path::new("edge.toml")).unwrap_err();
    assert!(format!("{failure:?}").contains("path = "), "{failure:?}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    assert_eq!(misfit(""), "[certificate] mode is \"acme\" (the default), but there is no [acme]");
    assert_eq!(misfit("listen = []"), "`listen` is empty");
    assert_eq!(misfit("[acme]\nchallenge = 'dns-01'"), "[acme] challenge = \"dns-01\" needs [acme.dns]");
    assert_eq!(misfit("[acme]\nchallenge = 'http-01'"), "[acme] challenge = \"http-01\" needs `http_listen`");
    assert_eq!(
        misfit("[acme]\nchallenge = 'tls-alpn-01'\nnames = ['*.example.com']"),
        "only dns-01 can prove *.example.com"
    );
    assert_eq!(
        misfit("[certificate]\nmode = 'local'\n[[host]]\nname = 'a.b'\n[[host]]\nname = 'A.b.'"),
        "there are two [[host]] for a.b"
    );
    for port in [22, 80, 443, 8443] {
        let text = format!(
            "listen = ['[::]:8443']\ncertificate.mode = 'local'\n[sshd]\nnames = ['a.b']\nupstream_port = {port}"
        );
        assert_eq!(
            misfit(&text),
            format!("[sshd] upstream_port {port} is taken by sshd or by the edge itself")
        );
    }
    let sshd =
        "certificate.mode = 'local'\n[sshd]\nnames = ['a.one.test', 'b.one.test', 'c.test', 'b.two.test']";
    assert_eq!(misfit(sshd), "[sshd] would reach both b.one.test and b.two.test at /run/irp/tunnels/b.sock");
    // The first name has the port, so that its label is free.
    file(&format!("certificate.mode = 'local'\n[sshd]\nnames = ['a.one.test', 'a.two.test']\n{KEY}"))
        .check()
        .unwrap();
    let bare = "certificate.mode = 'local'\n[aws]\nrole = false\ncert_store = 'file'\n";
    file(&format!("{bare}record = false\n{KEY}")).check().unwrap();
    for more in ["", "record = false\nzone = 'b'\n", "record = false\nsecrets = { slack = 'ssm:/a' }\n"] {
        let asks = file(&format!("{bare}{more}{KEY}")).check().unwrap_err();
        assert_eq!(asks.what, "[aws] asks for what a machine without a role cannot have", "{more}");
    }
    let nobody = file("certificate.mode = 'local'").check().unwrap_err();
    assert_eq!(nobody.what, "nobody may connect: there is neither a [[key]] nor [sshd]");
}

#[test]
fn values_are_checked_where_they_stand() {
    let told = |text: &str| parse::<EdgeFile>(text, Path::new("edge.toml")).unwrap_err().message().to_owned();
    for (text, expected) in [
        ("[[key]]\npublic = 'ssh-rsa AAAA'\nnames = []", "edge.toml:2:10: it is a key of type ssh-rsa"),
        ("[[host]]\nname = 'a_b'", "edge.toml:2:8: only letters, digits"),
        ("[[host]]\nname = 'a.b'\nallow = ['10.0.0.0/33']", "edge.toml:3:9: `10.0.0.0/33` is no network"),
        ("[limits]\nhold = '5'", "edge.toml:2:8: `5` is no span of time"),
        ("[limits]\nmemory = 'lots'", "edge.toml:2:10: `lots` is no size"),
        ("[acme]\nchallenge = 'dns'", "edge.toml:2:13: unknown variant `dns`"),
        ("[acme]\ndirectory = 'http://ca'", "edge.toml:2:13: a directory is"),
        ("metrics_listen = '0.0.0.0:9464'", "edge.toml:1:18: 0.0.0.0:9464 is not of this machine alone"),
        ("[idle]\non_end = { fiel = 'x' }", "edge.toml:2:12: unknown variant `fiel`"),
    ] {
        assert!(told(text).starts_with(expected), "{}", told(text));
    }
}

#[test]
fn one_address_is_a_network_too() {
    assert_eq!("192.0.2.7".parse::<Network>().unwrap().0.to_string(), "192.0.2.7/32");
    assert_eq!("10.1.2.3/8".parse::<Network>().unwrap().0.to_string(), "10.0.0.0/8");
    assert_eq!("::1".parse::<Network>().unwrap().0.to_string(), "::1/128");
}

#[test]
fn a_password_is_kept_as_its_digest_only() {
    let hash = "alice:sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
    let hash = PasswordHash::try_from(hash.to_owned()).unwrap();
    assert_eq!((hash.user.as_str(), hash.digest[0], hash.digest[31]), ("alice", 0x2b, 0x90));
    assert_eq!(format!("{hash:?}"), "PasswordHash { user: \"alice\", .. }");
    for wrong in ["alice:secret", "alice:sha256:secret", ":sha256:00", "a:b:sha256:00"] {
        let told = PasswordHash::try_from(wrong.to_owned()).unwrap_err();
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn the_comment_of_a_key_is_kept() {
    let file = file(KEY);
    assert_eq!(file.keys[0].public.comment, "alice@laptop");
}

#[test]
fn a_star_below_a_top_level_name_spoils_no_certificate() {
    let file = file(&KEY.replace("\"]\n", "\", \"*.localhost\", \"*.a.example\"]\n"));
    let names = file.certificate_names();
    assert!(names.contains("*.a.example") && !names.contains("*.localhost"), "{names:?}");
}
