//! As much of a shell's grammar as documents need: which commands a text runs, and with which words.

/// The commands of a text, each as its words, also those whose output is a word of another.
pub(crate) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut reader = Reader { letters: without_documents(text).chars().collect(), at: 0 };
    reader.read(false, &mut commands);
    commands.retain(|words| !words.is_empty());
    commands
}

/// The words behind `irp`, however it is called.
pub(crate) fn arguments_of_irp(words: &[String]) -> Option<Vec<String>> {
    let is_before = |word: &&String| {
        let is_variable = word.split_once('=').is_some_and(|(name, _)| {
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        });
        is_variable || ["sudo", "npx", "exec"].contains(&word.as_str())
    };
    let words = &words[words.iter().take_while(is_before).count()..];
    match words {
        [first, rest @ ..]
            if ["irp", "target/release/irp", "instant-reverse-proxy"].contains(&first.as_str()) =>
        {
            Some(rest.to_vec())
        }
        [cargo, run, release, dashes, rest @ ..]
            if [cargo, run, release, dashes] == ["cargo", "run", "--release", "--"] =>
        {
            Some(rest.to_vec())
        }
        _ => None,
    }
}

/// The text without comments and the blanks before them.
pub(crate) fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" # ") {
        Some((before, _)) => before.trim_end(),
        None if line.starts_with("# ") => "",
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Here-documents are no commands.
fn without_documents(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        kept.push_str(line);
        kept.push('\n');
        if let Some((_, end)) = line.split_once("<<") {
            let end = end.trim_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let end = end.split_whitespace().next().unwrap_or_default().trim_matches(['\'', '"']);
            lines.by_ref().take_while(|line| line.trim() != end).for_each(drop);
        }
    }
    kept
}

struct Reader {
    letters: Vec<char>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<char> {
        let letter = self.letters.get(self.at).copied();
        self.at += 1;
        letter
    }

    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    /// Reads commands to the end, or to the bracket that closes a substitution.
    fn read(&mut self, is_inner: bool, commands: &mut Vec<Vec<String>>) {
        let mut words: Vec<String> = Vec::new();
        let mut word: Option<String> = None;
        // The word behind `>` or `<` is a file.
        let mut is_file = false;
        let finish = |word: &mut Option<String>, words: &mut Vec<String>, is_file: &mut bool| {
            if let Some(word) = word.take()
                && !std::mem::take(is_file)
            {
                words.push(word);
            }
        };
        while let Some(letter) = self.next() {
            match letter {
                ')' if is_inner => break,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(letter) => word.get_or_insert_default().push(letter),
                },
                '\'' => {
                    let word = word.get_or_insert_default();
                    while let Some(letter) = self.next().filter(|letter| *letter != '\'') {
                        word.push(letter);
                    }
                }
                '"' => self.quoted(word.get_or_insert_default(), commands),
                '$' if self.peek() == Some('(') => self.substituted(word.get_or_insert_default(), commands),
                '#' if word.is_none() => {
                    while self.peek().is_some_and(|letter| letter != '\n') {
                        self.at += 1;
                    }
                }
                '|' | ';' | '&' | '\n' => {
                    finish(&mut word, &mut words, &mut is_file);
                    commands.push(std::mem::take(&mut words));
                }
                '>' | '<' => {
                    // `2>` names a descriptor, `2>&1` another one.
                    word = word.filter(|word| word.parse::<u8>().is_err());
                    finish(&mut word, &mut words, &mut is_file);
                    if self.peek() == Some('&') {
                        self.at += 1;
                    }
                    is_file = true;
                }
                letter if letter.is_whitespace() => finish(&mut word, &mut words, &mut is_file),
                letter => word.get_or_insert_default().push(letter),
            }
        }
        finish(&mut word, &mut words, &mut is_file);
        commands.push(words);
    }

    fn quoted(&mut self, word: &mut String, commands: &mut Vec<Vec<String>>) {
        while let Some(letter) = self.next().filter(|letter| *letter != '"') {
            match letter {
                '\\' => word.extend(self.next()),
                '$' if self.peek() == Some('(') => self.substituted(word, commands),
                letter => word.push(letter),
            }
        }
    }

    /// The output of a command, of which a file name is as good a guess as any.
    fn substituted(&mut self, word: &mut String, commands: &mut Vec<Vec<String>>) {
        self.at += 1;
        self.read(true, commands);
        word.push_str("output");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        commands(text).iter().map(|words| words.join("·")).collect()
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(words("irp a 'b c' \"d e\" # f\n# g\nh"), ["irp·a·b c·d e", "h"]);
        assert_eq!(words("a | b && c; d\n"), ["a", "b", "c", "d"]);
        assert_eq!(words("a \\\n  b"), ["a·b"]);
        assert_eq!(words("a 2>/dev/null > file < other b 2>&1"), ["a·b"]);
        assert_eq!(words("curl --cacert \"$(irp ca path)\" x"), ["irp·ca·path", "curl·--cacert·output·x"]);
        assert_eq!(words("cat > f <<'END'\nirp no\nEND\nirp yes"), ["cat", "irp·yes"]);
    }

    #[test]
    fn irp_is_known_however_it_is_called() {
        let of = |text: &str| arguments_of_irp(&commands(text)[0]).map(|words| words.join("·"));
        assert_eq!(of("irp up --local"), Some("up·--local".into()));
        assert_eq!(of("A_B=1 sudo irp up"), Some("up".into()));
        assert_eq!(of("cargo run --release -- up"), Some("up".into()));
        assert_eq!(of("npx irp up"), Some("up".into()));
        assert_eq!(of("echo irp up"), None);
    }

    #[test]
    fn comments_do_not_count() {
        assert_eq!(without_comments("irp doctor    # what\n# all\nirp #1"), "irp doctor\n\nirp #1");
    }
}
