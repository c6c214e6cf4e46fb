//! The other end of a connection, for asking a server of one's own how it is.
