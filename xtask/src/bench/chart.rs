//! `bench/results.svg`: CPU time per request, a row for each work, a dot for each server, on a logarithmic scale.
//!
//! Shape and colour both tell a server, so that either is enough; dark and light follow the reader's system.

use std::fmt::Write as _;
use std::fs;
use std::iter::once;

use super::report::micros;
use super::servers::{Kind, Role};
use super::speed::Table;
use super::stats::Spread;
use crate::context::Context;

/// Below the top of the checkout.
const FILE: &str = "bench/results.svg";

/// All lengths are in pixels of an unscaled image.
const WIDTH: f64 = 860.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 150.0;
/// Above the first row: title, a line that says what is shown, and the legend.
const TOP: f64 = 104.0;
/// Below the last row: the scale.
const BOTTOM: f64 = 44.0;
/// Each server has a lane of its own within a row, so that no dot hides another.
const LANE: f64 = 7.0;
const ROW_GAP: f64 = 12.0;

/// Light, dark. Those of tidegate come first and stand out; the others keep 3:1 against both grounds.
const COLOURS: [(&str, &str); 8] = [
    ("#c92a2a", "#ff8787"),
    ("#495057", "#ced4da"),
    ("#2b8a3e", "#69db7c"),
    ("#1864ab", "#74c0fc"),
    ("#5f3dc4", "#b197fc"),
    ("#0b7285", "#66d9e8"),
    ("#a0522d", "#ffc078"),
    ("#862e9c", "#e599f7"),
];

/// Draws a run into its file. An `Err` says what stood in the way.
pub(super) fn write(context: &Context, tables: &[Table]) -> Result<(), String> {
    let path = context.root.join(FILE);
    fs::write(path, svg(tables)).map_err(|error| format!("cannot write {FILE}: {error}"))
}

fn svg(tables: &[Table]) -> String {
    let chart = Chart::new(tables);
    let mut text = chart.opening();
    chart.legend(&mut text);
    chart.scale(&mut text);
    for (number, table) in tables.iter().enumerate() {
        chart.row(&mut text, number, table);
    }
    text.push_str("</svg>\n");
    text
}

struct Chart<'a> {
    tables: &'a [Table],
    kinds: Vec<Kind>,
    /// The ends of the scale, as powers of ten.
    from: f64,
    to: f64,
}

