//! Targets of the codec.

use liebre::{
    limits::{FRAME_GRACE, TABLE_DEPTH_MAX},
    wire::{
        content::{encode_header, parse_content_header},
        encode::write_method,
        frame::{
            ChannelNumber, FRAME_END, FRAME_OVERHEAD, FRAME_PAYLOAD_CAP, Frame, FrameError, parse_frame,
        },
        method::{Method, parse_method},
        table::{RawArray, RawTable, RawValue, encode_table},
    },
};

use super::choices::Choices;

/// Two bytes of frame_max (times four; 0: none was agreed on), two that say how the stream is cut, and the stream.
pub fn frame(data: &[u8]) {
    let mut choices = Choices::new(data);
    let frame_max = u32::from(choices.short()) * 4;
    let piece_size = usize::from(choices.short()).max(1);
    let stream = choices.rest();
    let mut whole = Vec::new();
    let refusal = take_frames(stream, &mut 0, frame_max, &mut whole);
    if let Err(error) = &refusal {
        let _ = error.to_string();
    }
    let (mut at, mut end, mut in_pieces, mut outcome) = (0, 0, Vec::new(), Ok(()));
    while end < stream.len() && outcome.is_ok() {
        end = stream.len().min(end + piece_size);
        outcome = take_frames(&stream[..end], &mut at, frame_max, &mut in_pieces);
    }
    assert_eq!(in_pieces, whole, "the cut changes frames");
    assert_eq!(outcome, refusal, "the cut changes what is refused");
}

/// All frames from `at` on, which moves behind them.
fn take_frames<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    frame_max: u32,
    frames: &mut Vec<Frame<'a>>,
) -> Result<(), FrameError> {
    while let Some((frame, size)) = parse_frame(&bytes[*at..], frame_max)? {
        check_frame(&bytes[*at..], frame.payload, size, frame_max);
        frames.push(frame);
        *at += size;
    }
    Ok(())
}

fn check_frame(input: &[u8], payload: &[u8], size: usize, frame_max: u32) {
    assert_eq!(size, payload.len() + FRAME_OVERHEAD);
    assert_eq!(input[size - 1], FRAME_END);
    let payload_max = if frame_max == 0 { FRAME_PAYLOAD_CAP + FRAME_GRACE } else { frame_max + FRAME_GRACE };
    assert!(payload.len() <= payload_max as usize, "larger than agreed");
    assert_eq!(parse_frame(&input[..size - 1], frame_max), Ok(None), "a frame before its end");
}

/// The payload of a method frame.
pub fn method(data: &[u8]) {
    let (id, class) = match parse_method(data) {
        Ok((id, Method::Cold(class))) => (id, class),
        Ok(_) => return,
        Err(error) => {
            let _ = (error.to_string(), error.id());
            return;
        }
    };
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    write_method(&mut once, ChannelNumber(1), &class);
    let (frame, size) = parse_frame(&once, 0).expect("a written method is a frame").expect("a whole one");
    assert_eq!(size, once.len());
    let (again, method) = parse_method(frame.payload).expect("a written method is read");
    let Method::Cold(class) = method else { panic!("it was read as a cold one before") };
    assert_eq!(again, id);
    write_method(&mut twice, ChannelNumber(1), &class);
    assert_eq!(once, twice, "what is written is read as something else");
}

/// The entries of a field table.
pub fn table(data: &[u8]) {
    let Ok(table) = RawTable::parse_entries(data) else { return };
    assert!(depth(&table) <= TABLE_DEPTH_MAX, "nested too deep");
    assert_eq!(table.entries_without(|_| false), data, "entries are lost");
    assert!(table.entries_without(|_| true).is_empty());
    for (name, _) in table.iter() {
        assert!(table.get(name).is_some(), "a name of it is not in it");
    }
    let once = encode_table(&table.to_table());
    let (again, rest) = RawTable::parse(&once).expect("a written table is read");
    assert!(rest.is_empty());
    assert_eq!(encode_table(&again.to_table()), once, "what is written is read as something else");
    let owned = again.to_table();
    assert!(again.is_same(&owned) || has_nan(&again), "it is not the same as itself");
}

/// How deep tables and arrays are nested, the table itself counted.
fn depth(table: &RawTable<'_>) -> usize {
    1 + table.iter().map(|(_, value)| depth_of_value(&value)).max().unwrap_or(0)
}

fn depth_of_value(value: &RawValue<'_>) -> usize {
    match value {
        RawValue::Table(table) => depth(table),
        RawValue::Array(array) => depth_of_array(array),
        _ => 0,
    }
}

fn depth_of_array(array: &RawArray<'_>) -> usize {
    1 + array.iter().map(|value| depth_of_value(&value)).max().unwrap_or(0)
}

/// A value that is not equal to itself.
fn has_nan(table: &RawTable<'_>) -> bool {
    table.iter().any(|(_, value)| is_nan(&value))
}

fn is_nan(value: &RawValue<'_>) -> bool {
    match value {
        RawValue::Float(value) => value.is_nan(),
        RawValue::Double(value) => value.is_nan(),
        RawValue::Table(table) => has_nan(table),
        RawValue::Array(array) => array.iter().any(|value| is_nan(&value)),
        _ => false,
    }
}

/// The payload of a header frame.
pub fn properties(data: &[u8]) {
    let header = match parse_content_header(data) {
        Ok(header) => header,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let mut again = Vec::new();
    encode_header(&mut again, header.body_size, &header.properties);
    assert_eq!(again[2..], data[2..], "what is read is written as something else");
    if let Some(headers) = header.properties.headers {
        assert!(depth(&headers) <= TABLE_DEPTH_MAX, "nested too deep");
    }
}
