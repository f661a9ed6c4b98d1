//! Plots: lines over a plane, as SVG that stretches to whatever room it has, with labels beside it in HTML, which do not.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// The plane's width and height in its own units.
const PLANE: f64 = 1000.0;

/// An axis: which values it has, and how they lie on it.
pub(super) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    /// Where there are lines, and what they are called.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to a round number that is not less than `max`.
    pub(super) fn linear(max: f64, label: impl Fn(f64) -> String) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_up(max / 4.0);
        let count = libm::ceil(max / step) as u32;
        let ticks = (0..=count).map(|index| f64::from(index) * step);
        let to = f64::from(count) * step;
        Self { from: 0.0, to, is_log: false, ticks: ticks.map(|at| (at, label(at))).collect() }
    }

    /// Whole numbers from zero to `max`, with a line at each, or at each second, fifth, tenth of them.
    pub(super) fn counting(max: f64, label: impl Fn(f64) -> String) -> Self {
        let max = max.max(1.0);
        let step = round_up(max / 6.0).max(1.0);
        let ticks = (0..=libm::floor(max / step) as u32).map(|index| f64::from(index) * step);
        Self { from: 0.0, to: max, is_log: false, ticks: ticks.map(|at| (at, label(at))).collect() }
    }

    /// Powers of ten between both, and their doubles and fives if there are few.
    pub(super) fn logarithmic(min: f64, max: f64, label: impl Fn(f64) -> String) -> Self {
        let min = min.max(1e-6);
        let max = max.max(min);
        let decades = libm::log10(max / min);
        let all: &[f64] = if decades < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut at: Vec<f64> = Vec::new();
        for power in
            libm::floor(libm::log10(min)) as i32 - 1..=libm::ceil(libm::log10(max)) as i32 + 1
        {
            at.extend(all.iter().map(|one| one * libm::pow(10.0, power.into())));
        }
        // A hair of room, or what is exactly a tick would need another.
        let first = at.iter().rposition(|at| *at <= min * 1.001).unwrap_or(0);
        let last = at.iter().position(|at| *at >= max * 0.999).unwrap_or(at.len() - 1);
        let ticks = &at[first..=last.max(first + 1)];
        let (from, to) = (ticks[0], ticks[ticks.len() - 1]);
        Self { from, to, is_log: true, ticks: ticks.iter().map(|at| (*at, label(*at))).collect() }
    }

    /// With lines at the caller's choice.
    pub(super) fn with_ticks(from: f64, to: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { from, to, is_log: false, ticks }
    }

    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            libm::log10(value.max(self.from) / self.from) / libm::log10(self.to / self.from)
        } else {
            (value - self.from) / (self.to - self.from)
        };
        place.clamp(0.0, 1.0)
    }
}

/// A line of a plot.
pub(super) struct Line<'a> {
    /// What it shows.
    pub(super) name: &'a str,
    /// Its class in the style sheet, which has its colour.
    pub(super) class: &'a str,
    /// Its points.
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot: its lines, and what is said where a pointer rests on a part of it.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) about: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line<'a>>,
    /// Strips of the plane from left to right, each with its text.
    pub(super) strips: Vec<(f64, f64, String)>,
}

impl Plot<'_> {
    /// Adds the plot to a page. Titles and texts are to be free of HTML's own characters.
    pub(super) fn write(&self, page: &mut String) -> core::fmt::Result {
        let Self { title, about, x, y, lines, strips } = self;
        write!(page, "<figure><figcaption><h2>{title}</h2><p>{about}</p><ul class=legend>")?;
        for line in lines {
            write!(page, "<li class={}>{}</li>", line.class, line.name)?;
        }
        write!(page, "</ul></figcaption><div class=plot>")?;
        for (at, label) in &y.ticks {
            let bottom = y.place(*at) * 100.0;
            write!(page, "<i class=y style=\"bottom:{bottom:.2}%\">{label}</i>")?;
        }
        for (at, label) in &x.ticks {
            let left = x.place(*at) * 100.0;
            write!(page, "<i class=x style=\"left:{left:.2}%\">{label}</i>")?;
        }
        let size = format!("0 0 {PLANE} {PLANE}");
        write!(
            page,
            "<svg viewBox=\"{size}\" preserveAspectRatio=none role=img aria-label=\"{title}\">"
        )?;
        for (at, _) in &y.ticks {
            let at = PLANE - y.place(*at) * PLANE;
            write!(page, "<path class=grid d=\"M0 {at:.1}H{PLANE}\"/>")?;
        }
        for line in lines {
            self.write_line(page, line)?;
        }
        for (from, to, text) in strips {
            let (from, to) = (x.place(*from) * PLANE, x.place(*to) * PLANE);
            let width = (to - from).max(0.1);
            write!(
                page,
                "<rect x={from:.1} width={width:.1} height={PLANE}><title>{text}</title></rect>"
            )?;
        }
        write!(page, "</svg></div></figure>")
    }

    fn write_line(&self, page: &mut String, line: &Line<'_>) -> core::fmt::Result {
        write!(page, "<path class=\"line {}\" d=\"", line.class)?;
        for (index, (x, y)) in line.points.iter().enumerate() {
            let (x, y) = (self.x.place(*x) * PLANE, PLANE - self.y.place(*y) * PLANE);
            let step = if index == 0 { 'M' } else { 'L' };
            write!(page, "{step}{x:.1} {y:.1}")?;
        }
        // A single point is a dot: a line to itself with round ends.
        if let [(x, y)] = line.points[..] {
            let (x, y) = (self.x.place(x) * PLANE, PLANE - self.y.place(y) * PLANE);
            write!(page, "L{x:.1} {y:.1}")?;
        }
        write!(page, "\"/>")
    }
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn round_up(number: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(number)));
    let one = number / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| *round >= one * 0.999);
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis) -> Vec<f64> {
        axis.ticks.iter().map(|(at, _)| (at * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn axes_have_round_numbers_and_all_values() {
        let none = |_: f64| String::new();
        assert_eq!(ticks(&Axis::linear(970.0, none)), [0.0, 500.0, 1000.0]);
        assert_eq!(ticks(&Axis::linear(0.0, none)), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(&Axis::linear(8.0, none)), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(&Axis::counting(10.0, none)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(&Axis::counting(0.0, none)), [0.0, 1.0]);
        assert_eq!(ticks(&Axis::logarithmic(0.3, 3.0, none)), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(ticks(&Axis::logarithmic(0.1, 100.0, none)), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(ticks(&Axis::logarithmic(1.0, 1.0, none)), [1.0, 2.0]);
        for (min, max) in [(0.0, 0.0), (0.05, 1234.5), (7.0, 7.1), (1e-9, 1e9)] {
            let axis = Axis::logarithmic(min, max, none);
            assert!(axis.from <= min.max(1e-6) * 1.001 && axis.to >= max * 0.999, "{min} {max}");
            assert_eq!(axis.place(axis.from), 0.0);
            assert_eq!(axis.place(axis.to), 1.0);
        }
    }
}
