//! Many measurements in one go, of one broker or of two in turns.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Target;
use crate::clock::now;
use crate::compare::{self, Comparison, turns};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::figure::Spread;
use crate::fresh::{Recipe, Site};
use crate::idle::Ballast;
use crate::plans::{Plan, Task};
use crate::results::{Broker, Cell, Machine, Results, Row, Trouble};
use crate::work::Outcome;

/// A broker that runs, what it is called, and how another like it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub target: Target,
    /// Without it, there are no figures of brokers that are started for a measurement.
    pub recipe: Option<Recipe>,
}

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Method {
    /// One or two.
    pub brokers: Vec<Named>,
    pub rounds: u32,
    /// Where the disk is synced for its floor, and where brokers that are started have their directories.
    pub dir: PathBuf,
    /// How long a broker may take until something is there that does not belong to a measurement.
    pub limit: Duration,
}

/// How long a broker may take to answer at all.
const GREETING: Duration = Duration::from_secs(10);

/// Measures all of `plans`; `after_cell` sees what there is after each. A cell that fails does not end it.
pub fn measure_all(
    plans: &[Plan],
    method: &Method,
    mut after_cell: impl FnMut(&Results) -> Result<(), PerfError>,
) -> Result<Results, PerfError> {
    try_out(plans, method)?;
    let broker = |named: &Named| Broker { name: named.name.clone(), address: named.target.url.to_string() };
    let mut results = Results {
        machine: Machine::here(),
        brokers: method.brokers.iter().map(broker).collect(),
        rounds: method.rounds,
        cells: Vec::new(),
    };
    for plan in plans {
        results.cells.push(measure_cell(plan, method));
        after_cell(&results)?;
    }
    Ok(results)
}

/// What would fail everywhere is told at once.
fn try_out(plans: &[Plan], method: &Method) -> Result<(), PerfError> {
    let starts_any = plans.iter().any(|plan| !matches!(plan.task, Task::Run { .. }));
    for Named { target, recipe, .. } in &method.brokers {
        target.check_process()?;
        let deadline = now().plus(GREETING);
        Connection::open(&target.url, deadline)?.close(deadline)?;
        if let Some(recipe) = recipe.as_ref().filter(|_| starts_any) {
            recipe.try_out(&method.dir, method.limit)?;
        }
    }
    Ok(())
}

/// A broker that fails does not spoil the other's figures.
fn measure_cell(plan: &Plan, method: &Method) -> Cell {
    let mut sides: Vec<Side<'_>> = method.brokers.iter().map(Side::of).collect();
    for side in &mut sides {
        side.take(|side| side.load(&plan.task, method));
    }
    let rounds = match plan.task {
        // Of a broker that nobody has used one figure is like another.
        Task::Weigh(_) => 1,
        Task::Run { .. } | Task::Start { .. } => method.rounds,
    };
    let mut floors = Vec::new();
    for round in 1..=rounds {
        for index in turns(round, sides.len()) {
            sides[index].take(|side| side.measure(&plan.task, method));
        }
        if let Task::Run { work, floor: Some(floor), .. } = &plan.task {
            floors.push(floor.measure(work, &method.dir));
        }
    }
    for side in &mut sides {
        side.unload();
    }
    let comparison = match &sides[..] {
        [a, b] => Comparison::of(a.counted(), b.counted()),
        sides => Comparison::of(sides.first().map_or(&[], Side::counted), &[]),
    };
    let rows = plan.keys.iter().filter_map(|key| {
        let row = comparison.rows.iter().find(|row| row.key == *key)?;
        let floor = floors.iter().map(|found| {
            found.as_ref().ok()?.iter().find(|(floored, _)| floored == key).map(|(_, value)| *value)
        });
        Some(row_of(row, Spread::of(floor)))
    });
    let rows = rows.collect();
    let mut troubles: Vec<Trouble> = sides.iter().filter_map(Side::trouble).collect();
    troubles.extend(
        floors
            .iter()
            .find_map(|found| found.as_ref().err())
            .map(|error| Trouble { of: "floor".to_owned(), what: error.to_string() }),
    );
    Cell {
        title: plan.title.clone(),
        options: plan.options.clone(),
        rows,
        troubles,
        is_of_one_round: rounds == 1,
        point: plan.point.clone(),
    }
}

fn row_of(row: &compare::Row, floor: Option<Spread>) -> Row {
    Row {
        key: row.key.to_owned(),
        name: row.name.to_owned(),
        better: row.better,
        a: row.a,
        b: row.b,
        ratio: row.ratio,
        floor,
    }
}

