//! A client of the broker's own, inside its process: it speaks to a [`Connection`] in frames, as a client behind a
//! socket does, and so by the same rules. It waits for the disk as a socket's task does.

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};

use super::{
    bell::Bell,
    listener::wall_clock,
    socket::{Stored, now, with_arena},
};
use crate::{
    connection::{
        Connection, Event, Flow,
        exception::Exception,
        registry::{ConnectionInfo, Node},
        settle::resume,
    },
    limits::FRAME_MAX,
    model::name::Name,
    vhost::{Vhost, buffer::Buffer, outbox::Outbox, ticket::Ticket},
    wire::{
        content::parse_content_header,
        encode::{encode_content_header, write_body, write_header, write_method, write_publish},
        frame::{ChannelNumber, FrameKind, parse_frame},
        method::{GetOk, Method, MethodId, method_id, parse_method},
    },
};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection};

/// One channel on a connection of its own. When it is dropped, what it got and did not settle goes back.
pub struct DirectClient {
    connection: Connection,
    outbox: Arc<Outbox>,
    bell: Arc<Bell>,
    /// Frames for the connection, which has taken the first `taken` bytes.
    input: Vec<u8>,
    taken: usize,
    /// The connection takes nothing more until something happens.
    is_stuck: bool,
    /// Frames from the connection, of which the first `read` bytes were looked at.
    output: Vec<u8>,
    read: usize,
    /// What has to be durable before the connection takes more.
    stored: Option<Stored>,
    is_ended: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectError {
    /// An exception closed the channel or the connection.
    Refused {
        /// As in AMQP.
        code: u16,
        /// Begins with the code's name.
        text: String,
    },
    /// An alarm is on: nothing was published.
    Blocked,
    /// The broker is stopping.
    Ended,
}

/// What became of a message. All but the last are safe: on stable storage, if it is persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Some queue has it.
    Routed,
    /// No queue wants it.
    Unroutable,
    /// A queue refused it, or it could not be stored.
    Refused,
}

