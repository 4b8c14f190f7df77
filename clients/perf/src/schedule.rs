//! Values that change with time: `VALUE:SECONDS` steps that begin again after the last.

use std::time::Duration;

/// One value for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub value: f64,
    pub seconds: f64,
}

/// Steps in a circle, at least one. A constant is a single step.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Step>);

impl Schedule {
    pub fn constant(value: f64) -> Self {
        Self(vec![Step { value, seconds: 1.0 }])
    }

    /// `None` without a step.
    pub fn of(steps: Vec<Step>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self(steps))
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    pub fn is_constant(&self) -> bool {
        self.0.len() == 1
    }

    /// The value at `elapsed` since the beginning.
    pub fn value_at(&self, elapsed: Duration) -> f64 {
        let mut rest = elapsed.as_secs_f64() % self.circle_seconds();
        for step in &self.0 {
            if rest < step.seconds {
                return step.value;
            }
            rest -= step.seconds;
        }
        self.0[self.0.len() - 1].value
    }

    /// The value times the time, from the beginning on: messages, when the values are rates.
    pub fn sum_until(&self, elapsed: Duration) -> f64 {
        let seconds = elapsed.as_secs_f64();
        if self.is_constant() {
            return seconds * self.0[0].value;
        }
        let circles = (seconds / self.circle_seconds()).floor();
        let mut rest = seconds - circles * self.circle_seconds();
        let mut sum = circles * self.circle_sum();
        for step in &self.0 {
            sum += step.value * rest.min(step.seconds);
            rest -= rest.min(step.seconds);
        }
        sum
    }

    /// When the sum reaches `sum`; `None` if it never does, because all values are 0.
    pub fn time_of(&self, sum: f64) -> Option<Duration> {
        let circle_sum = self.circle_sum();
        if circle_sum <= 0.0 {
            return (sum <= 0.0).then_some(Duration::ZERO);
        }
        let circles = (sum / circle_sum).floor();
        let mut rest = sum - circles * circle_sum;
        let mut seconds = circles * self.circle_seconds();
        for step in &self.0 {
            let of_step = step.value * step.seconds;
            // With nothing left, what follows a step of 0 is still to come: the moment is the earliest one.
            if rest <= of_step {
                let part = if rest > 0.0 { rest / step.value } else { 0.0 };
                return Duration::try_from_secs_f64(seconds + part).ok();
            }
            rest -= of_step;
            seconds += step.seconds;
        }
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn circle_seconds(&self) -> f64 {
        self.0.iter().map(|step| step.seconds).sum()
    }

    fn circle_sum(&self) -> f64 {
        self.0.iter().map(|step| step.value * step.seconds).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(steps: &[(f64, f64)]) -> Schedule {
        Schedule::of(steps.iter().map(|&(value, seconds)| Step { value, seconds }).collect()).unwrap()
    }

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn steps_follow_each_other_in_a_circle() {
        let schedule = schedule(&[(100.0, 2.0), (0.0, 1.0), (10.0, 1.0)]);
        let values: Vec<f64> = [0.0, 1.9, 2.5, 3.5, 4.1, 6.5].map(|at| schedule.value_at(secs(at))).to_vec();
        assert_eq!(values, [100.0, 100.0, 0.0, 10.0, 100.0, 0.0]);
        let sums: Vec<f64> = [0.0, 1.0, 2.5, 4.0, 5.0].map(|at| schedule.sum_until(secs(at))).to_vec();
        assert_eq!(sums, [0.0, 100.0, 200.0, 210.0, 310.0]);
    }

    #[test]
    fn times_and_sums_agree() {
        let schedule = schedule(&[(100.0, 2.0), (0.0, 1.0), (10.0, 1.0)]);
        for (sum, seconds) in [(0.0, 0.0), (50.0, 0.5), (205.0, 3.5), (310.0, 5.0)] {
            assert_eq!(schedule.time_of(sum), Some(secs(seconds)), "{sum}");
            assert!((schedule.sum_until(secs(seconds)) - sum).abs() < 1e-6, "{sum}");
        }
        assert_eq!(Schedule::constant(1_000.0).time_of(3.0), Some(Duration::from_millis(3)));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(Schedule::of(vec![]), None);
        assert_eq!(schedule(&[(0.0, 1.0)]).time_of(1.0), None);
    }
}
