//! What RE2 takes and the `regex` crate does not, and the other way round, as far as topics are found by it: quoted text
//! (`\Q…\E`, as Java's `Pattern.quote` makes it), a brace that begins no repetition, repetitions of repetitions, and
//! repetitions of more than 1000. (`RE2J`: `Parser`.)

/// Most that a repetition may ask for.
const MAX_REPEAT: u32 = 1000;

/// The expression as the `regex` crate has to be given it, or why RE2 would not take it.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // Whether what was read last is a repetition.
    let mut repeated = false;
    while let Some(first) = rest.chars().next() {
        let mut repeats = false;
        let length = match first {
            '\\' if rest.starts_with("\\Q") => {
                let quoted = rest.get(2..).unwrap_or_default();
                let end = quoted.find("\\E").unwrap_or(quoted.len());
                out.push_str(&regex::escape(quoted.get(..end).unwrap_or_default()));
                rest = quoted.get(end..).unwrap_or_default();
                rest = rest.strip_prefix("\\E").unwrap_or(rest);
                repeated = false;
                continue;
            }
            '\\' => escape_length(rest),
            '[' => class_length(rest),
            '*' | '+' | '?' => {
                repeats = true;
                1
            }
            '{' => match repetition(rest) {
                Some((length, most)) if most <= MAX_REPEAT => {
                    repeats = true;
                    length
                }
                Some(_) => return Err("invalid repeat count".to_owned()),
                None => {
                    out.push('\\');
                    1
                }
            },
            other => other.len_utf8(),
        };
        if repeats && repeated {
            return Err("invalid nested repetition operator".to_owned());
        }
        let lazy = usize::from(repeats && rest.get(length..).is_some_and(|after| after.starts_with('?')));
        let (read, after) = rest.split_at_checked(length + lazy).unwrap_or((rest, ""));
        out.push_str(read);
        rest = after;
        repeated = repeats;
    }
    Ok(out)
}

/// Bytes of `{n}`, `{n,}` or `{n,m}` at the front, and the larger of its numbers.
fn repetition(text: &str) -> Option<(usize, u32)> {
    let end = text.find('}')?;
    let inner = text.get(1..end)?;
    let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let least = number(least)?;
    let most = if most.is_empty() { least } else { number(most)? };
    Some((end + 1, least.max(most)))
}

/// Bytes of the escape at the front: a backslash, what follows it, and the name in braces that some have.
fn escape_length(text: &str) -> usize {
    let plain = 1 + text.chars().nth(1).map_or(0, char::len_utf8);
    let name = text.get(plain..).filter(|rest| rest.starts_with('{')).and_then(|rest| rest.find('}'));
    match (text.chars().nth(1), name) {
        (Some('p' | 'P' | 'x'), Some(end)) => plain + end + 1,
        _ => plain,
    }
}

/// Bytes of the class of characters at the front, up to its bracket; all there are where it has none.
fn class_length(text: &str) -> usize {
    let mut at = 1;
    let from = |at: usize| text.get(at..).unwrap_or_default();
    at += usize::from(from(at).starts_with('^'));
    // A bracket at the front stands for itself.
    at += usize::from(from(at).starts_with(']'));
    while let Some(next) = from(at).chars().next() {
        at += match next {
            ']' => return at + 1,
            '\\' => escape_length(from(at)),
            '[' if from(at).starts_with("[:") => from(at).find(":]").map_or(1, |end| end + 2),
            other => other.len_utf8(),
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::compile;

    #[test]
    fn quoted_text_stands_for_itself() {
        for (pattern, matching, not) in [
            (r"\Qa.b\E", "a.b", "axb"),
            (r"\Qa.b\E.*", "a.bcd", "axb"),
            (r"x\Q+\Ey", "x+y", "xxy"),
            (r"\Qa+b", "a+b", "aab"),
            (r"\Q\E\Qa\E", "a", ""),
            (r"\\Qa", r"\Qa", "a"),
            (r"[\]*]+a{", "]*a{", "b"),
            (r"[]*]a{x}", "*a{x}", "a{x}"),
            (r"[[:alpha:]*+]{2,3}?", "a*", "a"),
            (r"é{2}", "éé", "é"),
            (r"\p{Lu}\x{31}+", "A11", "a1"),
            (r"[\p{Greek}\x{61}]?b", "ab", "cb"),
            (r"\P{Lu}{2}", "ab", "aB"),
        ] {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert!(regex.is_match(matching.as_bytes()), "{pattern} {matching}");
            assert!(!regex.is_match(not.as_bytes()), "{pattern} {not}");
        }
    }

    #[test]
    fn repetitions_of_repetitions_and_large_ones_are_refused() {
        for pattern in
            ["a++", "a**", "a*+", "a+*", "a??+", "a{2}{3}", "a{2}+", "a{1001}", "a{1,1001}", "a{99999999999}"]
        {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        for pattern in ["a+?", "a*?", "a??", "a{2}?", "(a+)+", "a+b+", r"a+\+", "[+]+", "a{1000}"] {
            assert!(compile(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn nothing_is_cut_inside_a_character() {
        for pattern in [r"\", r"\é", "[é", r"[\é", "[[:é", "{é}", "a{é", r"\Qé", "[^]é", "é{1}é"] {
            let _ = compile(pattern);
        }
    }
}
