//! Definitions as bytes: the keys and values of the definitions file.
//!
//! ```text
//! key     kind u8 | name* | sha256 of the arguments, of a binding that has some
//!         name = length u8, bytes
//!         1 vhost       name                      4 exchange  vhost, name
//!         2 user        name                      5 queue     vhost, name
//!         3 permission  vhost, user               6 binding   vhost, source, "queue" | "exchange",
//!         7 topic permission                                  destination, key
//!                       vhost, user, exchange
//!         8 parameter   vhost, component, name    9 global parameter  name
//!         10 policy     vhost, name               11 operator policy  vhost, name
//! value   crc32 of key and body, u32 little-endian | body: JSON of one `Record`
//! ```
//!
//! Arguments are kept as the bytes they have on the wire, so that every type comes back as it was declared.
//! The checksum covers the key, so a value that ended up under another key counts as damaged.

use std::collections::BTreeMap;

use amq_protocol::types::{AMQPValue, FieldArray, FieldTable};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    model::{
        arguments::Arguments,
        binding::{Binding, Destination},
        definition::{
            Definition, DefinitionKey, PermissionDefinition, QueueDefinition, TopicPermissionDefinition,
            VhostDefinition,
        },
        exchange::{Exchange, ExchangeKind},
        limit::{LimitName, LimitSet},
        name::Name,
        parameter::{GlobalParameter, Parameter},
        pattern::Pattern,
        policy::{ApplyTo, Policy, PolicyDefinition, PolicyKind},
        user::{HashingAlgorithm, PasswordHash, User},
    },
    storage::StoreError,
    wire::table::{RawTable, encode_table},
};

const CHECKSUM_BYTES: usize = 4;
const NO_MATCH: &str = "its checksum does not match";

/// The key a definition is stored under.
pub(super) fn encode_key(key: &DefinitionKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    match key {
        DefinitionKey::Vhost(name) => write_names(&mut bytes, 1, &[name]),
        DefinitionKey::User(name) => write_names(&mut bytes, 2, &[name]),
        DefinitionKey::Permission { user, vhost } => write_names(&mut bytes, 3, &[vhost, user]),
        DefinitionKey::TopicPermission { user, vhost, exchange } => {
            write_names(&mut bytes, 7, &[vhost, user, exchange]);
        }
        DefinitionKey::Exchange { vhost, name } => write_names(&mut bytes, 4, &[vhost, name]),
        DefinitionKey::Queue { vhost, name } => write_names(&mut bytes, 5, &[vhost, name]),
        DefinitionKey::Binding { vhost, binding } => {
            let Binding { source, destination, binding_key, arguments } = binding;
            let names = [vhost, source, destination.kind(), destination.name(), binding_key];
            write_names(&mut bytes, 6, &names);
            if !arguments.is_empty() {
                bytes.extend_from_slice(&Sha256::digest(encode_arguments(arguments)));
            }
        }
        DefinitionKey::Policy { vhost, kind: PolicyKind::User, name } => {
            write_names(&mut bytes, 10, &[vhost, name]);
        }
        DefinitionKey::Policy { vhost, kind: PolicyKind::Operator, name } => {
            write_names(&mut bytes, 11, &[vhost, name]);
        }
        DefinitionKey::Parameter { vhost, component, name } => {
            write_names(&mut bytes, 8, &[vhost, component, name]);
        }
        DefinitionKey::GlobalParameter(name) => write_names(&mut bytes, 9, &[name]),
    }
    bytes
}

/// The key and the value of a definition.
pub(super) fn encode(definition: &Definition) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let key = encode_key(&definition.key());
    let body = serde_json::to_vec(&Record::from(definition)).map_err(|error| StoreError::Unstorable {
        what: definition.key().to_string(),
        reason: error.to_string(),
    })?;
    let value = seal(&key, &body);
    Ok((key, value))
}

/// Whether the value is as it was stored under `key`; otherwise what was lost and why, as a sentence. It may still
/// be of a kind that is not known here.
pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), String> {
    unseal(key, value).map(|_| ()).ok_or_else(|| damaged(key, NO_MATCH))
}

