//! One call of gRPC.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::header::{CONTENT_TYPE, HeaderName, TE};
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use super::protobuf::range_response_has_pair;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Where gRPC says how a call ended: `0` is success.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The largest answer that is read: of one key, far more than etcd stores under it.
const ANSWER_MAX: usize = 16 << 20;

/// The address of a method.
pub(super) fn method_uri(server: &str, method: &str) -> Result<Uri, http::Error> {
    Uri::builder()
        .scheme("http")
        .authority(server)
        .path_and_query(format!("/etcdserverpb.KV/{method}"))
        .build()
}

/// The head of a call.
pub(super) fn head(uri: Uri) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request
}

/// A message with its prefix.
pub(super) fn message(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = vec![0; PREFIX];
    write(&mut buffer);
    let length = u32::try_from(buffer.len() - PREFIX).expect("values are shorter than 4 GiB");
    buffer[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    buffer.into()
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Missing,
    /// The status that gRPC gave, in words.
    Error(String),
}

/// A call under way.
pub(super) struct Call {
    stage: Stage,
    is_read: bool,
    answer: Vec<u8>,
}

enum Stage {
    Head(ResponseFuture),
    Body { body: RecvStream, all_data: bool },
}

impl Call {
    pub(super) fn new(response: ResponseFuture, is_read: bool) -> Self {
        Self { stage: Stage::Head(response), is_read, answer: Vec::new() }
    }

    /// Goes on as far as what has arrived allows. Not to be called again once it was ready.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        loop {
            match &mut self.stage {
                Stage::Head(response) => {
                    let response = ready!(Pin::new(response).poll(context)).map_err(io::Error::other)?;
                    if response.status() != StatusCode::OK {
                        let text = format!("HTTP-{}", response.status().as_u16());
                        return Poll::Ready(Ok(Outcome::Error(text)));
                    }
                    // A call that fails at once has its status here, and nothing else.
                    if response.headers().contains_key(STATUS) {
                        return Poll::Ready(Ok(outcome(Some(response.headers()), self.is_read, &[])));
                    }
                    self.stage = Stage::Body { body: response.into_body(), all_data: false };
                }
                Stage::Body { body, all_data: false } => match ready!(body.poll_data(context)) {
                    Some(data) => {
                        let data = data.map_err(io::Error::other)?;
                        body.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
                        if self.answer.len() + data.len() > ANSWER_MAX {
                            return Poll::Ready(Err(io::Error::other("an answer is too long")));
                        }
                        self.answer.extend_from_slice(&data);
                    }
                    None => self.mark_all_data(),
                },
                Stage::Body { body, all_data: true } => {
                    let trailers = ready!(body.poll_trailers(context)).map_err(io::Error::other)?;
                    return Poll::Ready(Ok(outcome(trailers.as_ref(), self.is_read, &self.answer)));
                }
            }
        }
    }

    fn mark_all_data(&mut self) {
        if let Stage::Body { all_data, .. } = &mut self.stage {
            *all_data = true;
        }
    }
}

/// What a call came to, by the headers that hold its status and the message with its prefix.
fn outcome(status: Option<&HeaderMap>, is_read: bool, answer: &[u8]) -> Outcome {
    let error = |text: &str| Outcome::Error(text.to_owned());
    let Some(code) = status.and_then(|headers| headers.get(STATUS)) else { return error("NO-STATUS") };
    if code != "0" {
        return Outcome::Error(format!("GRPC-{}", String::from_utf8_lossy(code.as_bytes())));
    }
    let Some((prefix, message)) = answer.split_first_chunk::<PREFIX>() else { return error("NO-MESSAGE") };
    let [compressed, length @ ..] = prefix;
    if *compressed != 0 || u32::from_be_bytes(*length) as usize != message.len() {
        return error("DAMAGED-MESSAGE");
    }
    match is_read.then(|| range_response_has_pair(message)) {
        None | Some(Some(true)) => Outcome::Done,
        Some(Some(false)) => Outcome::Missing,
        Some(None) => error("DAMAGED-MESSAGE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(STATUS, HeaderValue::from_static(code))])
    }

    #[test]
    fn statuses_and_messages_are_judged() {
        let done = message(|_| {});
        assert_eq!(done[..], [0; PREFIX]);
        let with_count = message(|buffer| buffer.extend_from_slice(b"\x20\x01"));
        assert_eq!(with_count[..], *b"\x00\x00\x00\x00\x02\x20\x01");
        let ok = status("0");
        let judge = |is_read, answer: &[u8]| outcome(Some(&ok), is_read, answer);
        assert_eq!(judge(false, &done), Outcome::Done);
        assert_eq!(judge(true, &done), Outcome::Missing);
        assert_eq!(judge(true, &with_count), Outcome::Done);
        assert_eq!(judge(true, &with_count[..6]), Outcome::Error("DAMAGED-MESSAGE".into()));
        assert_eq!(judge(false, &[]), Outcome::Error("NO-MESSAGE".into()));
        assert_eq!(outcome(Some(&status("14")), true, &with_count), Outcome::Error("GRPC-14".into()));
        assert_eq!(outcome(Some(&HeaderMap::new()), false, &done), Outcome::Error("NO-STATUS".into()));
        assert_eq!(outcome(None, false, &done), Outcome::Error("NO-STATUS".into()));
    }

    #[test]
    fn methods_have_their_paths() {
        let uri = method_uri("127.0.0.1:2379", "Put").expect("valid");
        assert_eq!(uri.to_string(), "http://127.0.0.1:2379/etcdserverpb.KV/Put");
        assert_eq!(head(uri).headers()["te"], "trailers");
    }
}
