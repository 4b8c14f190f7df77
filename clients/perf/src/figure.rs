//! Named figures, and what several rounds of them come to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// One figure of a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// For machines.
    pub key: &'static str,
    /// For people, with the unit.
    pub name: &'static str,
    pub better: Better,
    /// `None` when there was nothing to measure it by.
    pub value: Option<f64>,
    /// Whether a round spoils it for the next.
    pub is_of_first_round: bool,
}

/// In which direction a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    More,
    Less,
}

/// The same figure of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// A figure that is the better the more it is.
pub fn more(key: &'static str, name: &'static str, value: impl Into<Option<f64>>) -> Value {
    Value { key, name, better: Better::More, value: value.into(), is_of_first_round: false }
}

/// A figure that is the better the less it is.
pub fn less(key: &'static str, name: &'static str, value: impl Into<Option<f64>>) -> Value {
    Value { key, name, better: Better::Less, value: value.into(), is_of_first_round: false }
}

/// Memory of a broker that goes on: the less the better, but after the first round it uses again what it has freed.
pub fn memory(key: &'static str, name: &'static str, value: impl Into<Option<f64>>) -> Value {
    Value { is_of_first_round: true, ..less(key, name, value) }
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The figures as an object.
pub fn json(values: &[Value]) -> Json {
    let entries = values.iter().map(|value| (value.key.to_owned(), Json::from(value.value)));
    Json::Object(entries.collect::<Map<String, Json>>())
}

/// The figures as lines for people.
pub fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{:<34}{:>14}\n", value.name, number(value.value))).collect()
}

/// About four digits, in groups.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 100.0 => grouped(value.round() as u64),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) if value >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Spread {
    /// `None` when there is no value, or a round had none.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let mut values = values.collect::<Option<Vec<f64>>>()?;
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get(values.len().saturating_sub(1) / 2)?;
        // Of an even number of values the mean of the two in the middle.
        let median = f64::midpoint(lower, upper);
        Some(Self { median, min: *values.first()?, max: *values.last()? })
    }
}

impl Better {
    /// How many times A is better than B; nothing for memory that became less meanwhile.
    pub fn ratio(self, a: f64, b: f64) -> Option<f64> {
        let ratio = match self {
            Self::More => a / b,
            Self::Less => b / a,
        };
        Some(ratio).filter(|ratio| ratio.is_finite() && a >= 0.0 && b >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| Spread::of(values.iter().copied().map(Some));
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 9.0 }));
        assert_eq!(of(&[4.0, 1.0, 2.0, 9.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(of(&[]), None);
        assert_eq!(Spread::of([Some(1.0), None].into_iter()), None);
    }

    #[test]
    fn the_better_has_the_larger_ratio() {
        assert_eq!(Better::More.ratio(10.0, 5.0), Some(2.0));
        assert_eq!(Better::Less.ratio(10.0, 5.0), Some(0.5));
        assert_eq!(Better::Less.ratio(0.0, 5.0), None);
        assert_eq!(Better::Less.ratio(-300.0, -200.0), None);
    }

    #[test]
    fn numbers_have_about_four_digits() {
        let shown = [0.0123, 1.234, 12.345, 123.45, 1_234_567.0].map(|value| number(Some(value)));
        assert_eq!(shown, ["0.012", "1.23", "12.3", "123", "1,234,567"]);
        assert_eq!([0, 12, 999, 1_000].map(grouped), ["0", "12", "999", "1,000"]);
    }
}