/// The definition that was stored under `key`; otherwise what was lost and why, as a sentence.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Definition, String> {
    let definition = unseal(key, value)
        .ok_or_else(|| NO_MATCH.to_owned())
        .and_then(|body| serde_json::from_slice::<Record>(body).map_err(|error| error.to_string()))
        .and_then(Definition::try_from);
    definition.map_err(|reason| damaged(key, &reason))
}

fn damaged(key: &[u8], reason: &str) -> String {
    format!("{} is damaged: {reason}", describe_key(key))
}

/// `body` with a checksum that ties it to `key`.
pub(super) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = checksum(key, body).to_vec();
    value.extend_from_slice(body);
    value
}

/// The body sealed under `key`; none when it is not what was stored there.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (stored, body) = value.split_at_checked(CHECKSUM_BYTES)?;
    (stored == checksum(key, body)).then_some(body)
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}

fn write_names(bytes: &mut Vec<u8>, kind: u8, names: &[&str]) {
    bytes.push(kind);
    for name in names {
        // Names have at most 255 bytes (`Name::parse`), so the length fits.
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
    }
}

/// A key as an operator reads it, also when its value is gone and the key itself is not to be trusted.
pub(super) fn describe_key(key: &[u8]) -> String {
    let key_text = || match key.split_first()? {
        (1, rest) => Some(DefinitionKey::Vhost(read_names::<1>(rest)?.into_iter().next()?).to_string()),
        (2, rest) => Some(DefinitionKey::User(read_names::<1>(rest)?.into_iter().next()?).to_string()),
        (3, rest) => {
            read_names(rest).map(|[vhost, user]| DefinitionKey::Permission { user, vhost }.to_string())
        }
        (4, rest) => {
            read_names(rest).map(|[vhost, name]| DefinitionKey::Exchange { vhost, name }.to_string())
        }
        (5, rest) => read_names(rest).map(|[vhost, name]| DefinitionKey::Queue { vhost, name }.to_string()),
        (6, rest) => read_names(rest).map(|[vhost, source, kind, name, binding_key]| {
            let is_queue = kind.as_str() == "queue";
            let destination = if is_queue { Destination::Queue(name) } else { Destination::Exchange(name) };
            let binding = Binding { source, destination, binding_key, arguments: Arguments::default() };
            DefinitionKey::Binding { vhost, binding }.to_string()
        }),
        (7, rest) => read_names(rest).map(|[vhost, user, exchange]| {
            DefinitionKey::TopicPermission { user, vhost, exchange }.to_string()
        }),
        (8, rest) => read_names(rest)
            .map(|[vhost, component, name]| DefinitionKey::Parameter { vhost, component, name }.to_string()),
        (9, rest) => read_names(rest).map(|[name]| DefinitionKey::GlobalParameter(name).to_string()),
        (10, rest) => read_names(rest)
            .map(|[vhost, name]| DefinitionKey::Policy { vhost, kind: PolicyKind::User, name }.to_string()),
        (11, rest) => read_names(rest).map(|[vhost, name]| {
            DefinitionKey::Policy { vhost, kind: PolicyKind::Operator, name }.to_string()
        }),
        _ => None,
    };
    key_text().unwrap_or_else(|| format!("the entry with the unreadable key {}", BASE64_STANDARD.encode(key)))
}

fn read_names<const COUNT: usize>(mut bytes: &[u8]) -> Option<[Name; COUNT]> {
    let mut names = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let (length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        names.push(Name::parse(std::str::from_utf8(name).ok()?).ok()?);
        bytes = rest;
    }
    names.try_into().ok()
}

