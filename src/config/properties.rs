//! The syntax of Java's `.properties` files: comments, separators, continuation lines, escapes
//! (`java.util.Properties.load`). Read as UTF-8, where Java reads Latin-1: an umlaut in a path means what it says.

use thiserror::Error;

/// One `key = value` of a file, with the number of the line it starts on (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    pub line: usize,
    pub key: String,
    pub value: String,
}

/// A `\u` that is not followed by four hexadecimal digits, or half of a surrogate pair.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: malformed escape: \\u needs four hexadecimal digits")]
pub struct Malformed {
    pub line: usize,
}

/// Every property of the text, in order; a key given twice appears twice.
pub fn parse(text: &str) -> Result<Vec<Property>, Malformed> {
    let mut properties = Vec::new();
    for (line, logical) in logical_lines(text) {
        let (key, value) = split(&logical);
        let unescaped = |part| unescape(part).ok_or(Malformed { line });
        properties.push(Property { line, key: unescaped(key)?, value: unescaped(value)? });
    }
    Ok(properties)
}

/// Lines with continuations joined; blank lines and comments left out. A comment cannot be continued.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    let natural = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    for (index, raw) in natural.split('\n').enumerate() {
        let content = raw.trim_start_matches(BLANK);
        if !continues && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = content.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let continued = backslashes % 2 == 1;
        let kept = if continued { content.strip_suffix('\\').unwrap_or(content) } else { content };
        match lines.last_mut() {
            Some((_, line)) if continues => line.push_str(kept),
            _ => lines.push((index + 1, kept.to_string())),
        }
        continues = continued;
    }
    lines
}

const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

/// Key and value, still escaped. The separator is the first unescaped `=`, `:` or blank; after blanks, one `=` or `:`
/// still belongs to it.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, character)| {
        let separates = !escaped && (BLANK.contains(character) || matches!(character, '=' | ':'));
        escaped = !escaped && *character == '\\';
        separates
    });
    let Some((key, rest)) = end.and_then(|(at, _)| line.split_at_checked(at)) else { return (line, "") };
    let rest = rest.trim_start_matches(BLANK);
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANK))
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let unit = match character {
            '\\' => match characters.next() {
                Some('t') => u16::from(b'\t'),
                Some('n') => u16::from(b'\n'),
                Some('r') => u16::from(b'\r'),
                Some('f') => 0xc,
                Some('u') => {
                    let mut unit = 0u16;
                    for _ in 0..4 {
                        let digit = characters.next()?.to_digit(16)?;
                        unit = (unit << 4) | u16::try_from(digit).ok()?;
                    }
                    unit
                }
                Some(other) => {
                    plain.extend_from_slice(other.encode_utf16(&mut [0; 2]));
                    continue;
                }
                None => continue,
            },
            other => {
                plain.extend_from_slice(other.encode_utf16(&mut [0; 2]));
                continue;
            }
        };
        plain.push(unit);
    }
    String::from_utf16(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|property| (property.key, property.value)).collect()
    }

    #[test]
    fn one_line_at_a_time() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("  a:b", "a", "b"),
            ("a b c", "a", "b c"),
            ("a\t:\tb", "a", "b"),
            ("a==b", "a", "=b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            (r"a\=b=c", "a=b", "c"),
            (r"a\ b c", "a b", "c"),
            (r"p=C:\\data", "p", r"C:\data"),
            (r"p=\q\t.", "p", "q\t."),
            (r"p=\u00e4\u20AC", "p", "ä€"),
            (r"p=\ud83d\ude00", "p", "😀"),
            ("p=a\\\n   b", "p", "ab"),
            ("p=a\\\r\n\tb\\\n#c", "p", "ab#c"),
            (r"p=even\\", "p", r"even\"),
            ("\u{feff}a=b", "a", "b"),
        ] {
            assert_eq!(pairs(text), [(key.to_string(), value.to_string())], "{text:?}");
        }
    }

    #[test]
    fn comments_blank_lines_and_line_numbers() {
        let text = "# one\n! two\\\n\n  a=1\nb=2\\\n  3\nc=4\r\nd=5\n";
        let lines: Vec<_> = parse(text).unwrap().into_iter().map(|p| (p.line, p.key, p.value)).collect();
        let expected = [(4, "a", "1"), (5, "b", "23"), (7, "c", "4"), (8, "d", "5")];
        assert_eq!(lines, expected.map(|(line, key, value)| (line, key.to_string(), value.to_string())));
    }

    #[test]
    fn malformed_escapes_name_their_line() {
        for text in ["\na=\\u12", "\na=\\u00g0", "\na=\\ud83d"] {
            assert_eq!(parse(text), Err(Malformed { line: 2 }), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text);
        }
    }
}
