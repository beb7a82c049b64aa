//! What is wrong with a stream of requests or replies.

/// What is wrong with a stream of requests or replies. The stream cannot be read any further.
///
/// For requests, the text is what Redis says after `-ERR ` before it closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is not a number, or larger than allowed.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The length of an argument is not a number, or larger than allowed, or not the argument's.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// Something else stands where an argument should begin.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// The number of arguments does not end.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkHeaderTooLong,
    /// The length of an argument does not end.
    #[error("Protocol error: too big bulk count string")]
    BulkHeaderTooLong,
    /// An inline command does not end.
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// A quoted argument of an inline command does not end, or does not end at a space.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// All arguments together are larger than allowed. (Redis closes the connection without a word.)
    #[error("Protocol error: request larger than {max} bytes")]
    RequestTooLarge {
        /// How large all arguments may be together, in bytes.
        max: usize,
    },
    /// More arguments than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// A longer argument than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// A server's reply is not of the protocol, or larger than the reader allows.
    #[error("the server's reply cannot be read: {0}")]
    InvalidReply(&'static str),
}

/// The byte as a character, so that an error text has one line and no control characters.
fn printable(byte: u8) -> String {
    if byte.is_ascii_graphic() { char::from(byte).to_string() } else { byte.escape_ascii().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexpected_byte_is_named_on_one_line() {
        let text = |byte| ProtocolError::ExpectedBulk(byte).to_string();
        assert_eq!(text(b'x'), "Protocol error: expected '$', got 'x'");
        assert_eq!(text(b'\''), "Protocol error: expected '$', got '''");
        assert_eq!(text(b'\n'), "Protocol error: expected '$', got '\\n'");
        assert_eq!(text(0xff), "Protocol error: expected '$', got '\\xff'");
    }
}