/// The stored form. Its names are part of the file format.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    Vhost {
        name: String,
        description: String,
        tags: Vec<String>,
        default_queue_type: Option<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        limits: BTreeMap<String, i64>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        protected: bool,
    },
    User {
        name: String,
        password_hash: String,
        hashing_algorithm: String,
        tags: Vec<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        limits: BTreeMap<String, i64>,
    },
    Permission {
        user: String,
        vhost: String,
        configure: String,
        write: String,
        read: String,
    },
    TopicPermission {
        user: String,
        vhost: String,
        exchange: String,
        write: String,
        read: String,
    },
    Exchange {
        vhost: String,
        name: String,
        exchange_kind: String,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: String,
    },
    Queue {
        vhost: String,
        name: String,
        id: u64,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: String,
    },
    Binding {
        vhost: String,
        source: String,
        destination_kind: String,
        destination: String,
        binding_key: String,
        arguments: String,
    },
    Policy {
        vhost: String,
        name: String,
        operator: bool,
        pattern: String,
        apply_to: String,
        priority: i64,
        definition: String,
    },
    Parameter {
        vhost: String,
        component: String,
        name: String,
        value: String,
    },
    GlobalParameter {
        name: String,
        value: String,
    },
}

impl From<&Definition> for Record {
    fn from(definition: &Definition) -> Self {
        match definition {
            Definition::Vhost(vhost) => Self::Vhost {
                name: vhost.name.to_string(),
                description: vhost.description.clone(),
                tags: vhost.tags.clone(),
                default_queue_type: vhost.default_queue_type.clone(),
                limits: limits_by_name(&vhost.limits),
                protected: vhost.is_protected,
            },
            Definition::User(user) => Self::User {
                name: user.name.to_string(),
                password_hash: BASE64_STANDARD.encode(&user.password.bytes),
                hashing_algorithm: algorithm_name(user.password.algorithm).to_owned(),
                tags: user.tags.clone(),
                limits: limits_by_name(&user.limits),
            },
            Definition::Permission(permission) => Self::Permission {
                user: permission.user.to_string(),
                vhost: permission.vhost.to_string(),
                configure: permission.configure.clone(),
                write: permission.write.clone(),
                read: permission.read.clone(),
            },
            Definition::TopicPermission(permission) => Self::TopicPermission {
                user: permission.user.to_string(),
                vhost: permission.vhost.to_string(),
                exchange: permission.exchange.to_string(),
                write: permission.write.clone(),
                read: permission.read.clone(),
            },
            Definition::Exchange { vhost, exchange } => Self::Exchange {
                vhost: vhost.to_string(),
                name: exchange.name.to_string(),
                exchange_kind: exchange.kind.as_str().to_owned(),
                durable: exchange.is_durable,
                auto_delete: exchange.is_auto_delete,
                internal: exchange.is_internal,
                arguments: arguments_text(&exchange.arguments),
            },
            Definition::Queue { vhost, queue } => Self::Queue {
                vhost: vhost.to_string(),
                name: queue.name.to_string(),
                id: queue.id,
                durable: queue.is_durable,
                exclusive: queue.is_exclusive,
                auto_delete: queue.is_auto_delete,
                arguments: arguments_text(&queue.arguments),
            },
            Definition::Binding { vhost, binding } => Self::Binding {
                vhost: vhost.to_string(),
                source: binding.source.to_string(),
                destination_kind: binding.destination.kind().to_owned(),
                destination: binding.destination.name().to_string(),
                binding_key: binding.binding_key.to_string(),
                arguments: arguments_text(&binding.arguments),
            },
            Definition::Policy { vhost, kind, policy } => policy_record(vhost, *kind, policy),
            Definition::Parameter { vhost, parameter } => Self::Parameter {
                vhost: vhost.to_string(),
                component: parameter.component.to_string(),
                name: parameter.name.to_string(),
                value: parameter.value.clone(),
            },
            Definition::GlobalParameter(GlobalParameter { name, value }) => {
                Self::GlobalParameter { name: name.to_string(), value: value.clone() }
            }
        }
    }
}

