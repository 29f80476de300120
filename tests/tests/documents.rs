//! The documentation says what is so: files, functions, routes, events, options and targets that it names exist.
//!
//! This file refuses to judge the words between them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cartridge_tests::stack;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in a folder of the repository")
        .to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// README and every page, by name.
fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("docs")).expect("there is a folder of pages");
    let names = folder.map(|entry| {
        format!(
            "docs/{}",
            entry
                .expect("a folder that can be listed")
                .file_name()
                .to_string_lossy()
        )
    });
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.push("README.md".to_owned());
    names
        .into_iter()
        .map(|name| (name.clone(), read(&name)))
        .collect()
}

/// What stands between backticks, fenced blocks left out.
fn quoted(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines
        .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

/// Whether the file defines something of this name.
fn defines(text: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    ["fn ", "struct ", "enum "].iter().any(|word| {
        let wanted = format!("{word}{name}");
        text.match_indices(&wanted)
            .any(|(at, _)| ends(&text[at + wanted.len()..]))
    })
}

/// What is wrong with the files and functions that a page names.
fn missing(text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for token in quoted(text) {
        let (path, name) = token
            .split_once("::")
            .map_or((token.as_str(), None), |(p, n)| (p, Some(n)));
        if !path.ends_with(".rs") || path.contains(' ') {
            continue;
        }
        match (std::fs::read_to_string(root().join(path)), name) {
            (Err(_), _) => missing.push(token),
            (Ok(source), Some(name)) if !defines(&source, name) => missing.push(token),
            _ => {}
        }
    }
    missing
}

#[test]
fn every_file_and_function_that_is_named_exists() {
    let mut named = 0;
    for (page, text) in pages() {
        assert_eq!(missing(&text), Vec::<String>::new(), "{page}");
        named += quoted(&text)
            .iter()
            .filter(|token| token.contains(".rs::"))
            .count();
    }
    assert!(
        named > 50,
        "only {named} functions are named: is the form the same still?"
    );
}

#[test]
fn a_file_or_function_that_is_gone_would_be_noticed() {
    let text = "`protocol/src/gone.rs` `protocol/src/link.rs::gone` `protocol/src/link.rs`";
    assert_eq!(
        missing(text),
        ["protocol/src/gone.rs", "protocol/src/link.rs::gone"]
    );
}

#[test]
fn pages_that_are_linked_exist() {
    for (page, text) in pages() {
        let folder = root().join(&page);
        let folder = folder.parent().unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')').map(|(l, _)| l))
        {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://");
            assert!(elsewhere || folder.join(file).exists(), "{page}: {link}");
        }
    }
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = read("Makefile");
    let mut named = 0;
    for (page, text) in pages() {
        let words = text
            .split("make ")
            .skip(1)
            .zip(text.split("make "))
            .filter(|(_, before)| before.ends_with(['`', ' ', '\n']));
        for (rest, before) in words {
            let command = before.ends_with('`') || before.ends_with("    ");
            let of_name = |c: &char| c.is_ascii_lowercase() || *c == '-';
            let target: String = rest.chars().take_while(of_name).collect();
            if command && !target.is_empty() {
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{page}: make {target}"
                );
                named += 1;
            }
        }
    }
    assert!(named >= 5, "only {named} targets are named");
}

