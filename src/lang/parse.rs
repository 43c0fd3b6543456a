//! Reads the table of languages and reports everything that is wrong with it.
use toml::{Table, Value};

use crate::base::fault::Faults;
use crate::base::size::ByteSize;
use crate::lang::probe::Probe;
use crate::lang::{Command, FILE, Language, MODULE, Needs, PROGRAM_WORD, SOURCES};

/// No table has more languages than this, and no list of words more words.
const MOST: usize = 256;
/// No id, alias or file name is longer than this.
const LONGEST: usize = 64;

pub(super) fn languages(text: &str) -> Result<Vec<Language>, Faults> {
    let mut faults = Faults::default();
    let root = match text.parse::<Table>() {
        Ok(root) => root,
        Err(error) => {
            faults.add("languages.toml", error.to_string().trim_end().replace('\n', " "));
            return Err(faults);
        }
    };
    let found = tables(root, &mut faults)
        .into_iter()
        .enumerate()
        .map(|(index, table)| Fields { table, path: format!("language[{index}]"), faults: &mut faults }.language())
        .collect::<Vec<_>>();
    refuse_doubles(&found, &mut faults);
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn tables(mut root: Table, faults: &mut Faults) -> Vec<Table> {
    let list = root.remove("language");
    for (key, _value) in root {
        faults.add(key, "unknown; the table has [[language]] entries only");
    }
    match list {
        Some(Value::Array(list)) if !list.is_empty() && list.len() <= MOST => list
            .into_iter()
            .enumerate()
            .filter_map(|(index, value)| {
                let table = value.as_table().cloned();
                if table.is_none() {
                    wrong_type(faults, &format!("language[{index}]"), "a table", &value);
                }
                table
            })
            .collect(),
        _none => {
            faults.add("language", format!("between 1 and {MOST} [[language]] tables are expected"));
            Vec::new()
        }
    }
}

/// Names are compared over all languages: an alias of one is not the id of another.
fn refuse_doubles(languages: &[Language], faults: &mut Faults) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, language) in languages.iter().enumerate() {
        for name in std::iter::once(&language.id).chain(&language.aliases) {
            if seen.contains(&name.as_str()) {
                faults.add(format!("language[{index}]"), format!("the name \"{name}\" is taken"));
            }
            seen.push(name);
        }
    }
}

fn wrong_type(faults: &mut Faults, path: &str, expected: &str, found: &Value) {
    faults.add(path, format!("{expected} is expected, not {}", found.type_str()));
}