/// One broker in the measurement of a cell.
struct Side<'a> {
    broker: &'a Named,
    ballast: Vec<Ballast>,
    /// Where it is started in every round, with something to find there.
    site: Option<Site>,
    outcomes: Vec<Outcome>,
    /// With it, the broker's part ends: what there was of it does not count.
    failure: Option<PerfError>,
}

impl<'a> Side<'a> {
    fn of(broker: &'a Named) -> Self {
        Self { broker, ballast: Vec::new(), site: None, outcomes: Vec::new(), failure: None }
    }

    /// The next step, unless one before it failed.
    fn take(&mut self, step: impl FnOnce(&mut Self) -> Result<(), PerfError>) {
        if self.failure.is_none() {
            self.failure = step(self).err();
        }
    }

    fn load(&mut self, task: &Task, method: &Method) -> Result<(), PerfError> {
        match (task, &self.broker.recipe) {
            (Task::Run { ballast, .. }, _) => {
                for &(what, count) in ballast {
                    self.ballast.push(Ballast::load(&self.broker.target, what, count, method.limit)?);
                }
            }
            (Task::Start { state, kills: false }, Some(recipe)) => {
                self.site = Some(recipe.prepare(&method.dir, state, false, method.limit)?);
            }
            (Task::Weigh(_) | Task::Start { .. }, _) => {}
        }
        Ok(())
    }

    fn measure(&mut self, task: &Task, method: &Method) -> Result<(), PerfError> {
        self.outcomes.push(match (task, &self.broker.recipe, &self.site) {
            (Task::Run { work, .. }, ..) => work.measure(&self.broker.target)?,
            (Task::Weigh(work), Some(recipe), _) => recipe.measure(&method.dir, work, method.limit)?,
            // What was recovered once may be recovered faster the next time: each round kills what has just been put.
            (Task::Start { state, kills: true }, Some(recipe), _) => {
                recipe.prepare(&method.dir, state, true, method.limit)?.measure()?
            }
            (Task::Start { kills: false, .. }, _, Some(site)) => site.measure()?,
            (Task::Weigh(_) | Task::Start { .. }, ..) => return Ok(()),
        });
        Ok(())
    }

    fn unload(&mut self) {
        for ballast in self.ballast.drain(..) {
            if let Err(error) = ballast.drop_overboard(&self.broker.target) {
                self.failure.get_or_insert(error);
            }
        }
    }

    fn counted(&self) -> &[Outcome] {
        if self.failure.is_none() { &self.outcomes } else { &[] }
    }

    /// What was not as it should be.
    fn trouble(&self) -> Option<Trouble> {
        let rounds = self.outcomes.len();
        let count =
            |is_bad: fn(&Outcome) -> bool| self.outcomes.iter().filter(|&outcome| is_bad(outcome)).count();
        let incomplete = count(|outcome| !outcome.is_complete);
        let busy = count(|outcome| !outcome.is_taken_down);
        let troubles = match &self.failure {
            Some(error) => vec![error.to_string()],
            None => [
                (incomplete > 0)
                    .then(|| format!("in {incomplete} of {rounds} rounds the messages did not get through")),
                (busy > 0).then(|| format!("{busy} of {rounds} rounds left it busy")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        let of = || self.broker.name.clone();
        (!troubles.is_empty()).then(|| Trouble { of: of(), what: troubles.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_says_whose_it_is() {
        let target = Target { url: "amqp://mq".parse().unwrap(), pid: None };
        let broker = Named { name: "Mq".to_owned(), target, recipe: None };
        let outcome = |is_complete, is_taken_down| Outcome { values: Vec::new(), is_complete, is_taken_down };
        let mut side = Side::of(&broker);
        side.outcomes.push(outcome(true, true));
        assert_eq!(side.trouble(), None);
        side.outcomes.push(outcome(false, false));
        let trouble = |what: &str| Some(Trouble { of: "Mq".to_owned(), what: what.to_owned() });
        let told = "in 1 of 2 rounds the messages did not get through, 1 of 2 rounds left it busy";
        assert_eq!(side.trouble(), trouble(told));
        side.take(|_| Err(PerfError::Cancelled));
        side.take(|_| panic!("a step after the failure"));
        assert_eq!(side.trouble(), trouble("the broker cancelled the consumer: the queue was deleted"));
        assert!(side.counted().is_empty());
    }
}
