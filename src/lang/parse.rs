//! Reads the table of languages and reports everything that is wrong with it.
use toml::{Table, Value};

use crate::base::fault::Faults;
use crate::lang::command::{AT, CPUS, Command, FILE, FOLDER, MADE, MEMORY, MODULE, SOURCES};
use crate::lang::fields::{Fields, MOST, wrong_type};
use crate::lang::probe::{self, Probe};
use crate::lang::{CompileNeeds, Language, Needs};

/// No id, alias or file name is longer than this.
const LONGEST: usize = 64;

pub(super) fn languages(text: &str) -> Result<Vec<Language>, Faults> {
    let mut faults = Faults::default();
    let root = match text.parse::<Table>() {
        Ok(root) => root,
        Err(error) => {
            faults.add("table", error.to_string().trim_end().replace('\n', " "));
            return Err(faults);
        }
    };
    let found = tables(root, &mut faults)
        .into_iter()
        .enumerate()
        .map(|(index, table)| Fields { table, path: format!("language[{index}]"), faults: &mut faults }.language())
        .collect::<Vec<_>>();
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
        let at = self.places();
        let compile = self.words("compile");
        let run = self.required_words("run");
        let known_at: &[&str] = if at.is_empty() { &[] } else { &[AT] };
        self.check_phases(compile.as_deref(), &run, known_at);
        let language = Language {
            id,
            name: self.required_text("name"),
            aliases,
            file,
            extensions: self.extensions(),
            version: self.probe(known_at),
            needs: self.needs(),
            compile_needs: self.compile_needs(),
            at,
            compile_environment: self.variables("compile_environment"),
            run_environment: self.variables("run_environment"),
            compile: compile.map(Command),
            run: Command(run),
        };
        self.refuse_rest();
        language
    }

    fn places(&mut self) -> Vec<String> {
        let places = self.words("at");
        if places.as_ref().is_some_and(Vec::is_empty) {
            self.fault("at", "names no place");
        }
        for place in places.iter().flatten().filter(|place| !place.starts_with('/') || place.contains(['{', '\0'])) {
            self.fault("at", &format!("\"{place}\" is no absolute path inside the image"));
        }
        places.unwrap_or_default()
    }

    fn probe(&mut self, known: &[&str]) -> Probe {
        let Some(mut fields) = self.section("version") else {
            self.fault("version", "is missing");
            return Probe { command: Vec::new(), after: String::new(), at_least: None };
        };
        let command = fields.required_words("command");
        fields.check_command("command", &command, known);
        let (after, at_least) = (fields.required_text("after"), fields.optional_text("at_least"));
        if let Some(least) = at_least.as_deref().filter(|least| !probe::is_version(least)) {
            fields.fault("at_least", &format!("\"{least}\" is no version like 22.6"));
        }
        fields.refuse_rest();
        Probe { command, after, at_least }
    }

    fn needs(&mut self) -> Needs {
        let Some(mut fields) = self.section("limits") else {
            return Needs::default();
        };
        let needs = Needs { processes: fields.count("processes"), memory: fields.mebibytes("memory") };
        fields.refuse_rest();
        needs
    }

    fn compile_needs(&mut self) -> CompileNeeds {
        let Some(mut fields) = self.section("compile_limits") else {
            return CompileNeeds::default();
        };
        let needs = CompileNeeds {
            processes: fields.count("processes"),
            memory: fields.mebibytes("memory"),
            disk: fields.mebibytes("disk"),
        };
        fields.refuse_rest();
        needs
    }

    fn check_phases(&mut self, compile: Option<&[String]>, run: &[String], at: &[&str]) {
        const ALWAYS: &[&str] = &[FILE, FOLDER, MODULE, MEMORY, CPUS];
        if let Some(compile) = compile {
            self.check_command("compile", compile, &[ALWAYS, &[SOURCES, MADE], at].concat());
            if !compile.iter().any(|word| word.contains(MADE)) {
                self.fault("compile", "makes no {program}");
            }
            self.check_command("run", run, &[ALWAYS, &[MADE], at].concat());
        } else {
            for key in ["compile_environment", "compile_limits"] {
                if self.table.contains_key(key) {
                    self.fault(key, "goes with compile");
                }
            }
            self.check_command("run", run, &[ALWAYS, at].concat());
        }
    }

    /// Variables whose texts may hold figures.
    fn variables(&mut self, key: &str) -> Vec<(String, String)> {
        let variables = self.pairs(key);
        for (name, text) in &variables {
            if text.replace(MEMORY, "").replace(CPUS, "").contains(['{', '}']) {
                let message = format!("unknown placeholder in \"{text}\"; known here: {MEMORY} and {CPUS}");
                self.fault(&format!("{key}.{name}"), &message);
            }
        }
        variables
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
            Some(MADE) if known.contains(&MADE) => {}
            Some(program) if program.starts_with(AT) && known.contains(&AT) => {}
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
                let allowed = if known.is_empty() { "none" } else { &known.join(", ") };
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
            "language[0].run: unknown placeholder in \"{source}\"; known here: {file}, {folder}, {module}, {memory}, {cpus}",
        );
        check(
            "\"{file}\"",
            "\"{program}\"",
            "language[0].run: unknown placeholder in \"{program}\"; known here: {file}, {folder}, {module}, {memory}, {cpus}",
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
            "run_environment = { A = 1 }\nname =",
            "language[0].run_environment.A: a string is expected, not integer",
        );
        check("\"main.lua\"", "\"../x\"", "language[0].file: \"../x\" is no plain file name like main.py");
        check("\"main.lua\"", "\"program\"", "language[0].file: \"program\" is no plain file name like main.py");
    }

    #[test]
    fn a_bad_place_is_named() {
        check("name =", "at = [\"bin\"]\nname =", "language[0].at: \"bin\" is no absolute path inside the image");
        check("name =", "at = []\nname =", "language[0].at: names no place");
        check(
            "\"{file}\"",
            "\"{at}\"",
            "language[0].run: unknown placeholder in \"{at}\"; known here: {file}, {folder}, {module}, {memory}, {cpus}",
        );
        let at = GOOD.replace("/usr/bin/lua", "{at}/lua").replace("name =", "at = [\"/a\", \"/b\"]\nname =");
        let places: Vec<_> = languages(&at).unwrap()[0].at_each_place().iter().flat_map(Language::tools).collect();
        assert_eq!(places, [["/a/lua"], ["/b/lua"]]);
    }

    #[test]
    fn a_bad_version_or_variable_is_named() {
        let fault = "language[0].version.at_least: \"5.x\" is no version like 22.6";
        check("after = \"Lua \"", "after = \"\", at_least = \"5.x\"", fault);
        check(
            "name =",
            "run_environment = { A = \"{file}\" }\nname =",
            "language[0].run_environment.A: unknown placeholder in \"{file}\"; known here: {memory} and {cpus}",
        );
        check("name =", "compile_limits = { disk = 1 }\nname =", "language[0].compile_limits: goes with compile");
        check("name =", "limits = { disk = 1 }\nname =", "language[0].limits.disk: unknown field");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        assert_eq!(faults("name = \"Lua\"\nfile = \"main.lua\"", "name = 1\nfile = 2\nx = 3").len(), 4);
        assert_eq!(languages("").unwrap_err().as_slice().len(), 1);
        assert_eq!(languages("a = [").unwrap_err().as_slice().len(), 1);
        assert_eq!(languages("language = [1]").unwrap_err().as_slice().len(), 1);
    }
}