impl<'a> Chart<'a> {
    fn new(tables: &'a [Table]) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for row in tables.iter().flat_map(|table| &table.rows) {
            if !kinds.contains(&row.kind) {
                kinds.push(row.kind);
            }
        }
        let values = tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.cpu).copied();
        let all = Spread::of(values).unwrap_or(Spread { median: 1.0, least: 1.0, most: 10.0 });
        Self { tables, kinds, from: (all.least * 0.8).log10(), to: (all.most * 1.2).log10() }
    }

    fn x(&self, micros: f64) -> f64 {
        LEFT + (micros.log10() - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }

    fn row_height(&self) -> f64 {
        self.kinds.len() as f64 * LANE + ROW_GAP
    }

    fn bottom(&self) -> f64 {
        TOP + self.tables.len() as f64 * self.row_height()
    }

    fn opening(&self) -> String {
        let height = self.bottom() + BOTTOM;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"title desc\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
             <title id=\"title\">CPU time per request, side by side</title>\n<desc id=\"desc\">{}</desc>\n{}",
            self.description(),
            self.style()
        );
        let _ = writeln!(text, "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>");
        let _ = writeln!(
            text,
            "<text x=\"16\" y=\"28\" font-size=\"18\" font-weight=\"600\">CPU time per request</text>"
        );
        let _ = writeln!(
            text,
            "<text class=\"quiet\" x=\"16\" y=\"48\">microseconds of the server, logarithmic; dot: median, line: least \
             to most of the rounds; less is better</text>"
        );
        text
    }

    /// The medians as words, for those who do not see the picture.
    fn description(&self) -> String {
        let works = self.tables.iter().map(|table| {
            let figures = table
                .rows
                .iter()
                .filter_map(|row| Some(format!("{} {}", row.kind.name, micros(row.cpu_spread()?.median))));
            format!("{}: {}.", table.work.name, figures.collect::<Vec<_>>().join(", "))
        });
        once("Median CPU microseconds of the server per request.".to_owned())
            .chain(works)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn style(&self) -> String {
        let mut light =
            String::from(".ground{fill:#fff}text{fill:#212529}.quiet{fill:#495057}.grid{stroke:#dee2e6}");
        let mut dark =
            String::from(".ground{fill:#0d1117}text{fill:#e6edf3}.quiet{fill:#adb5bd}.grid{stroke:#30363d}");
        for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
            let _ = write!(light, ".k{number}{{fill:{on_light};stroke:{on_light}}}");
            let _ = write!(dark, ".k{number}{{fill:{on_dark};stroke:{on_dark}}}");
        }
        format!("<style>{light}@media (prefers-color-scheme:dark){{{dark}}}</style>\n")
    }

    fn legend(&self, text: &mut String) {
        let step = (WIDTH - 32.0) / self.kinds.len().max(1) as f64;
        for (lane, kind) in self.kinds.iter().enumerate() {
            let x = 22.0 + step * lane as f64;
            self.mark(text, *kind, x, 74.0);
            let _ =
                writeln!(text, "<text x=\"{:.0}\" y=\"78\" font-size=\"12\">{}</text>", x + 9.0, kind.name);
        }
    }

    /// Upright lines at 1, 2 and 5 of each power of ten.
    fn scale(&self, text: &mut String) {
        let ticks = (-3..6).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        for value in ticks.filter(|value| (self.from..=self.to).contains(&value.log10())) {
            let (x, bottom) = (self.x(value), self.bottom());
            let _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"quiet\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" font-size=\"12\">{value}</text>",
                bottom + 18.0
            );
        }
    }

    fn row(&self, text: &mut String, number: usize, table: &Table) {
        let top = TOP + number as f64 * self.row_height();
        let middle = top + self.row_height() / 2.0;
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"16\" x2=\"{:.0}\" y1=\"{top:.1}\" y2=\"{top:.1}\"/>",
            WIDTH - 16.0
        );
        let _ = writeln!(
            text,
            "<text x=\"16\" y=\"{:.1}\" font-weight=\"600\">{}</text>",
            middle + 4.0,
            table.work.name
        );
        for row in &table.rows {
            let lane = self.kinds.iter().position(|kind| *kind == row.kind).unwrap_or(0);
            let Some(Spread { median, least, most }) = row.cpu_spread() else { continue };
            let y = top + ROW_GAP / 2.0 + (lane as f64 + 0.5) * LANE;
            let _ = writeln!(
                text,
                "<line class=\"k{}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                self.colour(row.kind),
                self.x(least),
                self.x(most)
            );
            self.mark(text, row.kind, self.x(median), y);
            if row.kind.role == Role::Ours {
                let (x, y) = (WIDTH - RIGHT + 14.0, middle + 4.0);
                let _ = writeln!(text, "<text x=\"{x}\" y=\"{y:.1}\">tidegate {} µs</text>", micros(median));
            }
        }
    }

    /// tidegate has the first colour, whatever its place.
    fn colour(&self, kind: Kind) -> usize {
        if kind.role == Role::Ours {
            return 0;
        }
        let others = self.kinds.iter().filter(|kind| kind.role != Role::Ours);
        1 + others.into_iter().position(|other| *other == kind).unwrap_or(0) % (COLOURS.len() - 1)
    }

    /// A dot of this server's shape and colour, around a place.
    fn mark(&self, text: &mut String, kind: Kind, x: f64, y: f64) {
        let colour = self.colour(kind);
        // Around the origin; tidegate's is the largest.
        let path = match colour {
            0 => "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
            1 => "M-1-4H1V4H-1Z",
            2 => "M-3-3H3V3H-3Z",
            3 => "M0-4L4 3H-4Z",
            4 => "M0-4L4 0L0 4L-4 0Z",
            5 => "M-4-1H-1V-4H1V-1H4V1H1V4H-1V1H-4Z",
            6 => "M0 4L4-3H-4Z",
            _ => "M-4-1H4V1H-4Z",
        };
        let _ =
            writeln!(text, "<path class=\"k{colour}\" d=\"{path}\" transform=\"translate({x:.1} {y:.1})\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::tests::table;
    use super::*;

    #[test]
    fn the_chart_says_in_words_what_it_shows() {
        let svg = svg(&[table()]);
        assert!(
            svg.contains("small: floor 5.00, tidegate 6.00, nginx 1.00, h2o 10.0, lighttpd 20.0.</desc>")
        );
        assert!(svg.contains("<title id=\"title\">") && svg.contains("prefers-color-scheme:dark"));
        assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn every_server_has_a_mark_in_the_legend_and_one_in_its_row() {
        let svg = svg(&[table()]);
        assert_eq!(svg.matches("<path ").count(), 10);
        assert_eq!(svg.matches("<path class=\"k0\"").count(), 2);
    }

    #[test]
    fn the_scale_grows_by_factors() {
        let tables = [table()];
        let chart = Chart::new(&tables);
        let steps = [chart.x(10.0) - chart.x(5.0), chart.x(4.0) - chart.x(2.0)];
        assert!(steps[0] > 0.0 && (steps[0] - steps[1]).abs() < 1e-9);
        assert!(chart.x(1.0) > LEFT && chart.x(20.0) < WIDTH - RIGHT);
    }

    #[test]
    fn nothing_measured_is_still_a_chart() {
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
