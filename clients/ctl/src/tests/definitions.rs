//! Definitions to a file and from one.

use std::fs;

use expect_test::expect;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::check;
use crate::testing::Script;

#[test]
fn definitions_are_exported() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("d.json");
    let script = Script::new().answer("GET /api/definitions", 200, json!({"users": [], "queues": []}));
    let transcript = script.run(&format!("rabbitmqctl export_definitions {}", file.display()));
    assert_eq!(
        transcript,
        format!("Exporting definitions in JSON to a file at \"{}\" ...\n", file.display())
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), r#"{"users":[],"queues":[]}"#);
    check(
        &script,
        &["rabbitmqctl export_definitions -", "rabbitmqctl export_definitions / -q"],
        expect![[r#"
            $ rabbitmqctl export_definitions -
            {"users":[],"queues":[]}
            $ rabbitmqctl export_definitions / -q
            ! Error:
            ! Could not write to /: Is a directory (os error 21)
            exit 65
        "#]],
    );
}

#[test]
fn usage_errors() {
    check(
        &Script::new(),
        &[
            "rabbitmqctl export_definitions",
            "rabbitmqctl export_definitions a b",
            "rabbitmqctl export_definitions /nope/x.json",
            "rabbitmqctl export_definitions x --format erlang",
            "rabbitmqctl export_definitions x --format nope",
        ],
        expect![[r#"
            $ rabbitmqctl export_definitions
            ! Error (argument validation): not enough arguments.
            ! Arguments given:
            ! 	export_definitions
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] export_definitions <file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl export_definitions a b
            ! Error (argument validation): too many arguments.
            ! Arguments given:
            ! 	export_definitions a b
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] export_definitions <file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]
            exit 64
            $ rabbitmqctl export_definitions /nope/x.json
            ! Error (argument validation): Bad argument: Directory /nope does not exist
            ! Arguments given:
            ! 	export_definitions /nope/x.json
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] export_definitions <file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]
            exit 65
            $ rabbitmqctl export_definitions x --format erlang
            ! Error (argument validation): Bad argument: Erlang's term format is not supported here; use json
            ! Arguments given:
            ! 	export_definitions x --format erlang
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] export_definitions <file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]
            exit 65
            $ rabbitmqctl export_definitions x --format nope
            ! Error (argument validation): Bad argument: Format should be either json or erlang
            ! Arguments given:
            ! 	export_definitions x --format nope
            ! 
            ! Usage
            ! 
            ! rabbitmqctl [--node <node>] [--longnames] [--quiet] export_definitions <file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]
            exit 65
        "#]],
    );
}

