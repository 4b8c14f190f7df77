//! What every request that changes something needs: tags, and the permissions that AMQP asks for. Tried with every tag
//! and every set of permissions. `docs/permissions-http.md` is made of the same table.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::{bench::Bench, connections::Client};
use crate::http::table::ROUTES;

/// Method and route; when; what it needs; what is there before (names of [`SETUP`]); path and body.
///
/// All that is listed is needed: a tag, or one that includes it; `vhost`: a permission in the vhost, whatever it
/// allows, or being an administrator; an access, as AMQP asks for it. `q` is the queue, `e` the exchange, `o` the other
/// exchange.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const OBJECTS: &[Row] = &[
    ("PUT queues/{vhost}/{queue}", "new", "vhost, configure q", "-q", "/queues/v/q {}"),
    ("PUT queues/{vhost}/{queue}", "there", "vhost, configure q", "q", "/queues/v/q {}"),
    (
        "PUT queues/{vhost}/{queue}",
        "new, with `x-dead-letter-exchange`",
        "vhost, configure q, read q, write o",
        "-q",
        r#"/queues/v/q {"arguments":{"x-dead-letter-exchange":"o"}}"#,
    ),
    ("DELETE queues/{vhost}/{queue}", "", "vhost, configure q", "q", "/queues/v/q"),
    ("DELETE queues/{vhost}/{queue}/contents", "", "vhost, read q", "q", "/queues/v/q/contents"),
    (
        "POST queues/{vhost}/{queue}/get",
        "",
        "permission, read q",
        "q",
        r#"/queues/v/q/get {"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}"#,
    ),
    (
        "POST queues/{vhost}/{queue}/actions",
        "",
        "administrator",
        "q",
        r#"/queues/v/q/actions {"action":"sync"}"#,
    ),
    ("PUT exchanges/{vhost}/{exchange}", "new", "vhost, configure e", "-e", "/exchanges/v/e {}"),
    ("PUT exchanges/{vhost}/{exchange}", "there", "vhost, configure e", "-e e", "/exchanges/v/e {}"),
    (
        "PUT exchanges/{vhost}/{exchange}",
        "new, with `alternate-exchange`",
        "vhost, configure e, read e, write o",
        "-e",
        r#"/exchanges/v/e {"arguments":{"alternate-exchange":"o"}}"#,
    ),
    ("DELETE exchanges/{vhost}/{exchange}", "", "vhost, configure e", "-e e", "/exchanges/v/e"),
    (
        "POST exchanges/{vhost}/{exchange}/publish",
        "",
        "permission, write e",
        "-e e",
        r#"/exchanges/v/e/publish {"properties":{},"routing_key":"","payload":"","payload_encoding":"string"}"#,
    ),
    (
        "POST bindings/{vhost}/e/{source}/{kind}/{destination}",
        "to a queue",
        "vhost, write q, read e",
        "q -e e",
        r#"/bindings/v/e/e/q/q {"routing_key":"k"}"#,
    ),
    (
        "POST bindings/{vhost}/e/{source}/{kind}/{destination}",
        "to an exchange",
        "vhost, write o, read e",
        "-e e o",
        r#"/bindings/v/e/e/e/o {"routing_key":"k"}"#,
    ),
    (
        "DELETE bindings/{vhost}/e/{source}/{kind}/{destination}/{properties key}",
        "of a queue",
        "vhost, write q, read e",
        "q -e e e-q",
        "/bindings/v/e/e/q/q/k",
    ),
    (
        "DELETE bindings/{vhost}/e/{source}/{kind}/{destination}/{properties key}",
        "of an exchange",
        "vhost, write o, read e",
        "-e e o e-o",
        "/bindings/v/e/e/e/o/k",
    ),
    (
        "PUT policies/{vhost}/{name}",
        "",
        "policymaker, vhost",
        "",
        r#"/policies/v/p {"pattern":".","definition":{"max-length":1}}"#,
    ),
    ("DELETE policies/{vhost}/{name}", "", "policymaker, vhost", "policy", "/policies/v/p"),
];

