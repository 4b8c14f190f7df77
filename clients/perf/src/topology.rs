//! The exchange and the queues of a load: declared before the work, deleted after it.

use crate::cli::Target;
use crate::clock::{Nanos, now};
use crate::codec::method::{Close, QueueDeclare};
use crate::connection::Connection;
use crate::error::PerfError;
use crate::load::{Load, OWN_PREFIX};

/// Reply codes of refusals: there is no such queue, and its state forbids it.
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// Declares the exchange and the queues of `load`, lets `work` do something with them that is to begin before the
/// deadline it gets, and deletes them again however it ended. Says what came of it, and whether the broker has deleted
/// them.
pub fn amid_topology<T>(
    target: &Target,
    load: &Load,
    work: impl FnOnce(Nanos) -> Result<T, PerfError>,
) -> Result<(T, bool), PerfError> {
    let deadline = now().plus(load.patience.setup + load.patience.each * load.parts());
    let mut control = Connection::open(&target.url, deadline)?;
    let mut made = Made::default();
    if let Err(error) = declare(&mut control, load, &mut made, deadline) {
        take_back(control, load, &made, &error);
        return Err(error);
    }
    let done = work(deadline);
    let deadline = load.teardown_deadline();
    let only_if_empty = load.publishing.is_none();
    let is_taken_down = take_down(&mut control, load, &Made::all(load), only_if_empty, deadline);
    // What its answer could tell is known already.
    let _ = control.close(deadline);
    Ok((done?, is_taken_down))
}

/// How much of a load's topology there is.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    has_exchange: bool,
    queue_count: usize,
}

impl Made {
    fn all(load: &Load) -> Self {
        Self { has_exchange: load.topology.exchange.is_some(), queue_count: load.topology.queues.len() }
    }
}

/// After `error`, which ended the declarations, deletes what they made.
fn take_back(mut control: Connection, load: &Load, made: &Made, error: &PerfError) {
    let deadline = load.teardown_deadline();
    let is_usable = match error {
        PerfError::ChannelClosed(_) => control.reopen_channel(deadline).is_ok(),
        PerfError::QueueInUse { .. } | PerfError::TimedOut { .. } => true,
        _ => false,
    };
    if is_usable {
        // Why there is not more is the error to tell. A queue that has messages already was not made by this run.
        take_down(&mut control, load, made, true, deadline);
        let _ = control.close(deadline);
    }
}

/// Deletes what is there of the load's queues and its exchange, if it is to be deleted at all. Says whether each is
/// gone, or another's messages protect it.
fn take_down(
    control: &mut Connection,
    load: &Load,
    made: &Made,
    only_if_empty: bool,
    deadline: Nanos,
) -> bool {
    let topology = &load.topology;
    if !topology.deletes {
        return true;
    }
    let mut is_taken_down = true;
    for queue in &topology.queues[..made.queue_count] {
        let deleted = control.delete_queue(queue, only_if_empty, deadline);
        match settle_deletion(control, deleted, only_if_empty, deadline) {
            Ok(is_settled) => is_taken_down &= is_settled,
            Err(_) => return false,
        }
    }
    if let Some(exchange) =
        topology.exchange.as_ref().filter(|exchange| made.has_exchange && exchange.is_own())
    {
        let deleted = control.delete_exchange(&exchange.name, deadline);
        is_taken_down &= settle_deletion(control, deleted, false, deadline).unwrap_or(false);
    }
    is_taken_down
}

/// Whether what was to be deleted is out of the way. After a refusal the channel is opened again, so that the next can
/// be deleted; an error is one with which nothing more can.
fn settle_deletion(
    control: &mut Connection,
    deleted: Result<(), PerfError>,
    only_if_empty: bool,
    deadline: Nanos,
) -> Result<bool, PerfError> {
    match deleted {
        Ok(()) => Ok(true),
        Err(PerfError::ChannelClosed(refusal)) => {
            control.reopen_channel(deadline)?;
            Ok(is_out_of_the_way(&refusal, only_if_empty))
        }
        Err(error) => Err(error),
    }
}

/// What is gone already is as good as deleted, and so is a queue that was to be deleted only if empty, and has
/// another's messages.
fn is_out_of_the_way(refusal: &Close, only_if_empty: bool) -> bool {
    match refusal.reply_code {
        NOT_FOUND => true,
        PRECONDITION_FAILED => only_if_empty,
        _ => false,
    }
}

fn declare(control: &mut Connection, load: &Load, made: &mut Made, deadline: Nanos) -> Result<(), PerfError> {
    let topology = &load.topology;
    if topology.is_predeclared {
        return Ok(());
    }
    if let Some(exchange) = topology.exchange.as_ref().filter(|exchange| !exchange.is_builtin()) {
        control.declare_exchange(exchange, topology.is_durable, deadline)?;
        made.has_exchange = true;
    }
    for queue in &topology.queues {
        let declare = QueueDeclare {
            queue,
            is_durable: topology.is_durable,
            is_auto_delete: topology.is_auto_delete,
            arguments: &topology.arguments,
        };
        let found = control.declare_queue(declare, deadline)?;
        if load.sides() == 2 && (found.message_count > 0 || found.consumer_count > 0) {
            return Err(PerfError::QueueInUse {
                queue: queue.clone(),
                message_count: found.message_count,
                consumer_count: found.consumer_count,
            });
        }
        made.queue_count += 1;
        if topology.binds && topology.exchange.is_some() {
            control.bind_queue(queue, topology.exchange_name(), topology.binding_key(queue), deadline)?;
        }
    }
    for number in 0..topology.spare_bindings {
        let key = format!("{OWN_PREFIX}.spare.{number}");
        control.bind_queue(topology.queue(0), topology.exchange_name(), &key, deadline)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_gone_or_protected_is_out_of_the_way() {
        let is_out = |reply_code, only_if_empty| {
            is_out_of_the_way(&Close { reply_code, reply_text: String::new() }, only_if_empty)
        };
        assert!(is_out(404, false) && is_out(406, true));
        assert!(!is_out(406, false) && !is_out(403, true) && !is_out(405, true));
    }
}
