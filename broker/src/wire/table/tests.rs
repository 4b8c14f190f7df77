//! Tables against `amq-protocol`'s own codec, and against bytes no codec would write.

use amq_protocol::types::parsing::parse_field_table;
use proptest::prelude::*;

use super::*;

/// A table with one entry, `k`, of the given tag and bytes.
fn one(tag: u8, value: &[u8]) -> Vec<u8> {
    [&b"\x01k"[..], &[tag], value].concat()
}

fn long(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap().to_be_bytes()
}

/// `depth` levels of tables or arrays inside each other, without the outermost length.
fn nested(tag: u8, depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in 1..depth {
        let is_named = tag == b'F' || level == depth - 1;
        let name = if is_named { &b"\x01k"[..] } else { &[] };
        bytes = [name, &[tag], &long(bytes.len()), &bytes].concat();
    }
    bytes
}

fn value_of(bytes: &[u8]) -> RawValue<'_> {
    RawTable::parse_entries(bytes).unwrap().get("k").unwrap()
}

/// Each tag, bytes of a value, and that value.
fn every_type() -> Vec<(u8, &'static [u8], AMQPValue)> {
    let mut table = FieldTable::default();
    table.insert("a".into(), AMQPValue::ShortShortInt(5));
    vec![
        (b't', b"\x01", AMQPValue::Boolean(true)),
        (b'b', b"\xFF", AMQPValue::ShortShortInt(-1)),
        (b'B', b"\xFF", AMQPValue::ShortShortUInt(255)),
        (b's', b"\xFF\xFE", AMQPValue::ShortInt(-2)),
        (b'U', b"\xFF\xFE", AMQPValue::ShortInt(-2)),
        (b'u', b"\xFF\xFE", AMQPValue::ShortUInt(65_534)),
        (b'I', b"\xFF\xFF\xFF\xFD", AMQPValue::LongInt(-3)),
        (b'i', b"\xFF\xFF\xFF\xFD", AMQPValue::LongUInt(4_294_967_293)),
        (b'l', b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC", AMQPValue::LongLongInt(-4)),
        (b'L', b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC", AMQPValue::LongLongInt(-4)),
        (b'f', b"\x40\xA0\0\0", AMQPValue::Float(5.0)),
        (b'd', b"\x40\x14\0\0\0\0\0\0", AMQPValue::Double(5.0)),
        (b'D', b"\x02\0\0\0\x2A", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 42 })),
        (b'S', b"\0\0\0\x02hi", AMQPValue::LongString("hi".into())),
        (b'x', b"\0\0\0\x02hi", AMQPValue::ByteArray(b"hi"[..].into())),
        (b'T', b"\0\0\0\0\0\0\0\x07", AMQPValue::Timestamp(7)),
        (b'F', b"\0\0\0\x04\x01ab\x05", AMQPValue::FieldTable(table)),
        (b'A', b"\0\0\0\x02b\x05", AMQPValue::FieldArray(vec![AMQPValue::ShortShortInt(5)].into())),
        (b'V', b"", AMQPValue::Void),
    ]
}

#[test]
fn every_type_is_read_and_shorter_bytes_are_refused() {
    for (tag, bytes, expected) in every_type() {
        let entry = one(tag, bytes);
        let value = value_of(&entry);
        assert_eq!(value.to_value(), expected, "tag {}", char::from(tag));
        assert!(value.is_same(&expected) && value.equals(&expected), "tag {}", char::from(tag));
        for cut in 1..entry.len() {
            assert_eq!(check_table(&entry[..cut]), Err(TableError::Truncated), "tag {}", char::from(tag));
        }
        for (other_tag, _, other) in every_type() {
            let is_same_type = expected.get_type() == other.get_type();
            assert_eq!(value.is_same(&other), is_same_type, "{tag} {other_tag}");
        }
    }
}

#[test]
fn tags_nobody_defined_are_refused() {
    let known = b"tbBsUuIilLfdDSxTFAV";
    for tag in (0..=u8::MAX).filter(|tag| !known.contains(tag)) {
        assert_eq!(check_table(&one(tag, &[0; 8])), Err(TableError::UnknownTag(tag)));
    }
}

#[test]
fn lengths_are_exact() {
    assert_eq!(RawTable::parse(b"\0\0"), Err(TableError::Truncated));
    assert_eq!(RawTable::parse(b"\0\0\0\x04\x01kt"), Err(TableError::Truncated));
    assert_eq!(RawTable::parse(b"\xFF\xFF\xFF\xFF\x01kt\x01"), Err(TableError::Truncated));
    assert_eq!(RawTable::parse(b"\0\0\0\x01\x20"), Err(TableError::Truncated));
    for tag in *b"SxFA" {
        for size in [[0, 0, 0, 3], [0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF]] {
            assert_eq!(check_table(&one(tag, &[&size[..], b"ab"].concat())), Err(TableError::Truncated));
        }
    }
    // An inner table may not read on into its outer one, nor stop short of its own end.
    let inner_too_short = [one(b'F', &[0, 0, 0, 3]), b"\x01kt\x01".to_vec()].concat();
    assert_eq!(check_table(&inner_too_short), Err(TableError::Truncated));
    let (table, rest) = RawTable::parse(b"\0\0\0\x04\x01kt\x01rest").unwrap();
    assert_eq!((table.get("k"), table.get("K"), rest), (Some(RawValue::Bool(true)), None, &b"rest"[..]));
}

