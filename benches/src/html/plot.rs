//! Plots as SVG: lines and bars. Colours are classes, `a` to `d`, of the page's style sheet.

use super::{escaped, grouped, put};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 32.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 46.0;

/// What the numbers of an axis are, and so how they are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Number,
    /// In us.
    Time,
}

/// The vertical axis.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// A plot of lines.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    pub(crate) title: &'t str,
    /// Behind the title.
    pub(crate) note: &'t str,
    pub(crate) across: &'t str,
    pub(crate) up: &'t str,
    pub(crate) unit: Unit,
    pub(crate) scale: Scale,
    /// Where the horizontal axis has a mark, and what it says. If empty, marks are made.
    pub(crate) marks: Vec<(f64, String)>,
    pub(crate) series: Vec<Series>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: Colour,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<Point>,
}

/// One point, and how far it was seen to vary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) spread: Option<(f64, f64)>,
}

/// A colour of the page, in light and in dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    A,
    B,
    C,
    D,
}

/// A bar of a plot of bars, lying.
#[derive(Debug)]
pub(crate) struct Bar {
    /// On the left, above a group of bars; empty for those that follow in it.
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) colour: Colour,
    pub(crate) value: f64,
    pub(crate) spread: Option<(f64, f64)>,
    /// What stands behind the bar.
    pub(crate) text: String,
}

impl Colour {
    fn class(self) -> &'static str {
        match self {
            Colour::A => "a",
            Colour::B => "b",
            Colour::C => "c",
            Colour::D => "d",
        }
    }
}

impl Point {
    pub(crate) fn new(x: f64, y: f64) -> Self {
        Self { x, y, spread: None }
    }
}

impl Series {
    pub(crate) fn new(
        name: impl Into<String>,
        colour: Colour,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().map(|(x, y)| Point::new(x, y)).collect();
        Self { name: name.into(), colour, is_dashed: false, points }
    }
}

/// The axes of a plot: from values to places.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
}

