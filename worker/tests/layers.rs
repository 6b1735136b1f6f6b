//! A module of the library imports only modules that stand above it in `lib.rs`, so there are no cycles, and a reader can begin
//! anywhere and go up. Tests within modules may import anything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{project, rust_files};

/// The modules of `lib.rs`, in order.
fn modules(source: &Path) -> Vec<String> {
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
    let lib = lib.split("#[cfg(test)]").next().unwrap();
    let names = lib.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(str::to_owned).collect()
}

/// All Rust source files of a module, which is a file or a folder, without those that are compiled for tests alone.
fn files(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut found = rust_files(&source.join(module));
    found.extend(Some(source.join(format!("{module}.rs"))).filter(|path| path.exists()));
    let mut of_tests = Vec::new();
    for path in &found {
        let text = fs::read_to_string(path).unwrap();
        for (place, before) in text.match_indices("#[cfg(test)]\nmod ") {
            let rest = &text[place + before.len()..];
            if let Some((name, "")) = rest.lines().next().unwrap().split_once(';') {
                of_tests.push(path.with_file_name(name));
            }
        }
    }
    found.retain(|path| {
        let path = path.with_extension("");
        !of_tests.iter().any(|module| path.starts_with(module))
    });
    found
}

/// The modules that a source text names after `crate::`, without those that only its tests name.
fn imports(text: &str) -> Vec<&str> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut names = Vec::new();
    for (place, _) in text.match_indices("crate::") {
        let rest = &text[place + "crate::".len()..];
        let line_start = text[..place].rfind('\n').map_or(0, |end| end + 1);
        // A comment may point at anything.
        if text[line_start..place].trim_start().starts_with("//") {
            continue;
        }
        let several = rest
            .strip_prefix('{')
            .map(|list| list.split('}').next().unwrap());
        for item in several
            .unwrap_or(rest)
            .split(',')
            .take(if several.is_some() { usize::MAX } else { 1 })
        {
            let item = item.trim();
            let end = item.find(|character: char| !character.is_alphanumeric() && character != '_');
            names.push(&item[..end.unwrap_or(item.len())]);
        }
    }
    names
}

/// Each import of a module that does not stand above the importing one.
fn imports_from_below(modules: &[String], module: &str, text: &str) -> Vec<String> {
    let place = |name: &str| modules.iter().position(|other| other == name);
    let own = place(module);
    let names = imports(text).into_iter();
    names
        .filter(|name| *name != module && place(name).is_some_and(|at| Some(at) > own))
        .map(|name| format!("{module} imports {name}, which stands below it in lib.rs"))
        .collect()
}

#[test]
fn modules_import_only_what_stands_above_them() {
    let source = project().join("worker/src");
    let modules = modules(&source);
    assert!(modules.len() > 10, "{modules:?}");
    let mut wrong = Vec::new();
    for module in &modules {
        let files = files(&source, module);
        assert!(!files.is_empty(), "there is no source of {module}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for found in imports_from_below(&modules, module, &text) {
                wrong.push(format!("{}: {found}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_from_below_is_found() {
    let modules: Vec<String> = ["aws", "table", "rollup"].map(str::to_owned).to_vec();
    for text in [
        "use crate::rollup::Rollup;",
        "use crate::{aws, rollup};",
        "fn f() { crate::rollup::load(); }",
    ] {
        assert_eq!(
            imports_from_below(&modules, "table", text).len(),
            1,
            "{text}"
        );
        assert!(imports_from_below(&modules, "rollup", text).is_empty());
    }
    let in_tests = "use crate::aws;\n#[cfg(test)]\nmod tests {\n use crate::rollup; }";
    assert!(imports_from_below(&modules, "table", in_tests).is_empty());
}
