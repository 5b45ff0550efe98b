//! Quoted rules: `//= RFC 6407 5.3` and `//= getvpn P12` at the line that obeys.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::tree::{self, Source};

/// One quotation in the code.
struct Quote {
    place: String,
    source: String,
    sentence: String,
    in_test: bool,
}

/// Quotation marks that name no source or quote an RFC without its words.
pub fn malformed(sources: &[Source]) -> Vec<String> {
    let known = |name: &str| {
        ["RFC ", "getvpn P", "IOS", "mission "]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    quotes(sources)
        .into_iter()
        .filter_map(|quote| {
            if !known(&quote.source) {
                Some(format!(
                    "{}: `{}` is no known source",
                    quote.place, quote.source
                ))
            } else if quote.source.starts_with("RFC ") && quote.sentence.is_empty() {
                Some(format!(
                    "{}: {} is named but not quoted (//#)",
                    quote.place, quote.source
                ))
            } else {
                None
            }
        })
        .collect()
}

/// Prints which rule is obeyed and tested where; false if a quotation is not in its text.
pub fn report(root: &Path, texts: Option<&Path>) -> Result<bool> {
    let sources = tree::rust_files(root)?;
    let mut rows: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut wrong = 0;
    for quote in quotes(&sources) {
        let row = rows.entry(quote.source.clone()).or_default();
        if quote.in_test {
            row.1 += 1;
        } else {
            row.0 += 1;
        }
        if let Some(folder) = texts
            && !is_in_text(folder, &quote)
        {
            println!(
                "{}: not in {}: {}",
                quote.place, quote.source, quote.sentence
            );
            wrong += 1;
        }
    }
    println!("{:<24} {:>11} {:>6}", "rule", "implemented", "tested");
    for (rule, (implemented, tested)) in &rows {
        println!("{rule:<24} {implemented:>11} {tested:>6}");
    }
    println!("rfc: {} rules, {wrong} wrong quotations", rows.len());
    Ok(wrong == 0)
}

fn is_in_text(folder: &Path, quote: &Quote) -> bool {
    let Some(rest) = quote.source.strip_prefix("RFC ") else {
        return true;
    };
    let number = rest.split(' ').next().unwrap_or_default();
    let Ok(text) = fs::read_to_string(folder.join(format!("rfc{number}.txt"))) else {
        return false;
    };
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    plain(&text).contains(&plain(&quote.sentence))
}

fn quotes(sources: &[Source]) -> Vec<Quote> {
    let mut found: Vec<Quote> = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"))
    {
        let mut open = false;
        let mut in_test = source.path.contains("/tests");
        for (number, line) in source.text.lines().enumerate() {
            let text = line.trim();
            in_test |= text == "#[cfg(test)]";
            if let Some(name) = text.strip_prefix("//=") {
                open = true;
                found.push(Quote {
                    place: format!("{}:{}", source.path, number + 1),
                    source: name.trim().to_owned(),
                    sentence: String::new(),
                    in_test,
                });
            } else if let Some(words) = text.strip_prefix("//#").filter(|_| open) {
                if let Some(quote) = found.last_mut() {
                    quote.sentence.push_str(words);
                }
            } else {
                open = false;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rfc_must_be_quoted_and_a_rule_of_ours_need_not() {
        let text = "//= RFC 6407 5.3\nfn a() {}\n//= getvpn P7\n//= RFC 6407 5.4\n//# MUST abort\n";
        let source = Source {
            path: "crates/x/src/a.rs".into(),
            text: text.into(),
        };
        let findings = malformed(&[source]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("5.3"));
    }
}
