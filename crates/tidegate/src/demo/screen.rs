//! How the tour looks: at most 100 columns, colour only on a terminal and not with `NO_COLOR`.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::stage::{GLUE, Halt, Line, visible};

/// The widest the tour gets, and the narrowest it goes along with.
const WIDEST: usize = 100;
const NARROWEST: usize = 60;
/// The column in which what belongs to a step begins.
const INDENT: usize = 4;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const TITLE: &str = "1;36";

/// Where the tour is shown.
pub(super) struct Screen<'w> {
    out: &'w mut dyn Write,
    colour: bool,
    width: usize,
}

/// How many steps ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    /// Steps that went through.
    pub(super) passed: usize,
    /// Titles of those that found a fault.
    pub(super) failed: Vec<String>,
    /// Steps that could not be tried.
    pub(super) skipped: usize,
}

impl<'w> Screen<'w> {
    /// A screen on standard output, as which `out` writes.
    pub(super) fn new(out: &'w mut dyn Write) -> Self {
        let terminal = io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { WIDEST } else { columns.clamp(NARROWEST, WIDEST) };
        Self { out, colour: terminal && !unwanted, width }
    }

    /// The first words.
    pub(super) fn open(&mut self, title: &str, subtitle: &str) -> io::Result<()> {
        let title = self.paint(BOLD, title);
        writeln!(self.out, "\n  {title}")?;
        self.paragraph(2, DIM, "", subtitle)
    }

    /// The heading of a chapter.
    pub(super) fn chapter(&mut self, number: usize, title: &str, about: &str) -> io::Result<()> {
        let heading = format!("── {number} · {title} ");
        let rule = "─".repeat(self.width.saturating_sub(heading.chars().count()));
        let heading = self.paint(TITLE, &format!("{heading}{rule}"));
        writeln!(self.out, "\n{heading}")?;
        self.paragraph(2, DIM, "", about)
    }

    /// One step with all that happened.
    pub(super) fn step(
        &mut self,
        title: &str,
        why: &str,
        lines: &[Line],
        end: &Result<(), Halt>,
        took: Duration,
    ) -> io::Result<()> {
        let (mark, colour) = match end {
            Ok(()) => ("✓", GREEN),
            Err(Halt::Failed(_)) => ("✗", RED),
            Err(Halt::Skipped(_)) => ("–", YELLOW),
        };
        let time = match end {
            Err(Halt::Skipped(_)) => "skipped".to_owned(),
            _ => duration(took),
        };
        let used = INDENT + title.chars().count() + time.chars().count();
        let gap = " ".repeat(self.width.saturating_sub(used).max(1));
        let (mark, title) = (self.paint(colour, mark), self.paint(BOLD, title));
        let time = self.paint(DIM, &time);
        writeln!(self.out, "\n  {mark} {title}{gap}{time}")?;
        for line in lines {
            self.line(line)?;
        }
        match end {
            Err(Halt::Failed(what)) => self.paragraph(INDENT, RED, "✗ ", what)?,
            Err(Halt::Skipped(what)) => self.paragraph(INDENT, YELLOW, "", &format!("Skipped: {what}."))?,
            Ok(()) => {}
        }
        self.paragraph(INDENT, "", "", why)?;
        self.out.flush()
    }

    /// The last words.
    pub(super) fn close(&mut self, score: &Score, took: Duration, interrupted: bool) -> io::Result<()> {
        let rule = "─".repeat(self.width);
        let rule = self.paint(TITLE, &rule);
        writeln!(self.out, "\n{rule}")?;
        for title in &score.failed {
            self.paragraph(2, RED, "✗ ", title)?;
        }
        let summary =
            format!("{} passed, {} failed, {} skipped", score.passed, score.failed.len(), score.skipped);
        let colour = if score.failed.is_empty() { "1;32" } else { "1;31" };
        if interrupted {
            self.paragraph(2, YELLOW, "", "Interrupted: the rest was not tried.")?;
        }
        let (summary, took) =
            (self.paint(colour, &summary), self.paint(DIM, &format!("in {}", duration(took))));
        writeln!(self.out, "  {summary} {took}\n")?;
        self.out.flush()
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        match line {
            Line::Sent(text) => self.paragraph(INDENT, CYAN, "→ ", text),
            Line::SentMore(text) => self.paragraph(INDENT + 2, CYAN, "", text),
            Line::Received(status, text) => self.paragraph(INDENT, colour_of(*status), "← ", text),
            Line::Note(text) => self.paragraph(INDENT, DIM, "· ", text),
            Line::More(text) => self.paragraph(INDENT + 2, DIM, "", text),
        }
    }

    /// Text behind `mark` at `indent`, wrapped; the lines after the first stand below its text.
    fn paragraph(&mut self, indent: usize, colour: &str, mark: &str, text: &str) -> io::Result<()> {
        let hanging = indent + mark.chars().count();
        for (number, line) in wrap(&visible(text), self.width.saturating_sub(hanging)).iter().enumerate() {
            let line = self.paint(colour, &if number == 0 { format!("{mark}{line}") } else { line.clone() });
            let blank = " ".repeat(if number == 0 { indent } else { hanging });
            writeln!(self.out, "{blank}{line}")?;
        }
        Ok(())
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour && !colour.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const fn colour_of(status: u16) -> &'static str {
    match status {
        100..300 => GREEN,
        300..400 => CYAN,
        400..500 => YELLOW,
        _ => RED,
    }
}

fn duration(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1000.0;
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        ..1000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    }
}

/// `text` in lines of at most `width` characters, broken at blanks where there are any. Blanks at its
/// beginning stay.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if length > room && room < width {
            lines.push(String::new());
            room = width;
        }
        let mut rest: Vec<char> = word.chars().collect();
        while rest.len() > room && length > room {
            let tail = rest.split_off(room.max(1));
            lines.last_mut().into_iter().for_each(|line| line.extend(&rest));
            lines.push(String::new());
            (rest, room) = (tail, width);
        }
        room = room.saturating_sub(rest.len());
        lines.last_mut().into_iter().for_each(|line| line.extend(&rest));
    }
    lines.iter().map(|line| line.trim_end().replace(GLUE, " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_4_text_is_broken_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a abcdefgh", 4), ["a", "abcd", "efgh"]);
        assert_eq!(wrap("  indented", 20), ["  indented"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("one two\u{a0}three", 9), ["one", "two three"]);
    }

    #[test]
    fn run_4_no_line_is_wider_than_the_screen_and_a_pipe_has_no_colour() {
        let mut bytes = Vec::new();
        let mut screen = Screen { out: &mut bytes, colour: false, width: 60 };
        let lines = [Line::Sent("x".repeat(200)), Line::Received(200, "word ".repeat(50))];
        let end = Err(Halt::failed("because ".repeat(20)));
        screen.chapter(1, "Title", "about").unwrap();
        screen.step("a title", "why", &lines, &end, Duration::from_millis(1500)).unwrap();
        screen
            .close(&Score { passed: 1, failed: vec!["a title".into()], skipped: 2 }, Duration::ZERO, false)
            .unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.contains("1 passed, 1 failed, 2 skipped") && !text.contains('\x1b'), "{text}");
    }
}
