//! Every limit of the broker, with its name and unit. Checked before memory is taken.
//!
//! Defaults follow RabbitMQ's (<https://www.rabbitmq.com/docs/configure>) unless a comment says why not.

use std::time::Duration;

/// From accept to `connection.open-ok`, absolute: a peer that drips bytes gains nothing.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A failed login without the `authentication_failure_close` capability is closed after this pause.
pub const SILENT_CLOSE_DELAY: Duration = Duration::from_secs(3);
/// How long a connection that sent `connection.close` waits for `close-ok`.
pub const CLOSING_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest frame before `tune-ok`, bytes.
pub const FRAME_MAX_INITIAL: u32 = 8_192;
/// Smallest frame_max a client may ask for (AMQP 0-9-1 section 1.1 `frame-min-size`), bytes.
pub const FRAME_MIN: u32 = 4_096;
/// frame_max offered in `connection.tune`, bytes.
pub const FRAME_MAX: u32 = 131_072;
/// The largest frame_max that an operator may choose, bytes.
pub const FRAME_MAX_CEILING: u32 = 1 << 20;
/// RabbitMQ tolerates a payload of frame_max itself: the 8 bytes of frame overhead do not count.
pub const FRAME_GRACE: u32 = 8;
/// channel_max offered in `connection.tune`.
pub const CHANNEL_MAX: u16 = 2_047;
/// Heartbeat interval offered in `connection.tune`, seconds.
pub const HEARTBEAT_SECS: u16 = 60;
/// Largest message body, bytes (RabbitMQ 3.13's default), refused at the content header.
pub const MESSAGE_SIZE_MAX: u64 = 134_217_728;
/// A declared body size above this is a framing error, not a large message, bytes.
pub const BODY_SIZE_CEILING: u64 = 536_870_912;
/// Deepest nesting of tables and arrays in a field table.
pub const TABLE_DEPTH_MAX: usize = 32;
/// Longest name (a short string), bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Consumers on one channel.
pub const CONSUMERS_PER_CHANNEL_MAX: usize = 10_000;
/// How long a delivery may be unsettled, where its queue does not say otherwise.
pub const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The longest time between two looks whether one has been unsettled for too long.
pub const CONSUMER_LOOK_MAX: Duration = Duration::from_secs(60);
/// The shortest.
pub const CONSUMER_LOOK_MIN: Duration = Duration::from_millis(100);
/// Unsent bytes a connection may gather before its consumers count as having no credit.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Replies to a connection that has more than this unsent are dropped (direct reply-to), bytes. RabbitMQ has no limit.
pub const REPLIES_BYTES_MAX: usize = 64 << 20;
/// What the ready messages of one queue may take in memory before those in the middle are left on disk, bytes.
pub const QUEUE_MEMORY_MAX: usize = 24 << 20;
/// So much of its next messages stays in memory then, bytes.
pub const QUEUE_HEAD_BYTES: usize = 1 << 20;
/// What the ready messages of all queues may take in memory before a queue keeps only its share, bytes.
pub const READY_MEMORY_MAX: usize = 256 << 20;
/// A queue's share then, bytes.
pub const QUEUE_MEMORY_SHARE: usize = 2 << 20;
/// So much is brought back from disk at once, bytes.
pub const PAGE_BYTES: usize = 1 << 20;
/// Messages that a transaction may hold until it is committed: that bounds how long a commit keeps its queues
/// locked. RabbitMQ has no limit.
pub const TRANSACTION_MESSAGES_MAX: u64 = 100_000;
/// What the messages of a transaction may take, and [`TRANSACTION_PLACE_BYTES`] for each queue that one goes to:
/// that bounds its memory, and its record in the log. The first message fits whatever its size. RabbitMQ has no
/// limit.
pub const TRANSACTION_BYTES_MAX: usize = 128 << 20;
/// What a place in a queue counts for in a transaction, bytes.
pub const TRANSACTION_PLACE_BYTES: usize = 16;
/// Longest permission pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Steps back of one search for a pattern with look-around or back-references; then a name does not match.
pub const PATTERN_BACKTRACKS_MAX: usize = 10_000;
/// File descriptors that AMQP connections leave to the message log and the management API, unless that were more than
/// half of all.
pub const FILES_RESERVED: usize = 96 + 3 * HTTP_CONNECTIONS_MAX;
/// Tags of one user.
pub const USER_TAGS_MAX: usize = 32;
/// After so many objects of an answer to an HTTP request others get their turn.
pub const HTTP_TURN: usize = 64;
/// Threads that answer HTTP requests.
pub const HTTP_THREADS: usize = 1;
/// Connections to each of the doors of the management API: its port, Prometheus' port, the control socket.
pub const HTTP_CONNECTIONS_MAX: usize = 96;
/// How long a peer may take to send the head of an HTTP request, absolute; also how long it may say nothing.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Head of one HTTP request, bytes.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 << 10;
/// How long the body of one HTTP request may take to arrive, absolute.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a peer may take nothing of an answer to an HTTP request that waits for it.
pub const HTTP_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes a second that a peer takes at least of an answer for which it makes us wait; who takes less is left after
/// [`HTTP_WRITE_TIMEOUT`] of waiting that this rate does not explain.
pub const HTTP_WRITE_RATE_MIN: u64 = 64 << 10;
/// Large answers to HTTP requests at each door that are made, or wait to be taken by their readers, at the same time.
pub const HTTP_LARGE_ANSWERS: usize = 2;
/// Answers from this size on are large, bytes. Smaller ones of all connections together take a few megabytes.
pub const HTTP_LARGE_BYTES: usize = 256 << 10;
/// How long an HTTP request waits until there is room for its large answer: a reader that takes nothing has gone by then.
pub const HTTP_PLACE_TIMEOUT: Duration = Duration::from_secs(35);
/// How long the threads of AMQP connections may take to do nothing at all, for a health check that passes.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Body of one HTTP request that carries a message, bytes.
pub const HTTP_BODY_MAX: usize = 10 << 20;
/// Body of any other HTTP request but for definitions, bytes.
pub const HTTP_FIELDS_MAX: usize = 256 << 10;
/// Body of a request with definitions, from an administrator, bytes.
pub const DEFINITIONS_BODY_MAX: usize = 64 << 20;
/// Body of a form with name and password, bytes.
pub const HTTP_FORM_MAX: usize = 4 << 10;
/// What the messages of one answer to a request for messages may take, bytes: one more message is in it at most.
/// RabbitMQ has no limit.
pub const HTTP_GET_BYTES_MAX: usize = 32 << 20;
/// Where Prometheus looks for RabbitMQ's metrics.
pub const PROMETHEUS_PORT: u16 = 15_692;
/// So often it is looked what happened, for rates.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// At one of so many looks it is also measured what the node uses.
pub const USE_LOOKS: u32 = 5;
/// Samples of each kind that one request may ask for.
pub const SAMPLES_MAX: u64 = 500;
/// Samples of each number that all objects of one listing may have together.
pub const SAMPLES_PER_LISTING_MAX: u64 = 10_000;
/// Answers of one connection that may wait for the disk: so many declares and binds may share its commits.
pub const DEFERRED_MAX: usize = 1_024;
/// Messages of one run of a dispatch: so many are handed out before the first of them is written. Runs
/// follow each other under the queue's lock until nothing is ready or no consumer has credit and room: what
/// bounds a dispatch is the room of the consumers' outboxes ([`OUTBOX_BYTES_MAX`] each).
pub const DISPATCH_RUN_MAX: usize = 256;
/// Less free space than this where the data directory is sets the disk alarm: RabbitMQ's 50 MB, and the three files
/// that the message log may begin before anybody looks, bytes.
pub const DISK_FREE_LIMIT: u64 = 50_000_000 + 3 * (16 << 20);
/// How fast disk and memory may fill, bytes per second: so often is looked.
pub const RESOURCE_FILL_RATE: u64 = 1 << 30;
/// The shortest time between two looks at disk and memory.
pub const RESOURCE_LOOK_MIN: Duration = Duration::from_millis(100);
/// The longest time between two looks at the disk.
pub const RESOURCE_LOOK_MAX: Duration = Duration::from_secs(10);
/// The longest time between two looks at memory, or while an alarm is on.
pub const MEMORY_LOOK_MAX: Duration = Duration::from_secs(1);

