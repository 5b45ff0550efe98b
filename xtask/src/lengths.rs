//! Length of files, functions and lines.

use crate::tree::Source;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// Every file, function and line that is longer than the law allows.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            findings.push(format!(
                "{}: {} lines, at most {FILE_LINES_MAX}: split it by what it decides",
                source.path,
                lines.len()
            ));
        }
        for (number, line) in lines.iter().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX && !is_one_literal(line) {
                findings.push(format!("{}:{}: {columns} columns", source.path, number + 1));
            }
        }
        for (number, name, length) in functions(&lines) {
            if length > FUNCTION_LINES_MAX {
                findings.push(format!(
                    "{}:{number}: fn {name} has {length} lines, at most {FUNCTION_LINES_MAX}",
                    source.path
                ));
            }
        }
    }
    findings
}

/// A line that holds one string or a quoted sentence, which cannot be broken without changing it.
fn is_one_literal(line: &str) -> bool {
    let text = line.trim();
    text.contains('"') || text.starts_with("//") || text.contains("r#")
}

/// Line number, name and length of every function, found by the indentation that rustfmt gives.
fn functions(lines: &[&str]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", &line[..indent]);
        let Some(length) = lines[start..].iter().position(|other| *other == close) else {
            continue;
        };
        if lines[start..=start + length]
            .iter()
            .any(|other| other.trim_end().ends_with(';'))
            || length > 0
        {
            found.push((start + 1, name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let text = line.trim_start();
    let mut words = text.split_whitespace();
    let mut word = words.next()?;
    while word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "extern") {
        word = words.next()?;
    }
    if word != "fn" || text.ends_with(';') || text.ends_with('}') {
        return None;
    }
    let name = words.next()?;
    Some(name.split(['(', '<']).next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_measured_from_its_head_to_its_brace() {
        let text =
            "impl A {\n    pub const fn b(\n        &self,\n    ) {\n        c();\n    }\n}\n";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(functions(&lines), [(2, "b".to_owned(), 5)]);
    }
}
