//! How gRPC marks off messages within a body: a flag, a length, the message.
//! Pure: bytes in, bytes out.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before each message.
pub(super) const PREFIX: usize = 5;

/// What a body holds where one message belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unframed {
    /// That message.
    Message(Bytes),
    /// Nothing at all.
    Nothing,
    /// Something else: less than a message, more than one, or one that is
    /// compressed, although nobody said that it could be read then.
    Else,
}

/// A message, marked off. `length` is what it takes, and `write` writes it.
pub(super) fn framed(length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_bytes(0, PREFIX);
    write(&mut frame);
    let written = u32::try_from(frame.len() - PREFIX);
    // A payload of an item is a few megabytes at most.
    let written = written.expect("a message is less than 4 GiB");
    frame[1..PREFIX].copy_from_slice(&written.to_be_bytes());
    frame.freeze()
}

/// The one message of a body.
pub(super) fn unframed(body: &Bytes) -> Unframed {
    if body.is_empty() {
        return Unframed::Nothing;
    }
    match split(body.clone()) {
        Some((message, rest)) if rest.is_empty() => Unframed::Message(message),
        _ => Unframed::Else,
    }
}

/// All messages of a body; `None` where that is not what it holds.
pub(super) fn messages(mut body: Bytes) -> Option<Vec<Bytes>> {
    let mut all = Vec::new();
    while !body.is_empty() {
        let (message, rest) = split(body)?;
        all.push(message);
        body = rest;
    }
    Some(all)
}

/// The first message, as it is, and what comes after it.
fn split(mut body: Bytes) -> Option<(Bytes, Bytes)> {
    let prefix: [u8; PREFIX] = body.get(..PREFIX)?.try_into().ok()?;
    let [0, length @ ..] = prefix else {
        return None;
    };
    let end = PREFIX.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
    if body.len() < end {
        return None;
    }
    let rest = body.split_off(end);
    Some((body.slice(PREFIX..), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Bytes {
        framed(message.len(), |buffer| buffer.put_slice(message))
    }

    #[test]
    fn a_message_goes_in_and_comes_out() {
        assert_eq!(&frame(b"")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&frame(b"abc")[..], b"\0\0\0\0\x03abc");
        assert_eq!(frame(&vec![7; 70_000])[..PREFIX], [0, 0, 1, 0x11, 0x70]);
        for length in [0, 1, 255, 256, 70_000] {
            let message = vec![7; length];
            let unframed = unframed(&frame(&message));
            assert_eq!(unframed, Unframed::Message(message.into()), "{length}");
        }
    }

    #[test]
    fn what_is_not_one_message_is_none() {
        assert_eq!(unframed(&Bytes::new()), Unframed::Nothing);
        for body in [
            &b"\0"[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x01",
            b"\0\0\0\0\x04abc",
            b"\0\xff\xff\xff\xffabc",
            // Compressed, or with a flag that there is not.
            b"\x01\0\0\0\x03abc",
            b"\x02\0\0\0\x03abc",
            // Something follows.
            b"\0\0\0\0\x03abcd",
            b"\0\0\0\0\0\0\0\0\0\0",
            b"HTTP/1.1 200 OK",
        ] {
            let body = Bytes::from_static(body);
            assert_eq!(unframed(&body), Unframed::Else, "{body:?}");
        }
    }

    #[test]
    fn several_messages_come_out_in_order() {
        let body = [frame(b"one"), frame(b""), frame(b"three")].concat();
        let all = messages(body.clone().into()).expect("messages");
        assert_eq!(all, [&b"one"[..], b"", b"three"]);
        assert_eq!(messages(Bytes::new()), Some(Vec::new()));
        let cut = body[..body.len() - 1].to_vec();
        assert_eq!(messages(cut.into()), None);
    }
}