impl Axes {
    fn across(&self, x: f64) -> f64 {
        let width = (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        LEFT + (x - self.x.0) / width * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        };
        let (low, high) = (place(self.y.0), place(self.y.1));
        let share = (place(y) - low) / (high - low).max(f64::MIN_POSITIVE);
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws lines.
pub(crate) fn lines(plot: &Lines) -> String {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let xs = points().map(|point| point.x).chain(plot.marks.iter().map(|(x, _)| *x));
    let x = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let ys = points().flat_map(|point| {
        let (low, high) = point.spread.unwrap_or((point.y, point.y));
        [low, point.y, high]
    });
    let positive = ys.filter(|y| y.is_finite() && *y > 0.0);
    let (low, high) =
        positive.fold((f64::INFINITY, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
    if points().next().is_none() || high <= 0.0 {
        return String::new();
    }
    let ticks = match plot.scale {
        Scale::Linear => linear_ticks(high),
        Scale::Logarithmic => logarithmic_ticks(low, high),
    };
    let y = (ticks[0], ticks[ticks.len() - 1]);
    let axes = Axes { x, y, scale: plot.scale };
    let mut svg = frame(plot.title, plot.note, HEIGHT, plot.up);
    for tick in ticks {
        let at = axes.up(tick);
        let text = match plot.unit {
            Unit::Number => short(tick),
            Unit::Time => round_time(tick),
        };
        put(
            &mut svg,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
                 <text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\n",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            ),
        );
    }
    let marks = match plot.marks.is_empty() {
        true => linear_ticks(x.1).into_iter().map(|tick| (tick, short(tick))).collect(),
        false => plot.marks.clone(),
    };
    for (x, text) in marks.iter().filter(|(at, _)| (x.0..=x.1 + 1e-9).contains(at)) {
        put(
            &mut svg,
            format_args!(
                "<text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                axes.across(*x),
                HEIGHT - BOTTOM + 18.0,
                escaped(text)
            ),
        );
    }
    put(
        &mut svg,
        format_args!(
            "<text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            WIDTH - RIGHT,
            HEIGHT - 10.0,
            escaped(plot.across)
        ),
    );
    for series in plot.series.iter().filter(|series| !series.points.is_empty()) {
        draw(&mut svg, &axes, series);
    }
    legend(&mut svg, &plot.series);
    svg + "</svg></figure>\n"
}

fn draw(svg: &mut String, axes: &Axes, series: &Series) {
    let class = series.colour.class();
    let dashed = if series.is_dashed { " dashed" } else { "" };
    let path: Vec<String> = series
        .points
        .iter()
        .map(|point| format!("{:.1},{:.1}", axes.across(point.x), axes.up(point.y)))
        .collect();
    put(
        svg,
        format_args!("<polyline class=\"{class} line{dashed}\" points=\"{}\"/>\n", path.join(" ")),
    );
    // A few points are marked; of many the line says enough.
    for point in series.points.iter().filter(|_| series.points.len() <= 12) {
        let (x, y) = (axes.across(point.x), axes.up(point.y));
        put(
            svg,
            format_args!("<circle class=\"{class} fill\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>\n"),
        );
        if let Some((low, high)) = point.spread {
            put(
                svg,
                format_args!(
                    "<line class=\"{class} span\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" \
                     y2=\"{:.1}\"/>\n",
                    axes.up(low),
                    axes.up(high)
                ),
            );
        }
    }
}

fn legend(svg: &mut String, series: &[Series]) {
    // Widths of letters are not known here: this is enough for them.
    let width = |name: &str| 34.0 + 7.0 * name.chars().count() as f64;
    let all: f64 = series.iter().map(|series| width(&series.name)).sum();
    let mut x = (WIDTH - RIGHT - all).max(LEFT);
    for series in series {
        let class = series.colour.class();
        let dashed = if series.is_dashed { " dashed" } else { "" };
        put(
            svg,
            format_args!(
                "<line class=\"{class} line{dashed}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"12\" \
                 y2=\"12\"/>\n<text x=\"{:.1}\" y=\"16\">{}</text>\n",
                x + 18.0,
                x + 24.0,
                escaped(&series.name)
            ),
        );
        x += width(&series.name);
    }
}

/// Draws lying bars from zero.
pub(crate) fn bars(title: &str, note: &str, bars: &[Bar]) -> String {
    const NAME: f64 = 150.0;
    const TEXT: f64 = 190.0;
    const BAR: f64 = 20.0;
    let groups = bars.iter().filter(|bar| !bar.group.is_empty()).count();
    let height = bars.len() as f64 * (BAR + 6.0) + groups as f64 * 26.0 + 8.0;
    let most = bars.iter().map(|bar| bar.spread.map_or(bar.value, |(_, high)| high.max(bar.value)));
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let long = |value: f64| (value / most * (WIDTH - NAME - TEXT)).max(0.5);
    let mut svg = frame(title, note, height, "");
    let mut y = 0.0;
    for bar in bars {
        if !bar.group.is_empty() {
            y += 22.0;
            let group = escaped(&bar.group);
            put(
                &mut svg,
                format_args!("<text class=\"quiet\" x=\"0\" y=\"{y:.1}\">{group}</text>\n"),
            );
            y += 4.0;
        }
        y += 6.0;
        let class = bar.colour.class();
        put(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
                 <rect class=\"{class} fill\" x=\"{NAME}\" y=\"{y:.1}\" width=\"{:.1}\" \
                 height=\"{BAR}\" rx=\"2\"/>\n",
                NAME - 8.0,
                y + 14.0,
                escaped(&bar.name),
                long(bar.value)
            ),
        );
        let mut end = long(bar.value);
        if let Some((low, high)) = bar.spread {
            end = end.max(long(high));
            let (from, to, middle) = (NAME + long(low), NAME + long(high), y + BAR / 2.0);
            put(
                &mut svg,
                format_args!(
                    "<line class=\"span\" stroke=\"currentColor\" x1=\"{from:.1}\" x2=\"{to:.1}\" \
                     y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\n"
                ),
            );
        }
        put(
            &mut svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                NAME + end + 8.0,
                y + 14.0,
                escaped(&bar.text)
            ),
        );
        y += BAR;
    }
    svg + "</svg></figure>\n"
}

/// The beginning of a figure, up to what is drawn in it.
fn frame(title: &str, note: &str, height: f64, up: &str) -> String {
    let (title, note, up) = (escaped(title), escaped(note), escaped(up));
    let note = if note.is_empty() { note } else { format!(" <small>{note}</small>") };
    let mut svg = format!(
        "<figure><figcaption>{title}{note}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {height:.0}\" \
         role=\"img\" aria-label=\"{title}\">\n"
    );
    if !up.is_empty() {
        put(&mut svg, format_args!("<text class=\"quiet\" x=\"0\" y=\"16\">{up}</text>\n"));
    }
    svg
}

/// Round numbers from zero to at least `high`, about five of them.
fn linear_ticks(high: f64) -> Vec<f64> {
    let rough = high.max(f64::MIN_POSITIVE) / 5.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|round| round * magnitude);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * magnitude);
    let count = (high / step).ceil().max(1.0) as u32;
    (0..=count).map(|tick| f64::from(tick) * step).collect()
}

