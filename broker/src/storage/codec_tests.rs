//! Every definition as bytes and back; what is damaged is noticed and named.

use amq_protocol::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable};

use crate::{
    model::{
        arguments::Arguments,
        binding::{Binding, Destination},
        definition::{
            Definition, DefinitionKey, PermissionDefinition, QueueDefinition, TopicPermissionDefinition,
            VhostDefinition,
        },
        exchange::{Exchange, ExchangeKind},
        limit::LimitName,
        name::Name,
        parameter::{GlobalParameter, Parameter},
        pattern::Pattern,
        policy::{ApplyTo, Policy, PolicyDefinition, PolicyKind},
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::codec::{decode, describe_key, encode, encode_key, seal, unseal},
};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A table with every type a peer can send, and some of them nested.
fn all_types() -> Arguments {
    let mut nested = FieldTable::default();
    nested.insert("".into(), AMQPValue::Void);
    let array = vec![AMQPValue::LongInt(-1), AMQPValue::FieldTable(nested.clone()), AMQPValue::Void];
    let values = [
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(i8::MIN),
        AMQPValue::ShortShortUInt(u8::MAX),
        AMQPValue::ShortInt(i16::MIN),
        AMQPValue::ShortUInt(u16::MAX),
        AMQPValue::LongInt(i32::MIN),
        AMQPValue::LongUInt(u32::MAX),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::Float(f32::MIN_POSITIVE),
        AMQPValue::Double(-0.1),
        AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }),
        AMQPValue::LongString("ñandú \u{0}\"".into()),
        AMQPValue::LongString([0xff, 0xfe].as_slice().into()),
        AMQPValue::FieldArray(FieldArray::from(array)),
        AMQPValue::Timestamp(u64::MAX),
        AMQPValue::FieldTable(nested),
        AMQPValue::ByteArray(ByteArray::from([0, 255].as_slice())),
        AMQPValue::Void,
    ];
    let mut table = FieldTable::default();
    for (number, value) in values.into_iter().enumerate() {
        table.insert(format!("x-{number}").into(), value);
    }
    Arguments::from(table)
}

fn policy(odd: &str, kind: PolicyKind) -> Definition {
    let mut table = FieldTable::default();
    table.insert("max-length".into(), AMQPValue::LongLongInt(5));
    let policy = Policy {
        name: name(odd),
        pattern: Pattern::parse("^q").unwrap(),
        apply_to: ApplyTo::QuorumQueues,
        priority: -1,
        definition: PolicyDefinition::parse(kind, table.into()).unwrap(),
    };
    Definition::Policy { vhost: name(odd), kind, policy }
}

fn parameter(odd: &str) -> Definition {
    let value = r#"{"a":[null,2.5,"ñ"]}"#.to_owned();
    let parameter = Parameter { component: name(odd), name: name(odd), value };
    Definition::Parameter { vhost: name(odd), parameter }
}

fn binding_to(odd: &str, destination: Destination, arguments: &Arguments) -> Definition {
    let (source, binding_key, arguments) = (name(odd), name(odd), arguments.clone());
    let binding = Binding { source, destination, binding_key, arguments };
    Definition::Binding { vhost: name(odd), binding }
}

/// One of each kind under `odd`, a name.
fn definitions(odd: &str, arguments: &Arguments) -> Vec<Definition> {
    let (vhost, arguments) = (name(odd), arguments.clone());
    let user = |algorithm| {
        let password = PasswordHash { bytes: vec![0, 1, 255], algorithm };
        Definition::User(User {
            name: name(odd),
            password,
            tags: vec!["administrator".into(), odd.into()],
            limits: [(LimitName::MaxChannels, i64::MIN), (LimitName::MaxConnections, 0)]
                .into_iter()
                .collect(),
        })
    };
    vec![
        Definition::Vhost(VhostDefinition {
            name: name(odd),
            description: odd.to_owned(),
            tags: vec![odd.to_owned()],
            default_queue_type: Some("quorum".to_owned()),
            limits: [(LimitName::MaxQueues, i64::MAX)].into_iter().collect(),
            is_protected: true,
        }),
        user(HashingAlgorithm::Sha256),
        user(HashingAlgorithm::Sha512),
        user(HashingAlgorithm::Md5),
        Definition::Permission(PermissionDefinition {
            user: name(odd),
            vhost: name(odd),
            configure: "^$".to_owned(),
            write: ".*".to_owned(),
            read: odd.to_owned(),
        }),
        Definition::Exchange {
            vhost: vhost.clone(),
            exchange: Exchange {
                name: name(odd),
                kind: ExchangeKind::Headers,
                is_durable: true,
                is_auto_delete: true,
                is_internal: true,
                arguments: arguments.clone(),
            },
        },
        Definition::Queue {
            vhost,
            queue: QueueDefinition {
                id: u64::MAX,
                name: name(odd),
                is_durable: true,
                is_exclusive: false,
                is_auto_delete: true,
                arguments: arguments.clone(),
            },
        },
        binding_to(odd, Destination::Queue(name(odd)), &arguments),
        binding_to(odd, Destination::Exchange(name(odd)), &arguments),
        Definition::TopicPermission(TopicPermissionDefinition {
            user: name(odd),
            vhost: name(odd),
            exchange: name(odd),
            write: "^$".to_owned(),
            read: odd.to_owned(),
        }),
        policy(odd, PolicyKind::User),
        policy(odd, PolicyKind::Operator),
        parameter(odd),
        Definition::GlobalParameter(GlobalParameter { name: name(odd), value: "null".to_owned() }),
    ]
}

