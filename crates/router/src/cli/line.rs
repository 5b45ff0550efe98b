//! A line cut into words, each with its column, so that an error can point at it.

/// One word of a line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word itself; never empty, without blanks.
    pub text: &'a str,
    /// Where it starts, in characters from the start of the line.
    pub column: usize,
    /// Where it starts, in bytes.
    pub offset: usize,
}

/// The words of a line; blanks of any number separate them.
#[must_use]
pub fn words(line: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut start: Option<(usize, usize)> = None;
    for (column, (offset, letter)) in line.char_indices().enumerate() {
        match (letter.is_whitespace(), start) {
            (false, None) => start = Some((column, offset)),
            (true, Some((first, from))) => {
                found.push(Word {
                    text: &line[from..offset],
                    column: first,
                    offset: from,
                });
                start = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
    }
    if let Some((first, from)) = start {
        found.push(Word {
            text: &line[from..],
            column: first,
            offset: from,
        });
    }
    found
}

/// Whether a line says nothing: blank, or a comment that starts with `!`.
#[must_use]
pub fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('!')
}

/// How many blanks a line starts with; IOS indents by one per mode.
#[must_use]
pub fn indent(line: &str) -> usize {
    line.chars()
        .take_while(|letter| letter.is_whitespace())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_where_they_stand() {
        let found = words("  show  crypto\tgdoi ");
        let places: Vec<_> = found.iter().map(|word| (word.text, word.column)).collect();
        assert_eq!(places, [("show", 2), ("crypto", 8), ("gdoi", 15)]);
        let accented = words("é b");
        assert_eq!((accented[1].column, accented[1].offset), (2, 3));
        assert!(words(" \t").is_empty());
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        assert!(is_blank("") && is_blank("  ! end of block") && !is_blank(" end"));
        assert_eq!(indent("  rekey"), 2);
    }
}
