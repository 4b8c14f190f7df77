//! `get`: takes what is waiting (`basic.get`), or only looks at it.

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};

use crate::broker::Broker;
use crate::cli::{Get, Shared};
use crate::exit::{Code, Failure, Interruption};
use crate::explain::explain;
use crate::output::Output;
use crate::stop::{Signals, Stop};

/// Takes up to `options.count` messages.
pub async fn get(options: Get, signals: Signals) -> Result<Code, Failure> {
    let stop = Stop::default();
    let outcome = stop.run(signals, options.shared.grace, run(&options, &stop)).await;
    outcome.unwrap_or_else(|| Err(Failure::new(Code::Unavailable, "the broker did not answer in time")))
}

async fn run(options: &Get, stop: &Stop) -> Result<Code, Failure> {
    let Shared { address, patience, status, .. } = options.shared.clone();
    let mut broker = Broker::new(address.clone(), patience, status);
    let link = tokio::select! {
        biased;
        () = stop.asked() => return Ok(Code::Ok),
        link = broker.connect() => link?,
    };
    let taken = async {
        let taken = take(options, stop, &link.channel).await?;
        link.close().await?;
        Ok(taken)
    };
    match taken.await {
        Ok(0) if !stop.is_asked() => {
            Err(Failure::new(Code::NoInput, format!("queue '{}' is empty", options.queue)))
        }
        Ok(_) => Ok(Code::Ok),
        Err(Interruption::Failure(failure)) => Err(failure),
        Err(Interruption::Broker(error)) => Err(explain(&error, &address)),
    }
}

/// How many there were.
async fn take(options: &Get, stop: &Stop, channel: &Channel) -> Result<u64, Interruption> {
    let mut output = Output::new(options.form);
    let (mut taken, mut held) = (0, None);
    while taken < options.count && !stop.is_asked() {
        let Some(message) = channel.basic_get(options.queue.clone(), BasicGetOptions::default()).await?
        else {
            break;
        };
        output.write(&message.delivery)?;
        taken += 1;
        if options.requeues {
            // Given back at once, it would be the next one again.
            held = Some(message.delivery);
        } else {
            message.delivery.ack(BasicAckOptions::default()).await?;
        }
    }
    if let Some(last) = held {
        last.nack(BasicNackOptions { multiple: true, requeue: true }).await?;
    }
    Ok(taken)
}
