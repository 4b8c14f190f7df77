//! Bytes to AMQP and back. Pure: no sockets, no files, no clock.
