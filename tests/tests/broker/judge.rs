//! Liebre against what RabbitMQ said when it was recorded. `tests/JUDGE.md` says how to record, and how to compare with a
//! live one.

use liebre_tests::{
    broker::Broker,
    judge::{
        catalogue::Catalogue,
        differences::Differences,
        target::Target,
        transcript,
        verdict::{Transcripts, Verdict, judge},
    },
};

/// How many scripts are played at once.
const JOBS: usize = 8;

/// None if the tests run against a broker that is not ours.
fn verdict_on(catalogue: &Catalogue, recorded: &Transcripts, differences: &Differences) -> Option<Verdict> {
    let broker = Broker::own()?;
    let target = Target::of(&broker).unwrap();
    Some(judge(catalogue, recorded, differences, &target, JOBS).unwrap())
}

#[test]
fn liebre_answers_as_rabbitmq_did() {
    let catalogue = Catalogue::load().unwrap();
    let recorded = transcript::recorded(&catalogue).unwrap();
    let differences = Differences::load().unwrap();
    assert_eq!(differences.strangers(&catalogue), [""; 0]);
    assert_eq!(recorded.len(), catalogue.scripts.len(), "a recording has no script any more");
    if let Some(verdict) = verdict_on(&catalogue, &recorded, &differences) {
        assert!(verdict.is_good(), "\n{verdict}");
    }
}

#[test]
fn every_difference_is_documented() {
    let path = Catalogue::dir().join("../../broker/docs/compatibility.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, listed) = text.split_once("## What recorded sessions show\n").unwrap();
    let (_, table) = listed.split_once("\n\n").unwrap();
    assert_eq!(table, Differences::load().unwrap().table(), "`judge reasons` prints what belongs there");
}

#[test]
fn the_judge_is_not_blind() {
    let mut catalogue = Catalogue::load().unwrap();
    catalogue.select(&["queue-delete-if-empty".to_owned(), "queue-purge-missing".to_owned()]);
    let mut recorded = transcript::recorded(&catalogue).unwrap();
    let lines = &mut recorded.get_mut("queue-purge-missing").unwrap().steps[0].lines;
    lines[0] = lines[0].replace("404", "405");
    let invented =
        "## queue-delete-if-empty\nwhy: nothing\na1: queue.purge queue=q\n- a1 queue.purge-ok messages=1\n";
    let differences = Differences::parse(invented).unwrap();
    let Some(verdict) = verdict_on(&catalogue, &recorded, &differences) else { return };
    assert_eq!(verdict.unexplained.len(), 2, "{verdict}");
    let (wrong_code, invented) = (&verdict.unexplained[0], &verdict.unexplained[1]);
    assert!(
        wrong_code.contains("\n- a1 channel.close 405 ") && wrong_code.contains("\n+ a1 channel.close 404 ")
    );
    assert!(invented.contains("An expected difference of this script has changed or is gone."), "{invented}");
}
