//! Every bound of the protocol that the `h2` crate holds for us, with its reason. Its own defaults are meant for clients
//! and friends.

use std::time::Duration;

use h2::server::Builder;

use crate::site::Site;

/// Streams that a client may have open at once (RFC 9113 §6.5.2 advises no less than 100), and requests of one connection
/// that are answered at once, also where their streams were reset meanwhile.
pub(super) const STREAMS: usize = 100;
/// What of a body may be on its way while nobody reads it, of a stream and of all together, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What small DATA frames that nobody has read may cost beside their payload, at 256 bytes a frame: a thousand of them.
const FRAMES_UNREAD: usize = 256 * 1024;
/// What the crate keeps of an answer beyond what the client's windows have room for.
const SEND_BUFFER: usize = 64 * 1024;
/// The smallest that the protocol knows, and no client needs more.
const FRAME: u32 = 16 * 1024;
/// Least room for the list of fields, counted with 32 bytes for each (RFC 9113 §6.5.2). Our own bounds are narrower and
/// answer with a page; this one keeps a compressed bomb from being unpacked (CVE-2016-6581).
const HEADER_LIST: usize = 32 * 1024;
/// The dynamic table that the client's encoder may use (RFC 7541 §4.2).
const TABLE: u32 = 4 * 1024;
/// Streams reset by the client before we even took them (CVE-2023-44487).
const RESET_BEFORE_ACCEPT: usize = 20;
/// Streams that we reset whose late frames are still forgiven, and for how long.
const RESET_REMEMBERED: usize = 50;
const RESET_MEMORY: Duration = Duration::from_secs(5);
/// Streams that we had to reset for mistakes of the client (CVE-2025-8671), beyond which the crate itself ends the
/// connection. `patience` does so before, and forgives with time.
const RESET_BY_US: usize = 1024;

/// What a connection for `site` begins with.
pub(super) fn of(site: &Site) -> Builder {
    let list = HEADER_LIST.max(2 * site.limits.head + 32 * site.limits.fields);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(u32::try_from(STREAMS).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(FRAMES_UNREAD)
        .max_send_buffer_size(SEND_BUFFER)
        .max_frame_size(FRAME)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .header_table_size(TABLE)
        .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPT)
        .max_concurrent_reset_streams(RESET_REMEMBERED)
        .reset_stream_duration(RESET_MEMORY)
        .max_local_error_reset_streams(Some(RESET_BY_US));
    builder
}