/// The longest time between two looks whether a queue or a message expires: the time of day may be set meanwhile.
pub const TIMER_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How many messages a mark in the log covers that says what may have been handed out: so many of a queue may be
/// flagged redelivered after a crash that nobody has seen.
pub const MARK_AHEAD: u64 = 1_024;
/// The same while a backlog is drained faster than the disk syncs.
pub const MARK_AHEAD_MAX: u64 = 8 * MARK_AHEAD;

/// Lines of the log that are kept in memory for whoever asks for them.
pub const LOG_LINES_MAX: usize = 2_000;
/// A line of the log that is kept, bytes.
pub const LOG_LINE_MAX: usize = 4_096;

/// What one node may have; an operator chooses at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Open connections.
    pub connection_max: Option<usize>,
    /// [`CHANNEL_MAX`] or less.
    pub channel_max: u16,
    /// Open channels of all connections.
    pub channel_max_per_node: Option<usize>,
    /// Queues in all vhosts.
    pub queue_max: Option<usize>,
    /// Exchanges in all vhosts, the broker's own included.
    pub exchange_max: Option<usize>,
    /// Vhosts.
    pub vhost_max: Option<usize>,
    /// [`CONSUMERS_PER_CHANNEL_MAX`].
    pub consumers_per_channel_max: usize,
    /// [`MESSAGE_SIZE_MAX`].
    pub message_size_max: u64,
    /// [`FRAME_MAX`].
    pub frame_max: u32,
    /// [`HEARTBEAT_SECS`].
    pub heartbeat_secs: u16,
    /// [`HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// [`CONSUMER_TIMEOUT`], or none.
    pub consumer_timeout: Option<Duration>,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            connection_max: None,
            channel_max: CHANNEL_MAX,
            channel_max_per_node: None,
            queue_max: None,
            exchange_max: None,
            vhost_max: None,
            consumers_per_channel_max: CONSUMERS_PER_CHANNEL_MAX,
            message_size_max: MESSAGE_SIZE_MAX,
            frame_max: FRAME_MAX,
            heartbeat_secs: HEARTBEAT_SECS,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            consumer_timeout: Some(CONSUMER_TIMEOUT),
        }
    }
}

/// How a queue uses memory and the log. Tests make it small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// [`QUEUE_MEMORY_MAX`].
    pub memory_max: usize,
    /// [`QUEUE_HEAD_BYTES`].
    pub head_bytes: usize,
    /// [`PAGE_BYTES`].
    pub page_bytes: usize,
    /// [`MARK_AHEAD`].
    pub mark_ahead: u64,
    /// [`MARK_AHEAD_MAX`].
    pub mark_ahead_max: u64,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            memory_max: QUEUE_MEMORY_MAX,
            head_bytes: QUEUE_HEAD_BYTES,
            page_bytes: PAGE_BYTES,
            mark_ahead: MARK_AHEAD,
            mark_ahead_max: MARK_AHEAD_MAX,
        }
    }
}
