//! `tidegate explain`: refusals in words, for a terminal and as docs/REFUSALS.md.
//!
//! The facts stand in `http::reject`, the prose in `http::explain`, the flags in `config`; here they are put together.

use crate::config::{self, Exit, Explain};
use crate::demo::wrap;
use crate::http::Code;
use crate::http::explain::{Counts, Explanation};
use crate::http::page::push;

/// Columns of text: a terminal's eighty.
const WIDTH: usize = 80;

/// Columns of the labels before it.
const LABEL: usize = 12;

/// What was asked for, as text that ends with a line end.
///
/// # Errors
/// No code has that name: exit code 2, with the names that come near.
pub fn text(what: &Explain) -> Result<String, Exit> {
    match what {
        Explain::All => Ok(list()),
        Explain::Markdown => Ok(markdown()),
        Explain::One(name) => Code::named(name).map(page).ok_or_else(|| Exit {
            code: 2,
            text: format!("error: '{name}' is no code of a refusal.{}\n", hint(name)),
        }),
    }
}

/// All codes with their titles, by status.
fn list() -> String {
    let mut text = String::new();
    for row in Code::ALL.iter().map(|code| code.row()) {
        push(&mut text, format_args!("{} {:<22} {}\n", row.status, row.name, row.title));
    }
    text + "\ntidegate explain CODE says more of one.\n"
}

/// One code for a terminal.
fn page(code: Code) -> String {
    let row = code.row();
    let about = Explanation::of(code);
    let mut text =
        format!("{}: {} {}\n\n{}.\n\n", row.name, row.status, http1::reason(row.status), row.title);
    paragraph(&mut text, "Happened", &plain(about.cause));
    paragraph(&mut text, "Server", &plain(&done(code)));
    paragraph(&mut text, "Client", &plain(about.client));
    for flag in about.flags {
        let help = config::help_of(flag).unwrap_or_default();
        paragraph(&mut text, "Setting", &format!("--{flag}: {help}"));
    }
    paragraph(&mut text, "Bans", counted(code));
    paragraph(&mut text, "Source", about.source);
    text
}

/// All codes as docs/REFUSALS.md.
fn markdown() -> String {
    let mut text = "# Refusals\n\nEvery refusal carries one of these codes: in its body (`code`), in the log, in \
                    the metric\n`tidegate_refusals_total{code}` and in the audit log (`rule`). A code never changes its \
                    meaning.\nThis page is written by `tidegate explain --markdown`.\n"
        .to_owned();
    let mut status = 0;
    for code in Code::ALL.iter().copied() {
        let row = code.row();
        if row.status != status {
            status = row.status;
            push(&mut text, format_args!("\n## {status} {}\n", http1::reason(status)));
        }
        push(&mut text, format_args!("\n### `{}`\n\n{}.\n\n", row.name, row.title));
        entry(&mut text, code);
    }
    text
}

/// What docs/REFUSALS.md says of one code.
fn entry(text: &mut String, code: Code) {
    let about = Explanation::of(code);
    push(text, format_args!("- **What happened.** {}\n", about.cause));
    push(text, format_args!("- **What the server did.** {}\n", done(code)));
    push(text, format_args!("- **What the client can do.** {}\n", about.client));
    if !about.flags.is_empty() {
        let flags: Vec<String> = about.flags.iter().map(|flag| format!("`--{flag}`")).collect();
        push(text, format_args!("- **Settings.** {}\n", flags.join(", ")));
    }
    push(text, format_args!("- **Bans.** {}\n", counted(code)));
    push(text, format_args!("- **Source.** {}\n", link(about.source)));
}

/// What follows from the row of the code.
fn done(code: Code) -> String {
    let row = code.row();
    let reason = http1::reason(row.status);
    let then = match row.closes {
        true => "and closed the connection",
        false => "and kept the connection where the rest of the request could be read",
    };
    let event = match row.event {
        Some(event) => format!(" It is a security event of kind `{}`.", event.name()),
        None => String::new(),
    };
    format!("It answered {} {reason} {then}.{event}", row.status)
}

fn counted(code: Code) -> &'static str {
    match Counts::of(code) {
        Counts::Each => "Each one counts against its client.",
        Counts::Guesses => "Each with a wrong token counts against its client.",
        Counts::InScans => "Many in a short time count against their client, as a scan.",
        Counts::Never => "It does not count against its client.",
    }
}

/// `RFC 9112 §6.3` as a link to that section.
fn link(source: &str) -> String {
    let place = source.strip_prefix("RFC ").and_then(|rest| rest.split_once(" §"));
    place.map_or_else(String::new, |(number, section)| {
        format!("[{source}](https://www.rfc-editor.org/rfc/rfc{number}#section-{section})")
    })
}

/// The names that contain what was typed or answer with that status, else the one that a slip would make of it.
fn hint(typed: &str) -> String {
    let near = |code: &Code| code.row().name.contains(typed) || code.row().status.to_string() == typed;
    let mut names: Vec<&str> =
        Code::ALL.iter().filter(|code| near(code)).map(|code| code.row().name).collect();
    if names.is_empty() {
        names.extend(config::nearest(typed, Code::ALL.iter().map(|code| code.row().name)));
    }
    match names.is_empty() {
        true => " `tidegate explain` lists them all.".to_owned(),
        false => format!(" Did you mean {}?", names.join(" or ")),
    }
}

/// Without the marks that only Markdown shows.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// A label, and beside it the text, broken at blanks.
fn paragraph(text: &mut String, label: &str, words: &str) {
    for (number, line) in wrap(words, WIDTH - LABEL).iter().enumerate() {
        let label = if number == 0 { label } else { "" };
        push(text, format_args!("{label:LABEL$}{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Result<String, Exit> {
        text(&Explain::One(name.to_owned()))
    }

    #[test]
    fn sec_4_every_code_is_explained_within_a_terminal() {
        for code in Code::ALL {
            let row = code.row();
            let page = one(row.name).unwrap();
            assert!(page.starts_with(&format!("{}: {}", row.name, row.status)), "{page}");
            assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
            assert!(page.contains(Explanation::of(*code).source));
        }
    }

    #[test]
    fn sec_4_an_explanation_names_what_was_done_and_the_flag_with_its_help() {
        let page = one("body_too_large").unwrap();
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("answered 413 Content Too Large and closed the connection."), "{page}");
        assert!(
            words.contains("--max-body: Largest request body,") && words.contains("[default: 1MiB]"),
            "{page}"
        );
        assert!(one("traversal").unwrap().contains("security event of kind traversal"));
    }

    #[test]
    fn sec_4_a_name_that_is_none_gets_the_nearest() {
        for (typed, hint) in [
            ("body_to_large", "Did you mean body_too_large?"),
            ("degraded", "Did you mean store_degraded?"),
            ("507", "Did you mean disk_full or quota_exceeded?"),
            ("colour", "`tidegate explain` lists them all."),
        ] {
            let exit = one(typed).unwrap_err();
            assert_eq!(exit.code, 2);
            assert!(exit.text.contains(hint), "{}", exit.text);
        }
    }

    #[test]
    fn sec_4_the_list_has_a_line_for_each_code() {
        let list = text(&Explain::All).unwrap();
        let lines = list.lines().filter(|line| line.starts_with(['4', '5'])).count();
        assert_eq!(lines, Code::ALL.len());
    }
}
