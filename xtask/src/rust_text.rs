//! Rust source as rules want to see it: code without comments and literals, each line knowing whether it is a test's.
//!
//! Not a parser: a scanner that knows the five things in which a word is not code (two comments, two strings, a
//! character) and counts brackets. rustfmt keeps the sources regular enough for that.

/// The code of one source file, line for line: comments and literals are blanked out, line numbers stay true.
pub(crate) struct RustText {
    code: String,
    in_test: Vec<bool>,
}

/// One line of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) code: &'a str,
    /// Inside an item under `#[cfg(test)]`.
    pub(crate) in_test: bool,
}

impl RustText {
    pub(crate) fn of(source: &str) -> Self {
        let code = blank_out(source);
        let in_test = test_lines(&code);
        Self { code, in_test }
    }

    /// The whole text, for what spans lines. Same length in characters as the source.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let marked = self.code.lines().zip(&self.in_test).enumerate();
        marked.map(|(index, (code, &in_test))| Line { number: index + 1, code, in_test })
    }

    /// The number of the line that holds byte `offset` of [`RustText::code`].
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        1 + self.code.bytes().take(offset).filter(|&byte| byte == b'\n').count()
    }
}

/// Byte offsets at which `word` stands in `code` on its own: `fs` is found in `std::fs`, not in `offs`.
///
/// A border is asked for only beside an identifier character of `word`, so that `todo!` needs none after it.
pub(crate) fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let joined = |neighbour: Option<char>, edge: Option<char>| {
            neighbour.is_some_and(is_identifier) && edge.is_some_and(is_identifier)
        };
        !joined(before, word.chars().next()) && !joined(after, word.chars().next_back())
    })
}

/// The identifier at the start of `code`; empty where there is none.
pub(crate) fn leading_identifier(code: &str) -> &str {
    code.split(|c| !is_identifier(c)).next().unwrap_or_default()
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces every character of a comment or literal by a space, and keeps the line ends.
fn blank_out(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        match hidden_len(rest, before) {
            0 => {
                code.push(next);
                before = next;
                rest = &rest[next.len_utf8()..];
            }
            len => {
                let (hidden, tail) = rest.split_at(len);
                code.extend(hidden.chars().map(|c| if c == '\n' { c } else { ' ' }));
                before = ' ';
                rest = tail;
            }
        }
    }
    code
}

/// The length in bytes of the comment or literal at the start of `rest`; 0 where there is code.
fn hidden_len(rest: &str, before: char) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_len(rest);
    }
    match rest.chars().next() {
        Some('"') => string_len(rest),
        Some('\'') => char_len(rest),
        Some('r' | 'b' | 'c') if !is_identifier(before) => raw_string_len(rest),
        _ => 0,
    }
}

/// Block comments nest in Rust. One that never ends reaches to the end of the file.
fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut marks = rest.char_indices().filter(|&(_, c)| matches!(c, '/' | '*')).peekable();
    while let Some((at, c)) = marks.next() {
        // The second half of `/*` or `*/` is taken with the first, so that `/*/` is one mark and not two.
        match (c, marks.next_if(|&(then, other)| then == at + 1 && other != c)) {
            ('/', Some(_)) => depth += 1,
            ('*', Some(_)) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 2;
        }
    }
    rest.len()
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'x'`, `'\n'`, `'\u{7f}'` are literals; `'a` is a lifetime, thus code.
fn char_len(rest: &str) -> usize {
    let mut inside = rest.char_indices().skip(1);
    match (inside.next(), inside.next()) {
        (Some((_, '\\')), Some((escape, c))) => {
            let from = escape + c.len_utf8();
            rest[from..].find('\'').map_or(rest.len(), |quote| from + quote + 1)
        }
        (Some(_), Some((quote, '\''))) => quote + 1,
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, also after `b` or `c`; a raw identifier such as `r#type` is code.
fn raw_string_len(rest: &str) -> usize {
    let Some(from_hashes) = ["r", "br", "cr"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix).filter(|tail| tail.starts_with(['#', '"'])))
    else {
        return 0;
    };
    let quoted = from_hashes.trim_start_matches('#');
    if !quoted.starts_with('"') {
        return 0;
    }
    let hashes = &from_hashes[..from_hashes.len() - quoted.len()];
    let end = format!("\"{hashes}");
    let opened = rest.len() - quoted.len() + 1;
    rest[opened..].find(&end).map_or(rest.len(), |at| opened + at + end.len())
}

/// Marks the lines of every item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    const MARK: &str = "#[cfg(test)]";
    let mut in_test = vec![false; code.lines().count()];
    for (at, _) in code.match_indices(MARK) {
        let item = at + MARK.len();
        let line_of = |offset: usize| code[..offset].matches('\n').count();
        let last = line_of(item + item_len(&code[item..]));
        in_test.iter_mut().take(last + 1).skip(line_of(at)).for_each(|line| *line = true);
    }
    in_test
}

/// The length of the item at the start of `code`: to its closing brace, or to its `;` outside all brackets.
fn item_len(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, '}' | ';') {
            return at;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        RustText::of(source).code().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(words("a // b\nc"), ["a", "c"]);
        assert_eq!(words("a /* b /* c */ d */ e"), ["a", "e"]);
        assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
        assert_eq!(words("a r#\"b \" c\"# d"), ["a", "d"]);
        assert_eq!(words("a br\"b\\\" c"), ["a", "c"]);
        assert_eq!(words(r"a '\'' b '\u{7f}' c '/' d"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn lifetimes_division_and_raw_identifiers_are_code() {
        assert_eq!(words("fn f<'a>(x: &'a str)"), ["fn", "f<'a>(x:", "&'a", "str)"]);
        assert_eq!(words("a / b"), ["a", "/", "b"]);
        assert_eq!(words("r#type b'x' car"), ["r#type", "b", "car"]);
    }

    #[test]
    fn line_numbers_survive_a_literal_over_several_lines() {
        let text = RustText::of("let a = \"x\ny\nz\";\nfound");
        assert_eq!(text.lines().find(|line| line.code == "found").map(|line| line.number), Some(4));
        assert_eq!(text.line_at(text.code().find("found").unwrap()), 4);
    }

    #[test]
    fn only_items_under_cfg_test_are_tests() {
        let text = RustText::of("a\n#[cfg(test)]\nmod t;\nb\n#[cfg(test)]\nmod u {\n fn f() {}\n}\nc\n");
        let tested: Vec<usize> = text.lines().filter(|line| line.in_test).map(|line| line.number).collect();
        assert_eq!(tested, [2, 3, 5, 6, 7, 8]);
    }

    #[test]
    fn a_semicolon_inside_brackets_does_not_end_an_item() {
        let text = RustText::of("#[cfg(test)]\nconst A: [u8; 2] =\n    [1, 2];\ncode\n");
        assert_eq!(text.lines().filter(|line| line.in_test).count(), 3);
    }

    #[test]
    fn a_word_stands_on_its_own() {
        assert_eq!(word_offsets("offs std::fs fsx", "fs").collect::<Vec<_>>(), [10]);
        assert_eq!(word_offsets("mark!() my_mark!()", "mark!").collect::<Vec<_>>(), [0]);
    }
}
