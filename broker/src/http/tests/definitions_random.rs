//! Definitions at random: what was imported is exported, and what is malformed leaves everything as it was.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use super::bench::Bench;

/// Cases of each test.
const CASES: u32 = 48;

/// Names that are there often enough to meet, and odd ones.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]", 1 => "[ -~ñ日]{1,12}".prop_filter("reserved", |name| !name.starts_with("amq."))]
}

fn arguments() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-zñ]{0,6}".prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        vec(any::<i32>().prop_map(Value::from), 0..3).prop_map(Value::from),
    ];
    btree_map("own-[a-e]", value, 0..3).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Lists of objects by their names.
#[derive(Default)]
struct File(BTreeMap<&'static str, Vec<Value>>);

/// Its type, its flags and its arguments.
type RandomExchange = (&'static str, (bool, bool, bool), Value);

/// What may be in a vhost, by name.
#[derive(Clone, Debug)]
struct Contents {
    queues: BTreeMap<String, ((bool, bool), Value)>,
    exchanges: BTreeMap<String, RandomExchange>,
    /// The ends, whether to a queue, the key.
    bindings: Vec<([Index; 2], bool, String, Value)>,
    policies: BTreeMap<String, (i64, i16)>,
    parameters: BTreeMap<String, Value>,
    limit: Option<i64>,
}

fn contents() -> impl Strategy<Value = Contents> {
    let kind = select(vec!["direct", "fanout", "topic", "headers"]);
    (
        btree_map(names(), (any::<(bool, bool)>(), arguments()), 0..6),
        btree_map(names(), (kind, any::<(bool, bool, bool)>(), arguments()), 0..6),
        vec((any::<[Index; 2]>(), any::<bool>(), names(), arguments()), 0..8),
        btree_map(names(), (0..100_i64, any::<i16>()), 0..4),
        btree_map(names(), arguments(), 0..2),
        option::of(0..500_i64),
    )
        .prop_map(|(queues, exchanges, bindings, policies, parameters, limit)| Contents {
            queues,
            exchanges,
            bindings,
            policies,
            parameters,
            limit,
        })
}

/// A file whose objects fit each other.
fn definitions() -> impl Strategy<Value = Value> {
    let vhosts = btree_map(names(), contents(), 1..4);
    let users = btree_map(names(), (btree_set("[a-z]{1,5}", 0..3), option::of(0..9_i64)), 0..4);
    (vhosts, users, btree_map(names(), arguments(), 0..3)).prop_map(|(vhosts, users, globals)| {
        let mut file = File::default();
        for (name, (tags, limit)) in &users {
            let limits = limit.map_or(json!({}), |limit| json!({ "max-channels": limit }));
            file.add(
                "users",
                json!({
                    "name": name,
                    "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": tags,
                    "limits": limits,
                }),
            );
        }
        for (name, value) in globals {
            file.add("global_parameters", json!({ "name": name, "value": value }));
        }
        for (vhost, contents) in vhosts {
            for user in users.keys() {
                let permission =
                    json!({ "user": user, "vhost": vhost, "configure": "^a", "write": ".*", "read": "" });
                file.add("permissions", permission);
            }
            file.add_vhost(&vhost, &contents);
        }
        let lists = file.0.into_iter().map(|(list, objects)| (list.to_owned(), objects.into()));
        Value::Object(lists.collect())
    })
}

impl File {
    fn add(&mut self, list: &'static str, object: Value) {
        self.0.entry(list).or_default().push(object);
    }

    fn add_vhost(&mut self, vhost: &str, contents: &Contents) {
        let metadata = json!({ "description": vhost, "tags": ["t"], "default_queue_type": "classic" });
        self.add(
            "vhosts",
            json!({
                "name": vhost, "description": vhost, "metadata": metadata, "tags": ["t"],
                "default_queue_type": "classic",
            }),
        );
        let parameter = |component: &str, name: &str, value: Value| json!({ "value": value, "vhost": vhost, "component": component, "name": name });
        if let Some(limit) = contents.limit {
            self.add("parameters", parameter("vhost-limits", "limits", json!({ "max-connections": limit })));
        }
        for (name, value) in &contents.parameters {
            self.add("parameters", parameter("shovel", name, value.clone()));
        }
        for (name, (max, priority)) in &contents.policies {
            self.add(
                "policies",
                json!({
                    "vhost": vhost, "name": name, "pattern": "^[ab]", "apply-to": "all",
                    "definition": { "max-length": max }, "priority": priority,
                }),
            );
        }
        self.add_topology(vhost, contents);
    }

    fn add_topology(&mut self, vhost: &str, contents: &Contents) {
        for (name, ((durable, auto_delete), arguments)) in &contents.queues {
            self.add(
                "queues",
                json!({
                    "name": name, "vhost": vhost, "durable": durable, "auto_delete": auto_delete,
                    "arguments": arguments,
                }),
            );
        }
        for (name, (kind, (durable, auto_delete, internal), arguments)) in &contents.exchanges {
            self.add(
                "exchanges",
                json!({
                    "name": name, "vhost": vhost, "type": kind, "durable": durable, "auto_delete": auto_delete,
                    "internal": internal, "arguments": arguments,
                }),
            );
        }
        let queues: Vec<_> = contents.queues.keys().collect();
        let exchanges: Vec<_> = contents.exchanges.keys().collect();
        let mut bound = BTreeSet::new();
        for ([from, to], to_queue, key, arguments) in &contents.bindings {
            let (ends, kind) = if *to_queue { (&queues, "queue") } else { (&exchanges, "exchange") };
            if ends.is_empty() || exchanges.is_empty() {
                continue;
            }
            let binding = json!({
                "source": from.get(&exchanges), "vhost": vhost, "destination": to.get(ends),
                "destination_type": kind, "routing_key": key, "arguments": arguments,
            });
            if bound.insert(binding.to_string()) {
                self.add("bindings", binding);
            }
        }
    }
}

/// The objects of all lists, one text each.
fn objects(definitions: &Value) -> BTreeSet<String> {
    let lists = definitions.as_object().unwrap().iter();
    let lists = lists.filter_map(|(list, objects)| Some((list, objects.as_array()?)));
    lists.flat_map(|(list, objects)| objects.iter().map(move |object| format!("{list} {object}"))).collect()
}

fn run(check: impl Fn(&tokio::runtime::Runtime, Value, u64) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() });
    runner.run(&(definitions(), any::<u64>()), |(file, random)| check(&runtime, file, random)).unwrap();
}