impl TryFrom<Record> for Definition {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, String> {
        Ok(match record {
            Record::Vhost {
                name,
                description,
                tags,
                default_queue_type,
                limits,
                protected: is_protected,
            } => {
                let (name, limits) = (parse_name(&name)?, parse_limits(&limits)?);
                let vhost =
                    VhostDefinition { name, description, tags, default_queue_type, limits, is_protected };
                Self::Vhost(vhost)
            }
            Record::User { name, password_hash, hashing_algorithm, tags, limits } => {
                let password = parse_password(&password_hash, &hashing_algorithm)?;
                Self::User(User { name: parse_name(&name)?, password, tags, limits: parse_limits(&limits)? })
            }
            Record::Permission { user, vhost, configure, write, read } => {
                let (user, vhost) = (parse_name(&user)?, parse_name(&vhost)?);
                Self::Permission(PermissionDefinition { user, vhost, configure, write, read })
            }
            Record::TopicPermission { user, vhost, exchange, write, read } => {
                let (user, vhost, exchange) =
                    (parse_name(&user)?, parse_name(&vhost)?, parse_name(&exchange)?);
                Self::TopicPermission(TopicPermissionDefinition { user, vhost, exchange, write, read })
            }
            Record::Exchange { vhost, name, exchange_kind, durable, auto_delete, internal, arguments } => {
                let exchange = Exchange {
                    name: parse_name(&name)?,
                    kind: parse_exchange_kind(&exchange_kind)?,
                    is_durable: durable,
                    is_auto_delete: auto_delete,
                    is_internal: internal,
                    arguments: parse_arguments(&arguments)?,
                };
                Self::Exchange { vhost: parse_name(&vhost)?, exchange }
            }
            Record::Queue { vhost, name, id, durable, exclusive, auto_delete, arguments } => {
                let queue = QueueDefinition {
                    id,
                    name: parse_name(&name)?,
                    is_durable: durable,
                    is_exclusive: exclusive,
                    is_auto_delete: auto_delete,
                    arguments: parse_arguments(&arguments)?,
                };
                Self::Queue { vhost: parse_name(&vhost)?, queue }
            }
            Record::Binding { vhost, source, destination_kind, destination, binding_key, arguments } => {
                let binding = Binding {
                    source: parse_name(&source)?,
                    destination: parse_destination(&destination_kind, &destination)?,
                    binding_key: parse_name(&binding_key)?,
                    arguments: parse_arguments(&arguments)?,
                };
                Self::Binding { vhost: parse_name(&vhost)?, binding }
            }
            policy @ Record::Policy { .. } => parse_policy(policy)?,
            Record::Parameter { vhost, component, name, value } => {
                let (component, name) = (parse_name(&component)?, parse_name(&name)?);
                let parameter = Parameter { component, name, value };
                Self::Parameter { vhost: parse_name(&vhost)?, parameter }
            }
            Record::GlobalParameter { name, value } => {
                Self::GlobalParameter(GlobalParameter { name: parse_name(&name)?, value })
            }
        })
    }
}

fn policy_record(vhost: &Name, kind: PolicyKind, policy: &Policy) -> Record {
    Record::Policy {
        vhost: vhost.to_string(),
        name: policy.name.to_string(),
        operator: kind == PolicyKind::Operator,
        pattern: policy.pattern.to_string(),
        apply_to: policy.apply_to.as_str().to_owned(),
        priority: policy.priority,
        definition: arguments_text(policy.definition.arguments()),
    }
}

fn parse_policy(record: Record) -> Result<Definition, String> {
    let Record::Policy { vhost, name, operator, pattern, apply_to, priority, definition } = record else {
        return Err("it is no policy".to_owned());
    };
    let kind = if operator { PolicyKind::Operator } else { PolicyKind::User };
    let policy = Policy {
        name: parse_name(&name)?,
        pattern: Pattern::parse(&pattern).map_err(|error| error.to_string())?,
        apply_to: parse_apply_to(&apply_to)?,
        priority,
        definition: parse_policy_definition(kind, &definition)?,
    };
    Ok(Definition::Policy { vhost: parse_name(&vhost)?, kind, policy })
}