const ADMINISTRATION: &[Row] = &[
    (
        "PUT operator-policies/{vhost}/{name}",
        "",
        "administrator",
        "",
        r#"/operator-policies/v/p {"pattern":".","definition":{"max-length":1}}"#,
    ),
    (
        "DELETE operator-policies/{vhost}/{name}",
        "",
        "administrator",
        "operator-policy",
        "/operator-policies/v/p",
    ),
    ("PUT vhosts/{vhost}", "", "administrator", "", "/vhosts/w {}"),
    ("DELETE vhosts/{vhost}", "", "administrator", "w", "/vhosts/w"),
    ("POST vhosts/{vhost}/deletion/protection", "", "administrator", "", "/vhosts/v/deletion/protection"),
    ("DELETE vhosts/{vhost}/deletion/protection", "", "administrator", "", "/vhosts/v/deletion/protection"),
    ("POST vhosts/{vhost}/start/{node}", "", "administrator", "", "/vhosts/v/start/rabbit@test"),
    (
        "PUT vhost-limits/{vhost}/{limit}",
        "",
        "administrator",
        "",
        r#"/vhost-limits/v/max-queues {"value":99}"#,
    ),
    ("DELETE vhost-limits/{vhost}/{limit}", "", "administrator", "", "/vhost-limits/v/max-queues"),
    (
        "PUT user-limits/{user}/{limit}",
        "",
        "administrator",
        "u",
        r#"/user-limits/u/max-channels {"value":9}"#,
    ),
    ("DELETE user-limits/{user}/{limit}", "", "administrator", "u", "/user-limits/u/max-channels"),
    ("PUT users/{user}", "", "administrator", "", r#"/users/u {"tags":"","password":"pw"}"#),
    ("DELETE users/{user}", "", "administrator", "u", "/users/u"),
    ("POST users/bulk-delete", "", "administrator", "u", r#"/users/bulk-delete {"users":["u"]}"#),
    (
        "PUT permissions/{vhost}/{user}",
        "",
        "administrator",
        "u",
        r#"/permissions/v/u {"configure":"","write":"","read":""}"#,
    ),
    ("DELETE permissions/{vhost}/{user}", "", "administrator", "u permission", "/permissions/v/u"),
    (
        "PUT topic-permissions/{vhost}/{user}",
        "",
        "administrator",
        "u",
        r#"/topic-permissions/v/u {"exchange":"e","write":"","read":""}"#,
    ),
    ("DELETE topic-permissions/{vhost}/{user}", "", "administrator", "u topics", "/topic-permissions/v/u"),
    (
        "PUT topic-permissions/{vhost}/{user}/{exchange}",
        "",
        "administrator",
        "u",
        r#"/topic-permissions/v/u/e {"exchange":"e","write":"","read":""}"#,
    ),
    (
        "DELETE topic-permissions/{vhost}/{user}/{exchange}",
        "",
        "administrator",
        "u topics",
        "/topic-permissions/v/u/e",
    ),
    ("PUT cluster-name", "", "administrator", "", r#"/cluster-name {"name":"c"}"#),
    ("POST definitions", "", "administrator", "", "/definitions {}"),
    ("POST definitions/{vhost}", "", "administrator", "", "/definitions/v {}"),
    ("POST all-configuration", "", "administrator", "", "/all-configuration {}"),
    (
        "PUT parameters/{component}/{vhost}/{name}",
        "limits and operator policies",
        "administrator",
        "",
        r#"/parameters/vhost-limits/v/limits {"value":{"max-queues":99}}"#,
    ),
    (
        "DELETE parameters/{component}/{vhost}/{name}",
        "limits and operator policies",
        "administrator",
        "limits",
        "/parameters/vhost-limits/v/limits",
    ),
    ("PUT global-parameters/{name}", "", "policymaker", "", r#"/global-parameters/g {"value":1}"#),
    ("DELETE global-parameters/{name}", "", "policymaker", "global", "/global-parameters/g"),
    (
        "PUT global-parameters/{name}",
        "`cluster_name`, `imported_definition_hash_value`",
        "administrator",
        "",
        r#"/global-parameters/cluster_name {"value":"c"}"#,
    ),
];

const OPERATION: &[Row] = &[
    (
        "DELETE connections/{connection}",
        "another user's",
        "administrator",
        "",
        "/connections/127.0.0.1:1234%20-%3E%20127.0.0.1:5672",
    ),
    (
        "DELETE connections/username/{user}",
        "another user's",
        "administrator",
        "",
        "/connections/username/guest",
    ),
    (
        "DELETE connections/username/{user}",
        "the caller's own",
        "management",
        "",
        "/connections/username/caller",
    ),
    (
        "POST queues/quorum/{vhost}/{queue}/replicas/add",
        "",
        "administrator",
        "q",
        "/queues/quorum/v/q/replicas/add {}",
    ),
    (
        "DELETE queues/quorum/{vhost}/{queue}/replicas/delete",
        "",
        "administrator",
        "q",
        "/queues/quorum/v/q/replicas/delete {}",
    ),
    (
        "POST queues/quorum/replicas/on/{node}/grow",
        "",
        "administrator",
        "",
        "/queues/quorum/replicas/on/rabbit@test/grow {}",
    ),
    (
        "DELETE queues/quorum/replicas/on/{node}/shrink",
        "",
        "administrator",
        "",
        "/queues/quorum/replicas/on/rabbit@test/shrink {}",
    ),
    ("PUT feature-flags/{name}/enable", "", "administrator", "", "/feature-flags/quorum_queue/enable {}"),
    ("DELETE reset", "", "administrator", "", "/reset"),
    ("DELETE reset/{node}", "", "administrator", "", "/reset/rabbit@test"),
    ("POST rebalance/queues", "", "administrator", "", "/rebalance/queues"),
    ("DELETE auth/attempts/{node}", "", "monitoring", "", "/auth/attempts/rabbit@test"),
    ("DELETE auth/attempts/{node}/source", "", "monitoring", "", "/auth/attempts/rabbit@test/source"),
    ("POST login", "a form with name and password", "management", "", "/login username=caller&password=pw"),
    ("DELETE login", "", "", "", "/login"),
    (
        "POST liebre/authenticate",
        "",
        "administrator",
        "",
        r#"/liebre/authenticate {"username":"a","password":"b"}"#,
    ),
    ("POST liebre/stop", "", "administrator", "", "/liebre/stop"),
    ("POST liebre/definitions", "", "administrator", "", "/liebre/definitions {}"),
    ("PUT liebre/disk-free-limit", "", "administrator", "", r#"/liebre/disk-free-limit {"absolute":0}"#),
    (
        "PUT liebre/vm-memory-high-watermark",
        "",
        "administrator",
        "",
        r#"/liebre/vm-memory-high-watermark {"relative":0.9}"#,
    ),
    ("PUT liebre/log-level", "", "administrator", "", r#"/liebre/log-level {"level":"info"}"#),
    ("PUT liebre/listeners", "", "administrator", "", r#"/liebre/listeners {"suspended":false}"#),
    ("PUT liebre/maintenance", "", "administrator", "", r#"/liebre/maintenance {"enabled":false}"#),
    ("POST liebre/stop-app", "", "administrator", "", "/liebre/stop-app"),
    ("POST liebre/start-app", "", "administrator", "", "/liebre/start-app"),
    ("POST liebre/reset", "", "administrator", "", "/liebre/reset"),
];

/// Requests that make or delete something, over the control socket.
const SETUP: &[(&str, &str)] = &[
    ("q", "PUT /queues/v/q {}"),
    ("-q", "DELETE /queues/v/q"),
    ("e", "PUT /exchanges/v/e {}"),
    ("-e", "DELETE /exchanges/v/e"),
    ("o", "PUT /exchanges/v/o {}"),
    ("e-q", r#"POST /bindings/v/e/e/q/q {"routing_key":"k"}"#),
    ("e-o", r#"POST /bindings/v/e/e/e/o {"routing_key":"k"}"#),
    ("policy", r#"PUT /policies/v/p {"pattern":".","definition":{"max-length":1}}"#),
    ("operator-policy", r#"PUT /operator-policies/v/p {"pattern":".","definition":{"max-length":1}}"#),
    ("limits", r#"PUT /vhost-limits/v/max-queues {"value":99}"#),
    ("global", r#"PUT /global-parameters/g {"value":1}"#),
    ("w", "PUT /vhosts/w {}"),
    ("u", r#"PUT /users/u {"tags":"","password":"pw"}"#),
    ("permission", r#"PUT /permissions/v/u {"configure":"","write":"","read":""}"#),
    ("topics", r#"PUT /topic-permissions/v/u {"exchange":"e","write":"","read":""}"#),
];

const TAGS: [&str; 5] = ["", "management", "policymaker", "monitoring", "administrator"];
const ACCESSES: [&str; 3] = ["configure", "write", "read"];

fn rows() -> impl Iterator<Item = &'static Row> {
    OBJECTS.iter().chain(ADMINISTRATION).chain(OPERATION)
}

/// Somebody with one tag, or none, and a permission in the vhost, or none.
#[derive(Clone, Copy, Debug)]
struct Caller {
    tag: &'static str,
    /// Whether everything may be configured, written and read.
    permission: Option<[bool; 3]>,
}

impl Caller {
    fn all() -> impl Iterator<Item = Self> {
        let permissions = (0..8).map(|bits| Some([0, 1, 2].map(|bit| bits >> bit & 1 == 1)));
        let permissions: Vec<_> = permissions.chain([None]).collect();
        TAGS.into_iter().flat_map(move |tag| {
            permissions.clone().into_iter().map(move |permission| Self { tag, permission })
        })
    }

    async fn put(self, bench: &Bench) {
        bench.send(&format!(r#"control PUT /users/caller {{"tags":"{}","password":"pw"}}"#, self.tag)).await;
        bench.send("control DELETE /permissions/v/caller").await;
        if let Some(permission) = self.permission {
            let [configure, write, read] = permission.map(|may| if may { ".*" } else { "" });
            let body = format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#);
            bench.send(&format!("control PUT /permissions/v/caller {body}")).await;
        }
    }

    /// Whether the caller has all of it.
    fn has(self, needs: &str) -> bool {
        let is_let_in = needs.is_empty() || !self.tag.is_empty();
        is_let_in && needs.split(", ").filter(|need| !need.is_empty()).all(|need| self.has_one(need))
    }

    fn has_one(self, need: &str) -> bool {
        let is_administrator = self.tag == "administrator";
        match need {
            "management" => !self.tag.is_empty(),
            "policymaker" => is_administrator || self.tag == "policymaker",
            "monitoring" => is_administrator || self.tag == "monitoring",
            "administrator" => is_administrator,
            "vhost" => is_administrator || self.permission.is_some(),
            "permission" => self.permission.is_some(),
            access => {
                let (access, _) = access.split_once(' ').unwrap();
                let index = ACCESSES.iter().position(|known| *known == access).unwrap();
                self.permission.is_some_and(|permission| permission[index])
            }
        }
    }
}

#[tokio::test]
async fn every_change_needs_what_the_table_says() {
    let bench = Bench::new().await;
    let _client = Client::connect(&bench, 1234, "guest");
    for line in ["PUT /vhosts/v {}", "PUT /exchanges/v/o {}"] {
        bench.send(&format!("control {line}")).await;
    }
    let mut count = 0;
    for (route, when, needs, setup, request) in rows() {
        let (method, _) = route.split_once(' ').unwrap();
        for caller in Caller::all() {
            caller.put(&bench).await;
            for name in setup.split(' ').filter(|name| !name.is_empty()) {
                let (_, line) = SETUP.iter().find(|(known, _)| *known == name).unwrap();
                bench.send(&format!("control {line}")).await;
            }
            let (status, body) = bench.send(&format!("caller {method} {request}")).await;
            let is_refused = status == 401 || body.contains("ACCESS_REFUSED");
            assert!(status < 500, "{route} {when} as {caller:?}: {status} {body}");
            assert_eq!(is_refused, !caller.has(needs), "{route} {when} as {caller:?}: {status} {body}");
            count += 1;
        }
    }
    assert!(count > 2_000, "{count} cases");
}

#[test]
fn every_change_has_a_place_in_the_table() {
    let is_listed = |change: &String| rows().any(|(route, ..)| route == change);
    let changes = ROUTES.iter().flat_map(|route| {
        let methods = route.allow.split(", ").filter(|name| !matches!(*name, "HEAD" | "GET" | "OPTIONS"));
        methods.map(|method| format!("{method} {}", route.path))
    });
    let missing: Vec<String> = changes.filter(|change| !is_listed(change)).collect();
    assert!(missing.is_empty(), "no rights are known for:\n{}", missing.join("\n"));
}

#[test]
fn the_table_is_in_the_docs() {
    let mut table = String::from(
        "# What requests to the management API need\n\n\
         For every request that changes something: a tag of the user, or one that includes it (`administrator` includes\n\
         all); `vhost`: a permission in the vhost, whatever it allows, or the tag `administrator`; `permission`: a\n\
         permission in the vhost also for administrators; an access, as AMQP asks for it: `q` is the queue, `e` the\n\
         exchange, `o` the other exchange. Who reads needs the tag `management` and sees the vhosts in which there is a\n\
         permission, and the own connections; the tag `monitoring` shows those of all. Made and checked by a test\n\
         (`http/tests/matrix.rs`).\n\n| request | when | needs |\n|---|---|---|\n",
    );
    for (route, when, needs, ..) in rows() {
        writeln!(table, "| {route} | {when} | {needs} |").unwrap();
    }
    expect_file!["../../../docs/permissions-http.md"].assert_eq(&table);
}