/// `("GET", "/members", LOOK)` as `GET /members viewer`.
fn rows_of_the_roles_table() -> BTreeSet<String> {
    let source = read("orchestrator/src/auth/roles.rs");
    let (_, table) = source
        .split_once("const TABLE")
        .expect("the table is called TABLE");
    let (table, _) = table.split_once("];").expect("the table ends");
    let row = |line: &str| {
        let words: Vec<&str> = line.split('"').collect();
        let [_, method, _, route, access] = words[..] else {
            return None;
        };
        let who = [
            ("OPEN", "anybody"),
            ("LOOK", "viewer"),
            ("ORDER", "admin"),
            ("SHARE", "application"),
            ("SIGNED", "admin, or signed"),
        ]
        .into_iter()
        .find(|(word, _)| access.contains(word))?
        .1;
        Some(format!("{method} {route} {who}"))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn the_routes_are_those_of_the_roles_table() {
    let page = read("docs/api.md");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let route = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
        let (method, _) = route.split_once(' ')?;
        method
            .bytes()
            .all(|b| b.is_ascii_uppercase())
            .then(|| format!("{route} {}", cells[2]))
    };
    let told: BTreeSet<String> = page.lines().filter_map(row).collect();
    let known = rows_of_the_roles_table();
    assert!(known.len() > 50, "{known:?}");
    assert_eq!(told, known);
}

#[test]
fn every_route_says_what_it_takes_and_answers() {
    let source = read("orchestrator/src/api/openapi/routes.rs");
    let told = |method: &str, route: &str| {
        let quick = format!("{}(\"{route}\"", method.to_ascii_lowercase());
        source.contains(&quick) || source.contains(&format!("row(\"{method}\", \"{route}\""))
    };
    for row in rows_of_the_roles_table() {
        let mut words = row.split(' ');
        let (method, route) = (words.next().unwrap(), words.next().unwrap());
        assert!(
            told(method, route),
            "{method} {route} has no row in orchestrator/src/api/openapi/routes.rs: say there what it takes and answers"
        );
    }
}

#[test]
fn the_events_are_the_records() {
    let source = read("orchestrator/plan/src/record.rs");
    let (_, body) = source
        .split_once("pub enum Record {")
        .expect("records are an enum");
    let variant = |line: &str| {
        let name: String = line
            .strip_prefix("    ")?
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
    };
    let kebab = |name: String| {
        name.chars().fold(String::new(), |mut text, c| {
            if c.is_ascii_uppercase() && !text.is_empty() {
                text.push('-');
            }
            text.push(c.to_ascii_lowercase());
            text
        })
    };
    let records: BTreeSet<String> = body
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(variant)
        .map(kebab)
        .collect();
    let page = read("docs/api.md");
    let (_, events) = page
        .split_once("## Events")
        .expect("there is a chapter on events");
    let (_, table) = events.split_once("| kinds |").expect("there is a table of kinds");
    assert!(records.len() > 30, "{records:?}");
    assert_eq!(quoted(table), records);
}

#[test]
fn every_fault_of_a_plugin_is_in_the_table_of_faults() {
    let source = read("agent/plan/src/plugin/hear.rs");
    let (_, faults) = source.split_once("pub enum Fault {").expect("faults are an enum");
    let (faults, _) = faults.split_once("\n}\n").expect("the enum ends");
    let words = faults.split("#[error(\"").skip(1);
    let words: Vec<&str> = words
        .filter_map(|rest| rest.split(['{', '"', '(']).next())
        .map(str::trim_end)
        .collect();
    assert!(words.len() > 12, "{words:?}");
    let (_, table) = read("docs/plugins.md")
        .split_once("| what it does |")
        .map(|(before, table)| (before.to_owned(), table.to_owned()))
        .expect("there is a table of faults");
    for word in words {
        assert!(table.contains(word), "docs/plugins.md does not tell {word:?}");
    }
}

/// Holds the part of `docs/agent.md` between two marks against what the agent prints.
fn agrees_with_the_agent(what: &str) {
    let begin = format!("<!-- {what}: what `cartridge-agent {what} --markdown` prints -->\n");
    let end = format!("<!-- {what} end -->\n");
    let agent = stack::binary("cartridge-agent").expect("built before the tests run");
    let table = Command::new(agent)
        .args([what, "--markdown"])
        .output()
        .expect("the agent can be started");
    let table = String::from_utf8(table.stdout).expect("the table is text");
    assert!(table.lines().count() > 20, "{table}");
    let page = read("docs/agent.md");
    let (before, rest) = page.split_once(&begin).expect("the table begins with its mark");
    let (told, after) = rest.split_once(&end).expect("the table ends with its mark");
    if told != table && std::env::var_os("CARTRIDGE_WRITE_DOCUMENTS").is_some() {
        let page = format!("{before}{begin}{table}{end}{after}");
        std::fs::write(root().join("docs/agent.md"), page).expect("the page can be written");
        return;
    }
    assert_eq!(
        told, table,
        "docs/agent.md is older than the table in the code; CARTRIDGE_WRITE_DOCUMENTS=1 writes it anew"
    );
}

/// One test: two that write would overwrite each other's table.
#[test]
fn the_agents_options_and_hooks_are_those_that_it_prints() {
    agrees_with_the_agent("options");
    agrees_with_the_agent("hooks");
}
