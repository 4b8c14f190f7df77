//! When alarms block publishers: the limits of disk and memory, changed until the broker's next start.

use serde_json::{Value, json};

use super::Outcome;
use crate::api::{Method, Request, refusal};
use crate::catalogue::{Command, Group};
use crate::context::Context;
use crate::exit::{Code, Failure, UsageError};

const NO_FRACTION: &str = "The threshold should be a fraction between 0.0 and 1.0";

/// The commands of this module.
pub const COMMANDS: &[Command] = &[
    Command::new(
        Group::Configuration,
        "set_disk_free_limit",
        "set_disk_free_limit <disk_limit> | mem_relative <fraction>",
        "Sets the disk_free_limit setting",
    )
    .takes(1, 2)
    .explained(&[
        (
            "<disk_limit>",
            "available disk space below which publishers are blocked, such as 50000000, 500MiB, 2GB",
        ),
        ("mem_relative <fraction>", "the same as a multiple of the machine's memory"),
    ])
    .runs(set_disk_free_limit),
    Command::new(
        Group::Configuration,
        "set_vm_memory_high_watermark",
        "set_vm_memory_high_watermark <fraction> | absolute <value>",
        "Sets the vm_memory_high_watermark setting",
    )
    .takes(1, 2)
    .explained(&[
        ("<fraction>", "memory above which publishers are blocked, as a share of what there is, 0.0 to 1.0"),
        ("absolute <value>", "the same in bytes, or with a unit: 500MiB, 2GB"),
    ])
    .runs(set_memory_watermark),
];

fn set_disk_free_limit(context: &mut Context<'_>) -> Outcome {
    let (limit, shown) = match two(context, "mem_relative")? {
        (true, factor) => {
            let shown = format!("{factor} times the total RAM");
            (json!({"relative": fraction(&factor)?}), shown)
        }
        (false, size) => (json!({"absolute": checked_size(&size)?}), format!("{size} bytes")),
    };
    let node = context.broker.node()?;
    context.announce(&format!("Setting disk free limit on {node} to {shown} ..."))?;
    put(context, "/api/liebre/disk-free-limit", limit)
}

fn set_memory_watermark(context: &mut Context<'_>) -> Outcome {
    let (limit, shown) = match two(context, "absolute")? {
        (true, size) => (json!({"absolute": checked_size(&size)?}), format!("{size} bytes")),
        (false, text) => {
            let fraction = fraction(&text)?;
            if !(0.0..=1.0).contains(&fraction) {
                return Err(UsageError::bad_argument(NO_FRACTION).into());
            }
            (json!({"relative": fraction}), text)
        }
    };
    let node = context.broker.node()?;
    context.announce(&format!("Setting memory threshold on {node} to {shown} ..."))?;
    put(context, "/api/liebre/vm-memory-high-watermark", limit)
}

/// The value, and whether the word stood before it.
fn two(context: &Context<'_>, word: &str) -> Result<(bool, String), UsageError> {
    match context.arguments {
        [only] if only == word => Err(UsageError::not_enough()),
        [value] => Ok((false, value.clone())),
        [first, value] if first == word => Ok((true, value.clone())),
        _ => Err(UsageError::too_many()),
    }
}

/// The units are the broker's to know.
fn checked_size(text: &str) -> Result<&str, UsageError> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    match unit.len() < text.len() && unit.chars().all(|c| c.is_ascii_alphabetic()) {
        true => Ok(text),
        false => {
            Err(UsageError::bad_argument("a size is bytes, or a number with a unit as in 500MiB or 2GB"))
        }
    }
}

fn fraction(text: &str) -> Result<f64, UsageError> {
    let fraction = text.parse().ok().filter(|fraction: &f64| fraction.is_finite());
    fraction.ok_or_else(|| UsageError::bad_argument("a fraction is a number such as 0.4"))
}

fn put(context: &mut Context<'_>, path: &str, limit: Value) -> Outcome {
    let request = Request { method: Method::Put, path: path.into(), body: Some(limit), reason: None };
    let response = context.broker.call(&request)?;
    match response.status {
        200..=299 => context.done(),
        400 => Err(UsageError::bad_argument(&refusal(&response)).into()),
        404 | 405 => {
            let address = context.broker.api().address();
            let text = format!("what answers at {address} is not a Liebre broker: it has no {path}");
            Err(Failure::new(Code::Unavailable, text).into())
        }
        _ => Err(Failure::new(Code::Unavailable, refusal(&response)).into()),
    }
}