fn parse_exchange_kind(text: &str) -> Result<ExchangeKind, String> {
    ExchangeKind::parse(text).ok_or_else(|| format!("unknown exchange type '{text}'"))
}

fn parse_apply_to(text: &str) -> Result<ApplyTo, String> {
    ApplyTo::parse(text).ok_or_else(|| format!("a policy can't apply to '{text}'"))
}

fn parse_name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|_| "a name is longer than 255 bytes".to_owned())
}

fn limits_by_name(limits: &LimitSet) -> BTreeMap<String, i64> {
    limits.iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
}

fn parse_limits(limits: &BTreeMap<String, i64>) -> Result<LimitSet, String> {
    let parse = |(name, value): (&String, &i64)| {
        let name = LimitName::parse(name).ok_or_else(|| format!("unknown limit '{name}'"))?;
        Ok((name, *value))
    };
    limits.iter().map(parse).collect()
}

fn parse_destination(kind: &str, name: &str) -> Result<Destination, String> {
    match kind {
        "queue" => Ok(Destination::Queue(parse_name(name)?)),
        "exchange" => Ok(Destination::Exchange(parse_name(name)?)),
        _ => Err(format!("unknown destination type '{kind}'")),
    }
}

fn algorithm_name(algorithm: HashingAlgorithm) -> &'static str {
    match algorithm {
        HashingAlgorithm::Sha256 => "sha256",
        HashingAlgorithm::Sha512 => "sha512",
        HashingAlgorithm::Md5 => "md5",
    }
}

fn parse_policy_definition(kind: PolicyKind, text: &str) -> Result<PolicyDefinition, String> {
    PolicyDefinition::parse(kind, parse_arguments(text)?).map_err(|error| error.to_string())
}

fn parse_password(hash: &str, algorithm: &str) -> Result<PasswordHash, String> {
    Ok(PasswordHash { bytes: decode_base64(hash)?, algorithm: parse_algorithm(algorithm)? })
}

fn parse_algorithm(text: &str) -> Result<HashingAlgorithm, String> {
    match text {
        "sha256" => Ok(HashingAlgorithm::Sha256),
        "sha512" => Ok(HashingAlgorithm::Sha512),
        "md5" => Ok(HashingAlgorithm::Md5),
        _ => Err(format!("unknown hashing algorithm '{text}'")),
    }
}

fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|error| error.to_string())
}

fn arguments_text(arguments: &Arguments) -> String {
    if arguments.is_empty() { String::new() } else { BASE64_STANDARD.encode(encode_arguments(arguments)) }
}

fn parse_arguments(text: &str) -> Result<Arguments, String> {
    if text.is_empty() {
        return Ok(Arguments::default());
    }
    let bytes = decode_base64(text)?;
    match RawTable::parse(&bytes) {
        Ok((table, [])) => Ok(Arguments::from(table.to_table())),
        Ok(_) => Err("bytes follow the arguments table".to_owned()),
        Err(error) => Err(format!("its arguments are no table: {error:?}")),
    }
}

fn encode_arguments(arguments: &Arguments) -> Vec<u8> {
    encode_table(&with_wire_types(arguments.as_table()))
}

/// Short strings have no type of their own in a table (`s` is a 16-bit integer to RabbitMQ), so they travel,
/// and are stored, as long strings.
fn with_wire_types(table: &FieldTable) -> FieldTable {
    let mut typed = FieldTable::default();
    for (key, value) in table {
        typed.insert(key.clone(), with_wire_type(value));
    }
    typed
}

fn with_wire_type(value: &AMQPValue) -> AMQPValue {
    match value {
        AMQPValue::ShortString(text) => AMQPValue::LongString(text.as_str().into()),
        AMQPValue::FieldTable(table) => AMQPValue::FieldTable(with_wire_types(table)),
        AMQPValue::FieldArray(array) => {
            let values: Vec<AMQPValue> = array.as_slice().iter().map(with_wire_type).collect();
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        other => other.clone(),
    }
}
