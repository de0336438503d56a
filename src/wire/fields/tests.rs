use super::*;
use proptest::prelude::*;

/// One of each kind of field.
fn write(out: &mut FieldWriter, text: Option<&str>, blob: &[u8], numbers: &[i32], tag: Option<i64>) {
    out.string("a", text.unwrap_or_default());
    out.nullable_string("b", text);
    out.bytes("c", blob);
    out.array("d", numbers, |out, number| {
        out.int32(*number);
        out.no_tagged_fields();
    });
    out.nullable_array("e", text.map(|_| numbers), |out, number| out.varlong((*number).into()));
    out.uuid(Uuid::from_u128(7));
    out.tagged_fields(|tags| {
        tags.field(1, |out| out.raw(blob));
        if let Some(value) = tag {
            tags.field(3, |out| out.int64(value));
        }
    });
}

/// Text, text or null, bytes, numbers, numbers or null, the tag.
type All = (String, Option<String>, Bytes, Vec<i32>, Option<Vec<i64>>, Option<i64>);

fn read(bytes: &[u8], flexible: bool) -> Result<All, FieldError> {
    let mut from = FieldReader::new(bytes, flexible);
    let (a, b, c) = (from.string("a")?, from.nullable_string("b")?, from.bytes("c")?);
    let d = from.array("d", |from| {
        let number = from.int32("number");
        from.no_tagged_fields()?;
        number
    })?;
    let e = from.nullable_array("e", |from| from.varlong("number"))?;
    assert_eq!(from.uuid("id")?, Uuid::from_u128(7));
    let mut seen = None;
    from.tagged_fields(|tag, from| {
        if tag == 3 {
            seen = Some(from.int64("tag")?);
        }
        Ok(tag == 3)
    })?;
    Ok((a, b, c, d, e, seen))
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        text in proptest::option::of(".{0,20}"),
        blob in proptest::collection::vec(any::<u8>(), 0..200),
        numbers in proptest::collection::vec(any::<i32>(), 0..9),
        tag in any::<Option<i64>>(),
        flexible in any::<bool>(),
    ) {
        let mut out = FieldWriter::new(flexible);
        write(&mut out, text.as_deref(), &blob, &numbers, tag);
        let bytes = out.finish().unwrap();
        let wide = text.as_ref().map(|_| numbers.iter().map(|&number| number.into()).collect());
        let expected = (text.clone().unwrap_or_default(), text, Bytes::from(blob), numbers, wide, tag.filter(|_| flexible));
        prop_assert_eq!(read(&bytes, flexible), Ok(expected));
        for end in 0..bytes.len() {
            prop_assert!(read(&bytes[..end], flexible).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), flexible in any::<bool>()) {
        drop(read(&bytes, flexible));
    }

    #[test]
    fn variable_length_integers(value in any::<i64>(), small in any::<i32>(), bits in any::<u32>()) {
        let mut out = FieldWriter::new(true);
        out.varlong(value);
        out.varlong(small.into());
        out.unsigned_varint(bits);
        let bytes = out.finish().unwrap();
        let mut from = FieldReader::new(&bytes, true);
        prop_assert_eq!((from.varlong("v"), from.varint("v"), from.unsigned_varint("v")), (Ok(value), Ok(small), Ok(bits)));
        prop_assert!(from.rest().is_empty());
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let flexible = |bytes: &'static [u8]| FieldReader::new(bytes, true);
    let plain = |bytes: &'static [u8]| FieldReader::new(bytes, false);
    let length = |length| FieldError::Length { field: "f", length };
    assert_eq!(plain(&[0, 3, b'a', b'b']).string("f"), Err(length(3)));
    assert_eq!(plain(&[0xff, 0xff]).string("f"), Err(FieldError::Null("f")));
    assert_eq!(plain(&[0x80, 0]).nullable_string("f"), Ok(None));
    assert_eq!(flexible(&[0]).string("f"), Err(FieldError::Null("f")));
    assert_eq!(flexible(&[3, b'a', 0xff]).string("f"), Ok("a\u{fffd}".to_owned()));
    assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x1f, 0]).string("f"), Err(FieldError::Varint("f")));
    assert_eq!(flexible(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]).string("f"), Err(FieldError::Varint("f")));
    assert_eq!(plain(&[0, 0, 0, 2, 9]).bytes("f"), Err(length(2)));
    assert_eq!(plain(&[0x7f, 0xff, 0xff, 0xff]).array("f", |from| from.int8("i")), Err(length(0x7fff_ffff)));
    assert_eq!(plain(&[0, 0, 0, 1, 9]).array("f", |from| from.int32("i")), Err(FieldError::Truncated("i")));
    assert_eq!(plain(&[0xff; 4]).array("f", |from| from.int8("i")), Err(FieldError::Null("f")));

    let mut long = FieldWriter::new(true);
    long.unsigned_varint(MAX_STRING as u32 + 2);
    long.raw(&[b'x'; MAX_STRING + 1]);
    let long = long.finish().unwrap();
    assert_eq!(FieldReader::new(&long, true).string("f"), Err(length(MAX_STRING as i64 + 1)));
}

#[test]
fn a_known_tag_must_be_of_its_size() {
    let known = |tag: u32, from: &mut FieldReader| Ok(tag == 5 && from.int8("five").is_ok());
    let read = |bytes: &'static [u8]| FieldReader::new(bytes, true).tagged_fields(known);
    assert_eq!(read(&[1, 5, 1, 77]), Ok(()));
    assert_eq!(read(&[1, 5, 2, 77, 78]), Err(FieldError::TaggedSize(5)));
    assert_eq!(read(&[2, 5, 1, 77, 6, 2, 1, 2]), Ok(()));
    assert_eq!(read(&[2, 5, 1, 77, 6, 3, 1, 2]), Err(FieldError::Truncated("the tagged fields")));
    assert_eq!(FieldReader::new(&[], false).tagged_fields(known), Ok(()));
}

#[test]
fn what_does_not_fit_its_length_is_not_written() {
    for flexible in [false, true] {
        let fits = "x".repeat(MAX_STRING);
        let mut out = FieldWriter::new(flexible);
        out.string("f", &fits);
        let bytes = out.finish().unwrap();
        assert_eq!(FieldReader::new(&bytes, flexible).string("f"), Ok(fits.clone()));

        let mut out = FieldWriter::new(flexible);
        out.string("f", &format!("{fits}x"));
        out.string("g", "fine");
        assert_eq!(out.finish(), Err(FieldError::Length { field: "f", length: MAX_STRING as i64 + 1 }));
    }
    let mut out = FieldWriter::new(true);
    out.tagged_fields(|tags| tags.field(0, |out| out.string("inner", &"x".repeat(MAX_STRING + 1))));
    assert!(out.finish().is_err());
}
