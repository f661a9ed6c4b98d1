//! TCP (RFC 9293): the demultiplexer and the table of connections, their opens and ends, and their flows.
//! What happens inside one is [`connection`].

pub(crate) mod active_open;
pub(crate) mod connection;
pub(crate) mod connector;
pub(crate) mod context;
pub(crate) mod demux;
pub(crate) mod flow;
pub(crate) mod isn;
pub(crate) mod listener;
pub(crate) mod passive_open;
pub(crate) mod rate_limit;
pub(crate) mod syn_queue;
pub(crate) mod table;
pub(crate) mod time_wait;