#[test]
fn definitions_are_imported() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("d.json");
    fs::write(&file, r#"{"queues": [{"name": "q"}]}"#).unwrap();
    let path = file.display().to_string();
    let run = |script: &Script, line: &str| script.run(&line.replace("FILE", &path)).replace(&path, "FILE");
    let done = json!({"skipped": []});
    let script = Script::new().input(r#"{"vhosts":[]}"#).answer("POST /api/liebre/definitions", 200, done);
    let refused =
        |reason| Script::new().answer("POST /api/liebre/definitions", 400, json!({"reason": reason}));
    let transcripts = [
        run(&script, "rabbitmqctl import_definitions FILE"),
        run(&script, "rabbitmqctl -q import_definitions FILE --format JSON"),
        run(&script, "rabbitmqctl import_definitions"),
        run(&script, "rabbitmqctl import_definitions - --formatter json"),
        run(&script, "rabbitmqctl import_definitions /nope/y.json"),
        run(&refused(json!(["no_such_vhost", "v"])), "rabbitmqctl import_definitions FILE"),
        run(&refused(json!("tags_not_present")), "rabbitmqctl import_definitions FILE"),
        run(&Script::new().input("{bad"), "rabbitmqctl import_definitions"),
    ];
    expect![[r#"
        Importing definitions in JSON from a file at "FILE" ...
        Successfully started definition import. This process is asynchronous and can take some time.
        > POST /api/liebre/definitions {"queues":[{"name":"q"}]}

        > POST /api/liebre/definitions {"queues":[{"name":"q"}]}

        Importing definitions in JSON from standard input ...
        Successfully started definition import. This process is asynchronous and can take some time.
        > POST /api/liebre/definitions {"vhosts":[]}

        {"node":"rabbit@h","result":"ok"}
        > POST /api/liebre/definitions {"vhosts":[]}

        ! Error (argument validation): Bad argument: File /nope/y.json does not exist
        ! Arguments given:
        ! 	import_definitions /nope/y.json
        ! 
        ! Usage
        ! 
        ! rabbitmqctl [--node <node>] [--longnames] [--quiet] import_definitions <file_path | "-"> [--format <json | erlang>] [--skip-if-unchanged] [--skip-unsupported] [--dry-run] [--timeout <timeout>]
        exit 65

        Importing definitions in JSON from a file at "FILE" ...
        ! Virtual host 'v' does not exist
        > POST /api/liebre/definitions {"queues":[{"name":"q"}]}
        exit 65

        Importing definitions in JSON from a file at "FILE" ...
        ! Error:
        ! tags_not_present
        > POST /api/liebre/definitions {"queues":[{"name":"q"}]}
        exit 69

        Importing definitions in JSON from standard input ...
        ! Error:
        ! Failed to deserialise input (format: JSON) (error: key must be a string at line 1 column 2)
        exit 65
    "#]].assert_eq(&transcripts.join("\n"));
}

/// The broker's own route answers a query with this body.
fn own(query: &str, body: Value) -> Script {
    let script = Script::new().input(r#"{"vhosts":[]}"#);
    script.answer(&format!("POST /api/liebre/definitions{query}"), 200, body)
}

#[test]
fn a_file_may_be_checked_only_and_imported_in_part() {
    let skipped = json!({"skipped": ["queues[0] ('s' in vhost '/'): unsupported queue type 'stream'"]});
    let dry = own("?dry_run=true", json!({"skipped": []}));
    let both = own("?dry_run=true&skip_unsupported=true", skipped.clone());
    let real = own("?skip_unsupported=true&skip_if_unchanged=true", skipped);
    let transcripts = [
        dry.run("rabbitmqctl import_definitions --dry-run"),
        both.run("rabbitmqctl import_definitions --dry-run --skip-unsupported"),
        real.run("rabbitmqctl import_definitions --skip-unsupported --skip-if-unchanged"),
        real.run("rabbitmqctl -q import_definitions --skip-unsupported --skip-if-unchanged"),
        dry.run("rabbitmqctl import_definitions --dry-run --formatter json"),
    ];
    expect![[r#"
        Checking definitions in JSON from standard input ...
        These definitions can be imported. Nothing was changed.
        > POST /api/liebre/definitions?dry_run=true {"vhosts":[]}
        Checking definitions in JSON from standard input ...
        Skipped: queues[0] ('s' in vhost '/'): unsupported queue type 'stream'
        The other definitions can be imported. Nothing was changed.
        > POST /api/liebre/definitions?dry_run=true&skip_unsupported=true {"vhosts":[]}
        Importing definitions in JSON from standard input ...
        Skipped: queues[0] ('s' in vhost '/'): unsupported queue type 'stream'
        All other definitions were imported.
        > POST /api/liebre/definitions?skip_unsupported=true&skip_if_unchanged=true {"vhosts":[]}
        Skipped: queues[0] ('s' in vhost '/'): unsupported queue type 'stream'
        > POST /api/liebre/definitions?skip_unsupported=true&skip_if_unchanged=true {"vhosts":[]}
        {"skipped":[]}
        > POST /api/liebre/definitions?dry_run=true {"vhosts":[]}
    "#]]
    .assert_eq(&transcripts.concat());
}

#[test]
fn what_was_not_done_is_told() {
    let unchanged = || json!({"skipped": [], "unchanged": true});
    let both = own("?skip_unsupported=true&skip_if_unchanged=true", unchanged());
    let alone = own("?skip_if_unchanged=true", unchanged());
    let changed = own("?skip_if_unchanged=true", json!({"skipped": []}));
    let kept =
        json!({"skipped": [], "kept": ["queues[0] ('q' in vhost '/'): inequivalent arg 'x-max-length'"]});
    let kept = own("", kept);
    let transcripts = [
        both.run("rabbitmqctl import_definitions --skip-unsupported --skip-if-unchanged"),
        alone.run("rabbitmqctl import_definitions --skip-if-unchanged"),
        changed.run("rabbitmqctl import_definitions --skip-if-unchanged"),
        kept.run("rabbitmqctl import_definitions"),
        kept.run("rabbitmqctl import_definitions --formatter json"),
    ];
    expect![[r#"
        Importing definitions in JSON from standard input ...
        These definitions are unchanged; nothing was done.
        > POST /api/liebre/definitions?skip_unsupported=true&skip_if_unchanged=true {"vhosts":[]}
        Importing definitions in JSON from standard input ...
        These definitions are unchanged; nothing was done.
        > POST /api/liebre/definitions?skip_if_unchanged=true {"vhosts":[]}
        Importing definitions in JSON from standard input ...
        Successfully started definition import. This process is asynchronous and can take some time.
        > POST /api/liebre/definitions?skip_if_unchanged=true {"vhosts":[]}
        Importing definitions in JSON from standard input ...
        Successfully started definition import. This process is asynchronous and can take some time.
        ! Warning: stays as it is: queues[0] ('q' in vhost '/'): inequivalent arg 'x-max-length'
        > POST /api/liebre/definitions {"vhosts":[]}
        {"node":"rabbit@h","result":"ok"}
        ! Warning: stays as it is: queues[0] ('q' in vhost '/'): inequivalent arg 'x-max-length'
        > POST /api/liebre/definitions {"vhosts":[]}
    "#]]
    .assert_eq(&transcripts.concat());
}

#[test]
fn rabbitmq_imports_what_needs_no_route_of_our_own() {
    let input = Script::new().input(r#"{"vhosts":[]}"#);
    let rabbitmq = ["", "?dry_run=true"].into_iter().fold(input, |script, query| {
        script.answer(&format!("POST /api/liebre/definitions{query}"), 405, json!(null))
    });
    let transcripts = [
        rabbitmq.run("rabbitmqctl import_definitions --dry-run"),
        rabbitmq.run("rabbitmqctl import_definitions"),
    ];
    expect![[r#"
        Checking definitions in JSON from standard input ...
        ! Error:
        ! what answers at /data/control.sock is not a Liebre broker: it can't check only, nor skip
        > POST /api/liebre/definitions?dry_run=true {"vhosts":[]}
        exit 69
        Importing definitions in JSON from standard input ...
        Successfully started definition import. This process is asynchronous and can take some time.
        > POST /api/liebre/definitions {"vhosts":[]}
        > POST /api/definitions {"vhosts":[]}
    "#]]
    .assert_eq(&transcripts.concat());
}