#[test]
fn what_was_imported_is_exported() {
    run(|runtime, file, _| {
        runtime.block_on(async {
            let bench = Bench::new().await;
            let own = objects(&bench.export("/definitions").await);
            prop_assert_eq!(bench.import("/definitions", &file.to_string()).await, (204, String::new()));
            let export = bench.export("/definitions").await;
            let exported: BTreeSet<String> = objects(&export).difference(&own).cloned().collect();
            prop_assert_eq!(&exported, &objects(&file));
            let other = Bench::new().await;
            prop_assert_eq!(other.import("/definitions", &export.to_string()).await, (204, String::new()));
            // Salts differ: each bench has passwords of its own.
            prop_assert_eq!(&other.export("/definitions").await, &export);
            prop_assert_eq!(other.import("/definitions", &export.to_string()).await, (204, String::new()));
            prop_assert_eq!(other.export("/definitions").await, export);
            Ok(())
        })
    });
}

#[test]
fn what_is_malformed_leaves_everything_as_it_was() {
    run(|runtime, mut file, random| {
        runtime.block_on(async {
            let bench = Bench::new().await;
            let before = bench.export("/definitions").await;
            let what = spoil(&mut file, random);
            let (status, body) = bench.import("/definitions", &file.to_string()).await;
            prop_assert!(status == 204 || status == 400, "{what}: {status} {body}");
            if status == 400 {
                prop_assert!(body.starts_with(r#"{"error":"bad_request","reason":"#), "{what}: {body}");
                prop_assert_eq!(bench.export("/definitions").await, before, "{}", what);
            }
            Ok(())
        })
    });
}

/// Takes away or replaces one value, however deep; says which.
fn spoil(file: &mut Value, mut random: u64) -> String {
    let junk =
        [json!(null), json!(-1), json!("nope"), json!([]), json!({}), json!([[]]), json!("x".repeat(300))];
    let mut pick = |count: usize| {
        let picked = random % count as u64;
        random /= count as u64;
        usize::try_from(picked).unwrap()
    };
    let (mut place, mut path) = (file, String::new());
    loop {
        let is_deeper = pick(4) > 0;
        let is_leaf = match place {
            Value::Object(object) => object.is_empty(),
            Value::Array(array) => array.is_empty() || !is_deeper,
            _ => true,
        };
        if is_leaf {
            *place = junk[pick(junk.len())].clone();
            return format!("{path} is {place}");
        }
        if let Value::Array(array) = place {
            let index = pick(array.len());
            path.push_str(&format!("[{index}]"));
            place = &mut array[index];
        } else if let Value::Object(object) = place {
            let key = object.keys().nth(pick(object.len())).unwrap().clone();
            path.push_str(&format!(".{key}"));
            if !is_deeper {
                object.remove(&key);
                return path + " is missing";
            }
            place = object.get_mut(&key).unwrap();
        }
    }
}

#[test]
fn spoiling_changes_something_in_the_file() {
    let file = json!({"queues": [{"name": "q", "vhost": "/"}]});
    let results: BTreeSet<String> = (0..200_u64)
        .map(|random| {
            let mut spoilt = file.clone();
            spoil(&mut spoilt, random);
            spoilt.to_string()
        })
        .collect();
    assert!(results.len() > 10 && !results.contains(&file.to_string()), "{results:?}");
}
