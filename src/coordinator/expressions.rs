//! Regular expressions of clients, for names of topics and for transactional ids. Kafka takes RE2's syntax; this takes that
//! of the `regex` crate, which descends from RE2 and is linear in time as well. Where the two differ in what they take,
//! [`syntax`] stands between.

mod syntax;

use regex::bytes::Regex;

/// Longest expression, bytes. What compiling costs grows with it, and members wait meanwhile.
const LENGTH_LIMIT: usize = 1024;
/// Longest one that speaks of more than ASCII, which costs a hundred times as much.
const UNICODE_LENGTH_LIMIT: usize = 256;
/// The most that a compiled expression may take, bytes.
const SIZE_LIMIT: usize = 256 << 10;
/// How deep groups may nest.
const NEST_LIMIT: u32 = 100;

/// The expression, which has to match a whole name; or why it is none.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let too_long = |limit: usize| (pattern.len() > limit).then(|| format!("longer than {limit} bytes"));
    if let Some(error) = too_long(LENGTH_LIMIT) {
        return Err(error);
    }
    let translated = &syntax::translate(pattern)?;
    // Names are mostly ASCII, and so are RE2's classes.
    match build(translated, false) {
        Ok(regex) => Ok(regex),
        Err(_) if too_long(UNICODE_LENGTH_LIMIT).is_none() => build(translated, true),
        Err(error) => Err(error),
    }
}

fn build(pattern: &str, unicode: bool) -> Result<Regex, String> {
    let build = |pattern: &str| {
        let mut builder = regex::bytes::RegexBuilder::new(pattern);
        builder.unicode(unicode).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build()
    };
    // Alone first: an unbalanced parenthesis must not be balanced by those put around it.
    build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).map_err(|error| match error {
        regex::Error::Syntax(_) => "syntax error".to_owned(),
        error => error.to_string(),
    })
}
