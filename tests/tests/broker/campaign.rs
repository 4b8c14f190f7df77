//! A campaign in small: that the command works, and that its checker agrees with the broker. The real ones are run by
//! hand; `tests/CAMPAIGNS.md` says how.

use std::time::Duration;

use liebre_tests::{
    binaries::binary,
    campaign::{
        crashes::{Campaign, Orders},
        ground::Ground,
        process::Launch,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_kills_break_no_promise() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch {
        program: binary("liebre", "liebre"),
        arguments: Vec::new(),
        log: dir.path().join("broker.log"),
    };
    let orders = Orders {
        seed: 1,
        crashes: 3,
        drain_every: 2,
        load_ms_max: 300,
        ballast_mib: 0,
        alarm_sizes: Vec::new(),
        patience: Duration::from_secs(20),
        count_unconfirmed: false,
        keep_going: false,
    };
    let report =
        Campaign::new(launch, Ground::Directory(dir.path().join("data")), orders).run().await.unwrap();
    assert_eq!(report.violation_count, 0, "{report}");
    assert!(report.totals.confirmed > 10, "{report}");
}