#[test]
fn nesting_has_a_limit() {
    for tag in *b"FA" {
        assert_eq!(check_table(&nested(tag, TABLE_DEPTH_MAX)), Ok(()));
        assert_eq!(check_table(&nested(tag, TABLE_DEPTH_MAX + 1)), Err(TableError::TooDeep));
        assert_eq!(check_table(&nested(tag, 20_000)), Err(TableError::TooDeep));
    }
    let deepest = nested(b'F', TABLE_DEPTH_MAX);
    let value = value_of(&deepest);
    assert!(value.is_same(&value.to_value()));
}

/// As RabbitMQ 3.10 answered for every pair of types.
#[test]
fn headers_compare_by_value() {
    let equals = |tag, bytes: &[u8], other| value_of(&one(tag, bytes)).equals(&other);
    let five = b"\0\0\0\0\0\0\0\x05";
    for other in [
        AMQPValue::ShortShortInt(5),
        AMQPValue::LongUInt(5),
        AMQPValue::Timestamp(5),
        AMQPValue::Float(5.0),
        AMQPValue::Double(5.0),
    ] {
        assert!(equals(b'l', five, other.clone()) && equals(b'T', five, other.clone()));
        assert!(equals(b'd', b"\x40\x14\0\0\0\0\0\0", other));
    }
    let decimal = AMQPValue::DecimalValue(DecimalValue { scale: 0, value: 5 });
    for other in [decimal, AMQPValue::LongString("5".into()), AMQPValue::Void, AMQPValue::Double(5.5)] {
        assert!(!equals(b'l', five, other));
    }
    assert!(!equals(b't', b"\x01", AMQPValue::ShortShortInt(1)));
    assert!(equals(b't', b"\x02", AMQPValue::Boolean(true)));
    assert!(equals(b'S', b"\0\0\0\x02hi", AMQPValue::ByteArray(b"hi"[..].into())));
    assert!(equals(b'x', b"\0\0\0\x02hi", AMQPValue::LongString("hi".into())));
    assert!(equals(b'd', &0.0_f64.to_be_bytes(), AMQPValue::Double(-0.0)));
    assert!(!equals(b'd', &f64::NAN.to_be_bytes(), AMQPValue::Double(f64::NAN)));
    assert!(!equals(b'd', &1e300_f64.to_be_bytes(), AMQPValue::LongLongInt(i64::MAX)));
    // Inside tables and arrays the type counts.
    assert!(!equals(b'A', b"\0\0\0\x02b\x05", AMQPValue::FieldArray(vec![AMQPValue::LongInt(5)].into())));
    assert!(!equals(b'A', b"\0\0\0\x02b\x05", AMQPValue::FieldArray(Vec::new().into())));
}

#[test]
fn entries_can_be_dropped_and_the_others_stay_as_sent() {
    let entries = b"\x01bL\0\0\0\0\0\0\0\x01\x01at\x02\x01bV\x02\xFF\xFEt\x01";
    let table = RawTable::parse_entries(entries).unwrap();
    assert_eq!(table.entries_without(|_| false), entries);
    assert_eq!(table.entries_without(|name| name == b"b"), b"\x01at\x02\x02\xFF\xFEt\x01");
    assert_eq!(table.get("b"), Some(RawValue::Int64(1)));
    let owned = table.to_table();
    let names: Vec<&str> = owned.inner().keys().map(ShortString::as_str).collect();
    assert_eq!((names, &owned.inner()["b"]), (vec!["a", "b"], &AMQPValue::Void));
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        any::<f32>().prop_map(AMQPValue::Float),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6)
                .prop_map(|values| AMQPValue::FieldArray(values.into())),
            proptest::collection::btree_map("[a-zé]{0,5}", inner, 0..6).prop_map(|entries| {
                let mut table = FieldTable::default();
                for (name, value) in entries {
                    table.insert(name.into(), value);
                }
                AMQPValue::FieldTable(table)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_amq_protocol_writes_is_read_the_same(value in value()) {
        let mut table = FieldTable::default();
        table.insert("k".into(), value);
        let bytes = encode_table(&table);
        let (raw, rest) = RawTable::parse(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(raw.to_table(), table.clone());
        prop_assert!(raw.is_same(&table));
    }

    #[test]
    fn any_bytes_give_an_answer(bytes: Vec<u8>) {
        let _ = RawTable::parse(&bytes);
        let _ = check_table(&bytes);
    }

    /// Damaged tables. Names that are not UTF-8 are all that we take and it doesn't.
    #[test]
    fn what_amq_protocol_takes_passes_and_is_read_the_same(value in value(), at: prop::sample::Index, octet: u8) {
        let mut table = FieldTable::default();
        table.insert("k".into(), value);
        let mut bytes = encode_table(&table);
        let at = at.index(bytes.len());
        bytes[at] = octet;
        if let Ok((raw, rest)) = RawTable::parse(&bytes) {
            let taken = &bytes[..bytes.len() - rest.len()];
            if let Ok((_, parsed)) = parse_field_table(taken) {
                prop_assert_eq!(format!("{parsed:?}"), format!("{:?}", raw.to_table()));
            }
        } else {
            prop_assert!(parse_field_table(&bytes[..]).is_err());
        }
    }
}