/// Powers of ten around `low` and `high`: two of them at least.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = (high.log10().ceil() as i32).max(first + 1);
    (first..=last).map(|power| 10_f64.powi(power)).collect()
}

/// A number in few letters: 1.5M.
fn short(number: f64) -> String {
    let with = |number: f64, letter: &str| {
        let text = format!("{number:.2}");
        format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match number {
        number if number >= 1e9 => with(number / 1e9, "G"),
        number if number >= 1e6 => with(number / 1e6, "M"),
        number if number >= 1e4 => with(number / 1e3, "k"),
        number if number >= 100.0 => grouped(number),
        number => with(number, ""),
    }
}

/// A time at a mark, in us: 10 ms.
fn round_time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{} µs", short(us)),
        us if us < 1e6 => format!("{} ms", short(us / 1e3)),
        us => format!("{} s", short(us / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_include_everything() {
        assert_eq!(linear_ticks(437_000.0), [0.0, 1e5, 2e5, 3e5, 4e5, 5e5]);
        assert_eq!(linear_ticks(1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(logarithmic_ticks(90.0, 5300.0), [10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(logarithmic_ticks(100.0, 100.0), [100.0, 1000.0]);
        assert_eq!([0.5, 250.0, 12_500.0, 1_500_000.0].map(short), ["0.5", "250", "12.5k", "1.5M"]);
        assert_eq!([1.0, 100.0, 1e4, 1e6].map(round_time), ["1 µs", "100 µs", "10 ms", "1 s"]);
    }

    #[test]
    fn higher_values_are_drawn_higher_and_inside() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let axes = Axes { x: (0.0, 10.0), y: (1.0, 1000.0), scale };
            assert!(axes.up(1000.0) < axes.up(10.0) && axes.up(10.0) < axes.up(1.0));
            assert!(axes.up(1e9) >= TOP && axes.up(0.0) <= HEIGHT - BOTTOM);
            assert_eq!((axes.across(0.0), axes.across(10.0)), (LEFT, WIDTH - RIGHT));
        }
    }

    #[test]
    fn a_plot_of_nothing_is_nothing() {
        let plot = Lines {
            title: "t",
            note: "",
            across: "s",
            up: "messages/s",
            unit: Unit::Number,
            scale: Scale::Linear,
            marks: Vec::new(),
            series: vec![Series::new("a", Colour::A, [])],
        };
        assert_eq!(lines(&plot), "");
    }
}