#[test]
fn every_definition_comes_back_as_it_was() {
    let longest = "ñ".repeat(127) + "x";
    for odd in ["", "/", "a\u{0}b", "q\"\\\n'", "日本", longest.as_str()] {
        for arguments in [Arguments::default(), all_types()] {
            for definition in definitions(odd, &arguments) {
                let (key, value) = encode(&definition).unwrap();
                assert_eq!(decode(&key, &value), Ok(definition));
            }
        }
    }
}

#[test]
fn short_string_comes_back_as_a_long_one() {
    let mut table = FieldTable::default();
    table.insert("mode".into(), AMQPValue::ShortString("lazy".into()));
    let all = definitions("q", &Arguments::from(table));
    let (key, value) = encode(&all[6]).unwrap();
    let Ok(Definition::Queue { queue, .. }) = decode(&key, &value) else { panic!("no queue") };
    assert_eq!(queue.arguments.value("mode"), Some(&AMQPValue::LongString("lazy".into())));
}

#[test]
fn keys_differ_when_their_definitions_do() {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for odd in ["", "a", "ab"] {
        let all = definitions(odd, &Arguments::default());
        keys.extend(all.iter().map(|definition| encode_key(&definition.key())));
    }
    let with_arguments = definitions("a", &all_types());
    keys.extend(with_arguments[7..9].iter().map(|definition| encode_key(&definition.key())));
    for (vhost, queue) in [("a", "bc"), ("ab", "c")] {
        keys.push(encode_key(&DefinitionKey::Queue { vhost: name(vhost), name: name(queue) }));
    }
    let users_sharing_a_key = 2 * 3;
    let count = keys.len() - users_sharing_a_key;
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn any_changed_byte_is_noticed() {
    let all = definitions("orders", &all_types());
    let (key, value) = encode(&all[6]).unwrap();
    for index in 0..value.len() {
        let mut damaged = value.clone();
        damaged[index] ^= 0x10;
        assert_eq!(
            decode(&key, &damaged),
            Err("queue 'orders' in vhost 'orders' is damaged: its checksum does not match".to_owned())
        );
    }
    assert!(decode(&key, &[]).is_err());
    let (other_key, _) = encode(&all[5]).unwrap();
    assert!(decode(&other_key, &value).unwrap_err().starts_with("exchange 'orders'"));
}

#[test]
fn every_kind_of_key_is_described() {
    let texts: Vec<String> = definitions("n", &Arguments::default())
        .iter()
        .map(|definition| describe_key(&encode_key(&definition.key())))
        .collect();
    assert_eq!(
        texts,
        [
            "vhost 'n'",
            "user 'n'",
            "user 'n'",
            "user 'n'",
            "permission of user 'n' in vhost 'n'",
            "exchange 'n' in vhost 'n'",
            "queue 'n' in vhost 'n'",
            "binding from exchange 'n' to queue 'n' with key 'n' in vhost 'n'",
            "binding from exchange 'n' to exchange 'n' with key 'n' in vhost 'n'",
            "topic permission of user 'n' for exchange 'n' in vhost 'n'",
            "policy 'n' in vhost 'n'",
            "operator policy 'n' in vhost 'n'",
            "parameter 'n' of component 'n' in vhost 'n'",
            "global parameter 'n'",
        ]
    );
    assert_eq!(describe_key(&[9, 1]), "the entry with the unreadable key CQE=");
    assert_eq!(describe_key(&[]), "the entry with the unreadable key ");
}

#[test]
fn vhosts_and_users_without_limits_are_as_before_there_were_limits() {
    let vhost = Definition::Vhost(VhostDefinition::new(name("v")));
    let (key, value) = encode(&vhost).unwrap();
    let body: &[u8] = br#"{"kind":"vhost","name":"v","description":"","tags":[],"default_queue_type":null}"#;
    assert_eq!((unseal(&key, &value), decode(&key, &value)), (Some(body), Ok(vhost)));
}

#[test]
fn record_of_an_unknown_kind_is_lost_not_fatal() {
    let key = encode_key(&DefinitionKey::Vhost(name("v")));
    let value = seal(&key, br#"{"kind":"galaxy"}"#);
    let lost = decode(&key, &value).unwrap_err();
    assert!(lost.starts_with("vhost 'v' is damaged: unknown variant `galaxy`"), "{lost}");
}
