//! Octets and values of every format, in both directions.

mod coop;
mod gdoi;
mod isakmp;
mod lkh;
mod packet;
mod private;
mod round_trip;

use std::fmt::Debug;

use crate::isakmp::{Builder, Payload};

/// Octets from hexadecimal text with blanks and bars in it.
fn octets(text: &str) -> Vec<u8> {
    hex::decode(text.replace([' ', '|', '\n'], "")).unwrap()
}

/// The body decodes to the value and the value encodes to the body.
#[track_caller]
fn both_ways<'a, P: Payload<'a> + PartialEq + Debug>(body: &'a [u8], value: &P) {
    assert_eq!(&P::decode(body).unwrap(), value);
    let mut builder = Builder::new();
    let place = builder.push(value);
    let built = builder.finish().unwrap();
    assert_eq!(hex::encode(built.body(place)), hex::encode(body));
}