/// The fields of one table that were not yet taken. A value with a fault is replaced by an empty
/// one: nothing of it leaves this module.
struct Fields<'a> {
    table: Table,
    path: String,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    fn language(mut self) -> Language {
        let id = self.required_text("id");
        self.check_name("id", &id);
        let aliases = self.words("aliases").unwrap_or_default();
        for alias in &aliases {
            self.check_name("aliases", alias);
        }
        let file = self.required_text("file");
        self.check_file(&file);
        let compile = self.words("compile");
        let run = self.required_words("run");
        self.check_phases(compile.as_deref(), &run);
        let language = Language {
            id,
            name: self.required_text("name"),
            aliases,
            file,
            version: self.probe(),
            needs: self.needs(),
            compile_environment: self.pairs("compile_environment"),
            extensions: self.extensions(),
            compile: compile.map(Command),
            run: Command(run),
        };
        self.refuse_rest();
        language
    }

    fn probe(&mut self) -> Probe {
        let Some(mut fields) = self.section("version") else {
            self.fault("version", "is missing");
            return Probe { command: Vec::new(), after: String::new() };
        };
        let command = fields.required_words("command");
        fields.check_command("command", &command, &[]);
        let probe = Probe { command, after: fields.required_text("after") };
        fields.refuse_rest();
        probe
    }

    fn needs(&mut self) -> Needs {
        let Some(mut fields) = self.section("limits") else {
            return Needs::default();
        };
        let needs = Needs {
            processes: fields.count("processes"),
            memory: fields.count("memory").map(|mib| ByteSize::mib(u64::from(mib))),
        };
        fields.refuse_rest();
        needs
    }

    fn check_phases(&mut self, compile: Option<&[String]>, run: &[String]) {
        if let Some(compile) = compile {
            self.check_command("compile", compile, &[FILE, MODULE, SOURCES, PROGRAM_WORD]);
            if !compile.iter().any(|word| word.contains(PROGRAM_WORD)) {
                self.fault("compile", "makes no {program}");
            }
            self.check_command("run", run, &[FILE, MODULE, PROGRAM_WORD]);
        } else {
            self.check_command("run", run, &[FILE, MODULE]);
        }
    }

    fn extensions(&mut self) -> Vec<String> {
        let extensions = self.words("extensions").unwrap_or_default();
        for extension in &extensions {
            let rest = extension.strip_prefix('.').unwrap_or_default();
            if rest.is_empty() || !rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
                self.fault("extensions", &format!("\"{extension}\" is no extension like .c"));
            }
        }
        extensions
    }

    fn check_command(&mut self, key: &str, command: &[String], known: &[&str]) {
        match command.first().map(String::as_str) {
            None => self.fault(key, "names no program"),
            Some(PROGRAM_WORD) if known.contains(&PROGRAM_WORD) => {}
            Some(program) if program.starts_with('/') => {}
            Some(program) => {
                self.fault(key, &format!("\"{program}\" is no absolute path inside the image"));
            }
        }
        for word in command {
            if word != SOURCES && word.contains(SOURCES) {
                self.fault(key, &format!("{SOURCES} is many words and cannot be a part of \"{word}\""));
            }
            let left = known.iter().fold(word.clone(), |word, name| word.replace(name, ""));
            if left.contains(['{', '}']) {
                let allowed = if known.is_empty() { "none" } else { &known.join(" and ") };
                self.fault(key, &format!("unknown placeholder in \"{word}\"; known here: {allowed}"));
            }
            if word.contains('\0') {
                self.fault(key, "holds a NUL character, which no argument can");
            }
        }
    }

    fn check_name(&mut self, key: &str, name: &str) {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+#.-".contains(c);
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(known) {
            self.fault(key, &format!("\"{name}\" is no name: 1 to {LONGEST} of a-z 0-9 + # . - are"));
        }
    }

    fn check_file(&mut self, file: &str) {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let plain = !file.is_empty() && file.len() <= LONGEST && file.chars().all(known);
        if !plain || file.starts_with(['.', '-']) || file == "program" {
            self.fault("file", &format!("\"{file}\" is no plain file name like main.py"));
        }
    }

    fn required_text(&mut self, key: &str) -> String {
        let Some(value) = self.table.remove(key) else {
            self.fault(key, "is missing");
            return String::new();
        };
        if let Value::String(text) = value {
            return text;
        }
        wrong_type(self.faults, &format!("{}.{key}", self.path), "a string", &value);
        String::new()
    }

    fn required_words(&mut self, key: &str) -> Vec<String> {
        if !self.table.contains_key(key) {
            self.fault(key, "is missing");
            return vec![String::from("/")];
        }
        self.words(key).unwrap_or_default()
    }

    fn words(&mut self, key: &str) -> Option<Vec<String>> {
        let path = format!("{}.{key}", self.path);
        let value = self.table.remove(key)?;
        let Value::Array(list) = value else {
            wrong_type(self.faults, &path, "a list of strings", &value);
            return Some(vec![String::from("/")]);
        };
        if list.len() > MOST {
            self.fault(key, &format!("has more than {MOST} words"));
        }
        let mut words = Vec::new();
        for (index, value) in list.into_iter().take(MOST).enumerate() {
            if let Value::String(word) = value {
                words.push(word);
            } else {
                wrong_type(self.faults, &format!("{path}[{index}]"), "a string", &value);
            }
        }
        Some(words)
    }

    fn pairs(&mut self, key: &str) -> Vec<(String, String)> {
        let Some(fields) = self.section(key) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in fields.table {
            let path = format!("{}.{name}", fields.path);
            let Some(text) = value.as_str() else {
                wrong_type(fields.faults, &path, "a string", &value);
                continue;
            };
            if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
                fields.faults.add(path, "is no variable and its text");
            }
            pairs.push((name, text.to_owned()));
        }
        pairs
    }

    fn count(&mut self, key: &str) -> Option<u32> {
        let value = self.table.remove(key)?;
        let count = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        if count.is_none() {
            self.fault(key, "a whole number above 0 is expected");
        }
        count
    }

    fn section(&mut self, key: &str) -> Option<Fields<'_>> {
        let path = format!("{}.{key}", self.path);
        let value = self.table.remove(key)?;
        let Value::Table(table) = value else {
            wrong_type(self.faults, &path, "a table", &value);
            return None;
        };
        Some(Fields { table, path, faults: self.faults })
    }

    fn refuse_rest(self) {
        for (key, _value) in self.table {
            self.faults.add(format!("{}.{key}", self.path), "unknown field");
        }
    }

    fn fault(&mut self, key: &str, message: &str) {
        self.faults.add(format!("{}.{key}", self.path), message);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const GOOD: &str = r#"
[[language]]
id = "lua"
name = "Lua"
file = "main.lua"
run = ["/usr/bin/lua", "{file}"]
version = { command = ["/usr/bin/lua", "-v"], after = "Lua " }
"#;

    /// The faults of GOOD with one line replaced, as `path: message` lines.
    fn faults(line: &str, by: &str) -> Vec<String> {
        assert!(GOOD.contains(line), "{line}");
        let faults = languages(&GOOD.replace(line, by)).unwrap_err();
        faults.into_vec().into_iter().map(|f| format!("{}: {}", f.field, f.message)).collect()
    }

    #[track_caller]
    fn check(line: &str, by: &str, fault: &str) {
        assert_eq!(faults(line, by), [fault]);
    }

    #[test]
    fn the_example_is_good() {
        assert_eq!(languages(GOOD).unwrap().len(), 1);
    }

    #[test]
    fn a_missing_or_unknown_field_is_named() {
        check("name = \"Lua\"\n", "", "language[0].name: is missing");
        check("run = [\"/usr/bin/lua\", \"{file}\"]\n", "", "language[0].run: is missing");
        check("name =", "colour = \"red\"\nname =", "language[0].colour: unknown field");
        check("after = \"Lua \"", "after = \"\", x = 1", "language[0].version.x: unknown field");
        check("[[language]]", "extra = 1\n[[language]]", "extra: unknown; the table has [[language]] entries only");
    }

    #[test]
    fn a_wrong_type_is_named() {
        check("name = \"Lua\"", "name = 5", "language[0].name: a string is expected, not integer");
        check("\"-v\"", "1", "language[0].version.command[1]: a string is expected, not integer");
        check(
            "run = [\"/usr/bin/lua\", \"{file}\"]",
            "run = \"lua\"",
            "language[0].run: a list of strings is expected, not string",
        );
        check("file =", "limits = 1\nfile =", "language[0].limits: a table is expected, not integer");
        check(
            "file =",
            "limits = { processes = 0 }\nfile =",
            "language[0].limits.processes: a whole number above 0 is expected",
        );
    }

    #[test]
    fn a_bad_command_is_named() {
        check(
            "\"/usr/bin/lua\", \"{file}\"",
            "\"lua\"",
            "language[0].run: \"lua\" is no absolute path inside the image",
        );
        check("\"/usr/bin/lua\", \"{file}\"", "", "language[0].run: names no program");
        check(
            "\"{file}\"",
            "\"{source}\"",
            "language[0].run: unknown placeholder in \"{source}\"; known here: {file} and {module}",
        );
        check(
            "\"{file}\"",
            "\"{program}\"",
            "language[0].run: unknown placeholder in \"{program}\"; known here: {file} and {module}",
        );
        check("run =", "compile = [\"/bin/cc\"]\nrun =", "language[0].compile: makes no {program}");
        check(
            "run =",
            "compile = [\"/bin/cc\", \"{program}\", \"x{sources}\"]\nrun =",
            "language[0].compile: {sources} is many words and cannot be a part of \"x{sources}\"",
        );
        check(
            "\"-v\"",
            "\"{file}\"",
            "language[0].version.command: unknown placeholder in \"{file}\"; known here: none",
        );
    }

    #[test]
    fn a_bad_name_is_named() {
        check("\"lua\"", "\"Lua 5\"", "language[0].id: \"Lua 5\" is no name: 1 to 64 of a-z 0-9 + # . - are");
        check("name =", "extensions = [\"c\"]\nname =", "language[0].extensions: \"c\" is no extension like .c");
        check(
            "name =",
            "compile_environment = { A = 1 }\nname =",
            "language[0].compile_environment.A: a string is expected, not integer",
        );
        check("\"main.lua\"", "\"../x\"", "language[0].file: \"../x\" is no plain file name like main.py");
        check("\"main.lua\"", "\"program\"", "language[0].file: \"program\" is no plain file name like main.py");
        check("name =", "aliases = [\"lua\"]\nname =", "language[0]: the name \"lua\" is taken");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        assert_eq!(faults("name = \"Lua\"\nfile = \"main.lua\"", "name = 1\nfile = 2\nx = 3").len(), 4);
        assert_eq!(languages(&GOOD.repeat(2)).unwrap_err().as_slice().len(), 1);
        assert_eq!(languages("").unwrap_err().as_slice().len(), 1);
        assert_eq!(languages("a = [").unwrap_err().as_slice().len(), 1);
        assert_eq!(languages("language = [1]").unwrap_err().as_slice().len(), 1);
    }
}