/// A message with what its `basic.get-ok` says.
#[derive(Debug)]
pub struct Got {
    method: Vec<u8>,
    /// The content header.
    pub header: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

const CONTROL: ChannelNumber = ChannelNumber(0);
const CHANNEL: ChannelNumber = ChannelNumber(1);

/// A method of the broker's, with its content if it has any.
#[derive(Debug, Default)]
struct Reply {
    method: Vec<u8>,
    header: Vec<u8>,
    body: Vec<u8>,
}

impl DirectClient {
    /// Opens a connection for a user who has logged in, or for nobody, who may do everything.
    ///
    /// `ends` are the peer's address and ours: the log has them.
    pub async fn open(
        node: &Arc<Node>,
        ends: (SocketAddr, SocketAddr),
        (user, vhost): (Option<&Name>, &Arc<Vhost>),
    ) -> Result<Self, DirectError> {
        let bell = Arc::new(Bell::default());
        let outbox = Arc::new(Outbox::new(Arc::<Bell>::clone(&bell)));
        let id = node.broker.next_connection_id();
        let info = Arc::new(ConnectionInfo::new(id, ends, wall_clock(), Arc::clone(&outbox)));
        let who = (user.cloned(), Arc::clone(vhost));
        let connection = Connection::direct(Arc::clone(node), info, who, now())?;
        let mut client = Self {
            connection,
            outbox,
            bell,
            input: Vec::new(),
            taken: 0,
            is_stuck: false,
            output: Vec::new(),
            read: 0,
            stored: None,
            is_ended: false,
        };
        client.call(AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))).await?;
        Ok(client)
    }

    /// Publishes a message and waits until it is safe.
    pub async fn publish(
        &mut self,
        exchange: &str,
        routing_key: &str,
        (properties, body): (&BasicProperties, &[u8]),
    ) -> Result<Outcome, DirectError> {
        self.call(AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }))).await?;
        write_publish(&mut self.input, CHANNEL, exchange, routing_key, true, false);
        let header = encode_content_header(body.len() as u64, properties);
        write_header(&mut self.input, CHANNEL, &header);
        write_body(&mut self.input, CHANNEL, body, FRAME_MAX);
        let mut outcome = Outcome::Routed;
        loop {
            match method_id(&self.reply().await?.method) {
                Some(MethodId::RETURN) => outcome = Outcome::Unroutable,
                Some(MethodId::ACK) => return Ok(outcome),
                Some(MethodId::NACK) => return Ok(Outcome::Refused),
                _ => {}
            }
        }
    }

    /// Declares a queue that is neither durable nor exclusive, unless it is there.
    pub async fn declare_queue(&mut self, queue: &str) -> Result<(), DirectError> {
        use amq_protocol::protocol::queue::{AMQPMethod, Declare};
        let declare = Declare { queue: queue.into(), ..Declare::default() };
        self.call(AMQPClass::Queue(AMQPMethod::Declare(declare))).await.map(|_| ())
    }

    /// Asks for the next message of a queue.
    pub async fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Got>, DirectError> {
        let get = basic::Get { queue: queue.into(), no_ack };
        let Reply { method, header, body } = self.call(AMQPClass::Basic(basic::AMQPMethod::Get(get))).await?;
        Ok(GetOk::parse(&method).is_some().then_some(Got { method, header, body }))
    }

    /// Rejects what was got up to this delivery.
    pub fn reject_up_to(&mut self, delivery_tag: u64, requeue: bool) {
        let nack = basic::Nack { delivery_tag, multiple: true, requeue };
        write_method(&mut self.input, CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
    }

    /// Closes the connection in order: what was settled before is durable then, and the rest is back in its queue.
    pub async fn close(mut self) -> Result<(), DirectError> {
        let close = connection::Close { reply_code: 200, ..connection::Close::default() };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        write_method(&mut self.input, CONTROL, &close);
        self.reply().await.map(|_| ())
    }

    async fn call(&mut self, method: AMQPClass) -> Result<Reply, DirectError> {
        write_method(&mut self.input, CHANNEL, &method);
        self.reply().await
    }

    /// The next method with its content.
    async fn reply(&mut self) -> Result<Reply, DirectError> {
        let mut reply = Reply { method: self.frame().await?.1, ..Reply::default() };
        if let Some(exception) = exception(&reply.method) {
            return Err(exception);
        }
        if !matches!(method_id(&reply.method), Some(MethodId::GET_OK | MethodId::RETURN)) {
            return Ok(reply);
        }
        reply.header = self.frame().await?.1;
        let size = parse_content_header(&reply.header).map_or(0, |header| header.body_size);
        while (reply.body.len() as u64) < size {
            let (FrameKind::Body, piece) = self.frame().await? else { return Err(DirectError::Ended) };
            reply.body.extend_from_slice(&piece);
        }
        Ok(reply)
    }

    /// The payload of the next frame.
    async fn frame(&mut self) -> Result<(FrameKind, Vec<u8>), DirectError> {
        loop {
            match parse_frame(&self.output[self.read..], FRAME_MAX) {
                Ok(Some((frame, size))) => {
                    self.read += size;
                    return Ok((frame.kind, frame.payload.to_vec()));
                }
                Ok(None) if self.is_ended => return Err(DirectError::Ended),
                Ok(None) => self.turn().await?,
                Err(_) => return Err(DirectError::Ended),
            }
        }
    }

    /// Gives the connection what it has not taken yet, or waits for what it waits for.
    async fn turn(&mut self) -> Result<(), DirectError> {
        self.output.drain(..std::mem::take(&mut self.read));
        if self.stored.is_some() || self.is_stuck || self.taken == self.input.len() {
            let event = self.wait().await;
            self.is_stuck = false;
            self.apply(event);
            return Ok(());
        }
        let input = std::mem::take(&mut self.input);
        let consumed = self.apply(Event::Read(&input[self.taken..]));
        self.input = input;
        self.taken += consumed;
        if self.taken == self.input.len() {
            (self.input, self.taken) = (Vec::new(), 0);
        } else if consumed == 0 && self.connection.is_blocked() {
            return Err(DirectError::Blocked);
        }
        self.is_stuck = consumed == 0;
        Ok(())
    }

    async fn wait(&mut self) -> Event<'static> {
        let stored = &mut self.stored;
        let durable = poll_fn(|context| match stored {
            Some(stored) => stored.as_mut().poll(context),
            None => Poll::Pending,
        });
        tokio::select! {
            result = durable => {
                self.stored = None;
                Event::Stored(result)
            }
            () = self.bell.rung() => Event::Woken,
        }
    }

    /// Lets the connection decide, and takes what it says. Gives how many bytes it took.
    fn apply(&mut self, event: Event<'_>) -> usize {
        self.outbox.attend();
        let applied = with_arena(|arena| self.connection.apply(event, now(), arena));
        match applied.flow {
            Flow::Continue | Flow::Hold => {}
            Flow::Wait(ticket) => self.stored = Some(Box::pin(Ticket::durable(ticket))),
            Flow::End => self.is_ended = true,
        }
        self.receive();
        applied.consumed
    }

    fn receive(&mut self) {
        let mut buffer = Buffer::default();
        loop {
            self.outbox.swap(&mut buffer);
            if buffer.is_empty() {
                return;
            }
            let cost = buffer.cost();
            loop {
                let before = self.output.len();
                buffer.slices().iter().for_each(|slice| self.output.extend_from_slice(slice));
                if buffer.advance(self.output.len() - before) {
                    break;
                }
            }
            resume(self.outbox.sent(cost));
        }
    }
}

impl Got {
    /// What `basic.get-ok` says.
    #[must_use]
    pub fn get_ok(&self) -> Option<GetOk<'_>> {
        GetOk::parse(&self.method)
    }
}

impl fmt::Debug for DirectClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectClient").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl From<Exception> for DirectError {
    fn from(exception: Exception) -> Self {
        Self::Refused { code: exception.code as u16, text: exception.reply_text() }
    }
}

/// The exception that a close tells of.
fn exception(payload: &[u8]) -> Option<DirectError> {
    let (_, Method::Cold(class)) = parse_method(payload).ok()? else { return None };
    let (code, text) = match *class {
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => (close.reply_code, close.reply_text),
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => (close.reply_code, close.reply_text),
        _ => return None,
    };
    Some(DirectError::Refused { code, text: text.to_string() })
}
