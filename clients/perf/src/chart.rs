//! A picture of how many times one broker is better than another: bars on a logarithmic scale, as plain SVG.

use std::fmt::Write;

use crate::results::{Cell, Results, Row};

const WIDTH: f64 = 860.0;
/// Where the bars begin: left of it are the names of the work.
const LEFT: f64 = 400.0;
/// Room for the number behind the longest bar.
const RIGHT: f64 = 64.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 14.0;
const BAR: f64 = 9.0;
const GAP: f64 = 9.0;
/// A line of text below the bars.
const NOTE: f64 = 15.0;
/// The picture's own colours, and others where the page is dark.
const STYLE: &str = "\
text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f }
.head { font-weight: 600; font-size: 13px }
.tick { fill: #57606a; font-size: 11px }
.grid { stroke: #d0d7de }
.one { stroke: #57606a }
.rate { fill: #0969da }
.cost { fill: #1a7f64 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.tick { fill: #9198a1 }
.grid { stroke: #3d444d }
.one { stroke: #9198a1 }
.rate { fill: #4493f8 }
.cost { fill: #3fb68b }
}";

/// The chart of `results` of two brokers; why there is none otherwise.
pub fn svg(results: &Results) -> Result<String, String> {
    let [a, b] = &results.brokers[..] else {
        return Err("a chart needs the results of two brokers".to_owned());
    };
    let cells: Vec<(&Cell, Vec<Bar>)> =
        results.cells.iter().map(|cell| (cell, bars(cell))).filter(|(_, bars)| !bars.is_empty()).collect();
    let ratios = cells.iter().flat_map(|(_, bars)| bars).map(|bar| bar.ratio);
    let Some(scale) = Scale::of(ratios) else {
        return Err("there is no cell with a ratio".to_owned());
    };
    let troubled: Vec<&Cell> = results.cells.iter().filter(|cell| !cell.is_sound()).collect();
    let heights = cells.iter().map(|(_, bars)| bars.len() as f64 * (BAR + 1.0) + GAP);
    let bottom = TOP + heights.sum::<f64>();
    let height = bottom + troubled.len() as f64 * NOTE + BOTTOM;
    let title = format!("How many times {} is better than {}", a.name, b.name);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>{0}</title>\n<style>{STYLE}</style>\n<text class=\"head\" x=\"8\" y=\"20\">{0}</text>\n",
        escaped(&title)
    );
    write_legend(&mut out);
    write_grid(&mut out, &scale, bottom);
    let mut y = TOP;
    for (cell, bars) in &cells {
        write_cell(&mut out, cell, bars, &scale, y);
        y += bars.len() as f64 * (BAR + 1.0) + GAP;
    }
    for cell in troubled {
        y += NOTE;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"8\" y=\"{y:.1}\">left out, as something went wrong: {}</text>",
            escaped(&cell.title)
        );
    }
    out.push_str("</svg>\n");
    Ok(out)
}

/// One bar of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bar {
    class: &'static str,
    ratio: f64,
}

/// A cell's rate, or else its median latency, and its cost; nothing of one without these, and of one with trouble, as
/// half of a ratio may be the trouble's.
fn bars(cell: &Cell) -> Vec<Bar> {
    if !cell.is_sound() || cell.speed().is_none() {
        return Vec::new();
    }
    // Of next to no CPU time a ratio may be 0.
    let ratio = |row: Option<&Row>| row?.ratio.filter(|ratio| *ratio > 0.0);
    let (rate, cost) = (ratio(cell.speed()), ratio(cell.cost()));
    let rate = rate.map(|ratio| Bar { class: "rate", ratio });
    rate.into_iter().chain(cost.map(|ratio| Bar { class: "cost", ratio })).collect()
}

/// The logarithmic scale, from `least` to `most`, both in the series 1, 2, 5, 10, 20, …
#[derive(Debug, Clone, PartialEq)]
struct Scale {
    ticks: Vec<f64>,
}

impl Scale {
    /// A scale that has 1 and all of `ratios` on it; `None` without any.
    fn of(ratios: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut least, mut most, mut is_empty) = (1.0_f64, 2.0_f64, true);
        for ratio in ratios {
            (least, most, is_empty) = (least.min(ratio), most.max(ratio), false);
        }
        let series: Vec<f64> =
            (-6..9).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))).collect();
        let first = series.iter().rposition(|tick| *tick <= least * 1.0001).unwrap_or(0);
        let last = series.iter().position(|tick| *tick >= most * 0.9999).unwrap_or(series.len() - 1);
        (!is_empty).then(|| Self { ticks: series[first..=last].to_vec() })
    }

    fn x(&self, ratio: f64) -> f64 {
        let (least, most) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        let share = (ratio / least).ln() / (most / least).ln();
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }
}

fn write_legend(out: &mut String) {
    for (x, class, name) in
        [(8.0, "rate", "rate, or median latency"), (190.0, "cost", "server CPU for the same work")]
    {
        // Writing to a string cannot fail.
        let _ =
            writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"33\" width=\"{BAR}\" height=\"{BAR}\"/>");
        let _ = writeln!(out, "<text class=\"tick\" x=\"{}\" y=\"42\">{name}</text>", x + 14.0);
    }
}

