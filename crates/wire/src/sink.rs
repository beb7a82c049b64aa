//! Where encoders write.

use bytes::{Bytes, BytesMut};

/// A growing target of encoded bytes.
///
/// An [`crate::OutBuffer`] takes what goes to a socket or a log file; a `Vec<u8>` or a `BytesMut` takes what
/// must lie in one piece, such as a stored record.
pub trait Sink {
    /// Adds a copy of the bytes.
    fn put_slice(&mut self, bytes: &[u8]);

    /// Adds bytes that are shared already; a sink that can link them does not copy large ones.
    fn put_bytes(&mut self, bytes: &Bytes) {
        self.put_slice(bytes);
    }

    /// Adds one byte.
    fn put_u8(&mut self, byte: u8) {
        self.put_slice(&[byte]);
    }
}

impl Sink for Vec<u8> {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_u8(&mut self, byte: u8) {
        self.push(byte);
    }
}

impl Sink for BytesMut {
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
