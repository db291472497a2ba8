//! The invariants of `ARCHITECTURE.md` that text shows: who depends on whom, and which module alone may do a
//! thing. Each failure names the file, the line and the rule.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod manifests;
mod source;

use source::{Source, code, files, lines_with, without_tests};

/// Something that only the modules named here may do.
struct Rule {
    /// What is wrong elsewhere.
    says: &'static str,
    /// How it looks in code, as whole words.
    words: &'static [&'static str],
    /// A file, or a folder with a slash at its end, and why it may.
    except: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        says: "tasks are spawned by irp_wire::tasks alone, so that each has an owner and ends before it",
        words: &[
            "tokio::spawn",
            "task::spawn",
            "thread::spawn",
            "thread::scope",
            "thread::Builder",
            "spawn_blocking",
            "spawn_local",
            "JoinSet",
            "TaskTracker",
            "TokioExecutor",
            "Handle::current",
        ],
        except: &[
            ("crates/irp-wire/src/tasks.rs", "the owner of tasks"),
            ("crates/irp-edge/src/certs/file_store.rs", "work on files, waited for at once"),
            ("crates/irp-edge/src/tunnels/sshd/sessions.rs", "a look at /proc, waited for at once"),
            ("crates/irp-client/src/session.rs", "counts requests in flight; nothing is spawned on it"),
            ("crates/irp-client/src/serve.rs", "hands that count on"),
        ],
    },
    Rule {
        says: "only the program's ui writes to the terminal",
        words: &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "io::stdout",
            "io::stderr",
            "stdout()",
            "stderr()",
            "Stdio::inherit",
        ],
        except: &[("crates/irp/src/ui/", "the only terminal writer")],
    },
    Rule {
        says: "only the program's environment module reads the environment",
        words: &["env::"],
        except: &[
            ("crates/irp/src/environment.rs", "the reader of variables"),
            ("crates/irp/src/environment/windows.rs", "the part of it for Windows"),
            ("crates/irp/src/main.rs", "the command line"),
        ],
    },
    Rule {
        says: "the wall clock is asked in the clock modules alone; elsewhere time is an input",
        words: &[
            "SystemTime::now",
            "OffsetDateTime::now_utc",
            "OffsetDateTime::now_local",
            "UtcDateTime::now",
        ],
        except: &[
            ("crates/irp/src/clock.rs", "the program's clock"),
            ("crates/irp-aws/src/clock.rs", "the clock of signatures"),
            ("crates/irp-edge/src/certs/clock.rs", "the clock of certificates"),
            ("crates/irp-client/src/clock.rs", "the client's clock"),
        ],
    },
];

/// A source file longer than this is to be split.
const LINES_MAX: usize = 600;

#[test]
fn only_the_named_modules_do_what_is_theirs() {
    let files = files();
    let mut found: Vec<String> = RULES.iter().flat_map(|rule| violations(rule, &files)).collect();
    found.extend(RULES.iter().flat_map(|rule| stale(rule, &files)));
    report(&found);
}

#[test]
fn no_file_is_too_long_or_unfinished_or_unsafe() {
    // Put together here, or this file would break its own rule.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let forbidden = ["todo!", "unimplemented!", "dbg!", "unsafe"];
    let mut found = Vec::new();
    for file in files() {
        let is_script = [".py", ".sh", ".lua"].iter().any(|ending| file.path.ends_with(ending));
        if !file.is_rust() && !is_script {
            continue;
        }
        let length = file.text.lines().count();
        if length > LINES_MAX {
            found.push(format!("{}:{length}: a file has at most {LINES_MAX} lines", file.path));
        }
        for word in unfinished {
            found.extend(places(&file, &file.text, word, "nothing is left unfinished"));
        }
        if file.is_rust() {
            let code = code(&file.text);
            for word in forbidden {
                found.extend(places(&file, &code, word, "no such thing is in this project"));
            }
        }
    }
    report(&found);
}

#[test]
fn nothing_of_one_machine_is_in_the_project() {
    let homes = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let registries = [concat!("index", "-url"), concat!("replace", "-with"), concat!("sparse", "+http")];
    let mut found = Vec::new();
    for file in files() {
        for home in homes {
            found.extend(places(&file, &file.text, home, "no path of one machine"));
        }
        for registry in registries {
            found.extend(places(&file, &file.text, registry, "packages come from the public registries"));
        }
    }
    report(&found);
}

#[test]
fn crates_depend_forwards_only() {
    report(&manifests::violations(&files()));
}

fn violations(rule: &Rule, files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_product()) {
        if !rule.except.iter().any(|(place, _)| file.path.starts_with(place)) {
            let code = without_tests(&code(&file.text));
            found.extend(rule.words.iter().flat_map(|word| places(file, &code, word, rule.says)));
        }
    }
    found
}

/// Exceptions that nobody needs any more.
fn stale(rule: &Rule, files: &[Source]) -> Vec<String> {
    let needs = |place: &str| {
        let mut files = files.iter().filter(|file| file.path.starts_with(place));
        files.any(|file| {
            let code = without_tests(&code(&file.text));
            rule.words.iter().any(|word| !lines_with(&code, word).is_empty())
        })
    };
    let stale = rule.except.iter().filter(|(place, _)| !needs(place));
    stale.map(|(place, why)| format!("{place}: needs no exception ({why}): {}", rule.says)).collect()
}

fn places(file: &Source, code: &str, word: &str, says: &str) -> Vec<String> {
    let lines = lines_with(code, word).into_iter();
    lines.map(|line| format!("{}:{line}: `{word}`: {says}", file.path)).collect()
}

fn report(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_rule_sees_code_and_nothing_else() {
    let text = r##"//! tokio::spawn
/* tokio::spawn /* */ tokio::spawn */
fn f<'a>(x: &'a str) -> char { let _ = "tokio::spawn\" tokio::spawn"; '"' }
fn g() { let _ = (r#"tokio::spawn " "#, '\'', 'é'); tokio::spawn(f()); my_tokio::spawned() }
#[cfg(test)]
mod tests {
    fn h() { tokio::spawn(f()) }
}
fn i() { tokio::spawn(f()) }
"##;
    let spawning = &RULES[0];
    let product = Source { path: "crates/irp-edge/src/a.rs".into(), text: text.into() };
    let found = violations(spawning, &[product]);
    let at = |line: usize| format!("crates/irp-edge/src/a.rs:{line}: `tokio::spawn`: {}", spawning.says);
    assert_eq!(found, [at(4), at(9)]);

    for path in ["crates/irp-wire/src/tasks.rs", "crates/irp-edge/tests/a.rs", "crates/irp-testkit/src/a.rs"]
    {
        assert_eq!(
            violations(spawning, &[Source { path: path.into(), text: text.into() }]),
            [""; 0],
            "{path}"
        );
    }
    assert_eq!(stale(spawning, &[]).len(), spawning.except.len());
}