fn write_grid(out: &mut String, scale: &Scale, bottom: f64) {
    for tick in &scale.ticks {
        let x = scale.x(*tick);
        let class = if *tick == 1.0 { "one" } else { "grid" };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>",
            TOP - 8.0
        );
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick} ×</text>",
            TOP - 13.0
        );
    }
}

fn write_cell(out: &mut String, cell: &Cell, bars: &[Bar], scale: &Scale, top: f64) {
    let middle = top + bars.len() as f64 * (BAR + 1.0) / 2.0 + 4.0;
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        escaped(&cell.title)
    );
    for (n, bar) in bars.iter().enumerate() {
        let y = top + n as f64 * (BAR + 1.0);
        let (one, end) = (scale.x(1.0), scale.x(bar.ratio));
        let (x, width) = (one.min(end), (end - one).abs().max(1.0));
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>",
            bar.class
        );
        let number =
            if bar.ratio >= 10.0 { format!("{:.0}", bar.ratio) } else { format!("{:.1}", bar.ratio) };
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{number} ×</text>",
            one.max(end) + 4.0,
            y + BAR - 0.5
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{sample, trouble};

    #[test]
    fn ticks_surround_the_ratios() {
        let ticks = |ratios: &[f64]| Scale::of(ratios.iter().copied()).map(|scale| scale.ticks);
        assert_eq!(ticks(&[3.0, 40.0]), Some(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0]));
        assert_eq!(ticks(&[0.6, 1.5]), Some(vec![0.5, 1.0, 2.0]));
        assert_eq!(ticks(&[100.0]), Some(vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]));
        assert_eq!(ticks(&[]), None);
    }

    #[test]
    fn the_scale_is_logarithmic() {
        let scale = Scale::of([100.0].into_iter()).unwrap();
        assert_eq!(scale.x(1.0), LEFT);
        assert!((scale.x(10.0) - f64::midpoint(scale.x(1.0), scale.x(100.0))).abs() < 1e-9);
        assert_eq!(scale.x(1e9), WIDTH - RIGHT);
    }

    #[test]
    fn a_cell_with_a_ratio_becomes_a_bar() {
        let picture = svg(&sample()).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("16 B &lt;fast&gt;") && picture.contains(">20 ×<"));
        assert_eq!(picture.matches("<rect class=\"rate\"").count(), 2);
        assert_eq!(picture.matches("left out, as something went wrong: channels</text>").count(), 1);
    }

    #[test]
    fn a_cell_with_trouble_has_no_bar() {
        let mut results = sample();
        assert_eq!(bars(&results.cells[0]), [Bar { class: "rate", ratio: 20.0 }]);
        results.cells[0].troubles.push(trouble("not all got through"));
        assert_eq!(bars(&results.cells[0]), []);
    }

    #[test]
    fn without_two_brokers_there_is_no_chart() {
        let mut results = sample();
        results.cells.remove(0);
        assert!(svg(&results).is_err());
        results.brokers.truncate(1);
        assert!(svg(&results).is_err());
    }
}
