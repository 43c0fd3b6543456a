//! Every language of the embedded table as far as this machine has it: with no limit but the defaults.
//!
//! A language that `GET /v1/languages` does not list is told and left out: which are there is the
//! machine's own affair. Python and Bash are always there. Not here: an operator's own languages (`operator`).
use serde_json::{Value, json};

use crate::harness::{execute, scale, shared, timeout, with};

/// The longest `compile_timeout` that the API takes.
const LONGEST_COMPILE: u64 = 120;

const ARGS: &[&str] = &["one", "two words"];
/// What a program prints that says hello, then its arguments, then what it read.
const PRINTED: &str = "hello one|two words|in";

/// What is tried in one language.
struct Case {
    /// Prints `printed` and exits with 3.
    program: &'static str,
    args: &'static [&'static str],
    printed: &'static str,
    /// A source that is none.
    fault: &'static str,
    /// What is said of it.
    told: &'static str,
    /// A program of several files, the entry point first; it prints `other`.
    files: &'static [(&'static str, &'static str)],
}

/// One test for each language.
macro_rules! languages {
    ($($id:ident => $case:expr;)+) => {
        /// What there is a test for.
        const TESTED: &[&str] = &[$(stringify!($id)),+];

        $(#[test]
        fn $id() {
            try_out(stringify!($id), &$case);
        })+
    };
}

#[expect(clippy::print_stderr, reason = "nobody should take a language for tested that is not there")]
fn try_out(language: &str, case: &Case) {
    if !listed().iter().any(|listed| listed == language) {
        eprintln!("{language} is not on this machine: nothing of it was tested");
        return;
    }
    let job = run(language, json!({"code": case.program, "args": case.args, "stdin": "in"}));
    assert_eq!((&job["stdout"], &job["stderr"]), (&json!(case.printed), &json!("")), "{job:#}");
    assert_eq!((&job["termination"]["reason"], &job["exit_code"]), (&json!("exited"), &json!(3)), "{job:#}");
    let job = run(language, json!({"code": case.fault}));
    let told = format!("{}{}{}", job["stdout"], job["stderr"], job["compile"]["stderr"]);
    assert!(told.contains(case.told) && job["exit_code"] != 0, "{job:#}");
    let files: Vec<Value> =
        case.files.iter().map(|(path, content)| json!({"path": path, "content": content})).collect();
    let job = run(language, json!({"files": files}));
    assert_eq!((&job["stdout"], &job["stderr"]), (&json!("other\n"), &json!("")), "{job:#}");
    assert_eq!(job["exit_code"], 0, "{job:#}");
}

fn run(language: &str, members: Value) -> Value {
    let mut request = with(json!({"language": language}), members);
    if scale() > 1 {
        request = with(request, json!({"limits": {"compile_timeout": timeout(30).min(LONGEST_COMPILE)}}));
    }
    execute(&request)
}

fn listed() -> Vec<String> {
    serde_json::from_value(shared().get("/v1/languages").body["languages"].take()).unwrap()
}

#[test]
fn python_and_bash_are_always_there_and_whatever_is_there_is_tested() {
    let listed = listed();
    for id in ["python", "bash"] {
        assert!(listed.iter().any(|listed| listed == id), "{id} is not among {listed:?}");
    }
    for id in listed {
        assert!(TESTED.contains(&id.as_str()), "{id} has no test");
    }
}

languages! {
    python => Case {
        program: r#"import sys
print("hello", "|".join(sys.argv[1:]) + "|" + sys.stdin.read(), end="")
sys.exit(3)
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"print(",
        told: "SyntaxError",
        files: &[
            ("main.py", r"import part.other
print(part.other.name)
"),
            ("part/other.py", r"name = 'other'"),
        ],
    };
    javascript => Case {
        program: r#"const text = require("fs").readFileSync(0, "utf8");
process.stdout.write("hello " + [...process.argv.slice(2), text].join("|"));
process.exitCode = 3;
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"let = ;",
        told: "SyntaxError",
        files: &[
            ("main.js", r"console.log(require('./part/other.js').name);"),
            ("part/other.js", r"exports.name = 'other';"),
        ],
    };
    typescript => Case {
        program: r#"import { readFileSync } from "node:fs";
const text: string = readFileSync(0, "utf8");
process.stdout.write("hello " + [...process.argv.slice(2), text].join("|"));
process.exitCode = 3;
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"let x: = ;",
        told: "SyntaxError",
        files: &[
            ("main.ts", r"import { name } from './part/other.ts';
console.log(name);
"),
            ("part/other.ts", r"export const name: string = 'other';"),
        ],
    };
    bash => Case {
        program: r#"echo -n "hello $1|$2|$(cat)"
exit 3
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"if",
        told: "syntax error",
        files: &[
            ("main.sh", r#". "${0%/*}/part/other.sh"
echo "$name"
"#),
            ("part/other.sh", r"name=other"),
        ],
    };
    c => Case {
        program: r#"#include <stdio.h>
int main(int n, char **a) {
 char t[9] = "";
 fgets(t, sizeof t, stdin);
 printf("hello %s|%s|%s", a[1], a[2], t);
 return n;
}
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"int main(void) { return nothing; }",
        told: "undeclared",
        files: &[
            ("main.c", r#"#include <stdio.h>
#include "part/other.h"
int main(void) { puts(name()); }
"#),
            ("part/other.h", r"const char *name(void);"),
            ("part/other.c", r#"const char *name(void) { return "other"; }"#),
        ],
    };
    cpp => Case {
        program: r#"#include <iostream>
#include <string>
int main(int n, char **a) {
 std::string t;
 std::getline(std::cin, t);
 std::cout << "hello " << a[1] << "|" << a[2] << "|" << t;
 return n;
}
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"int main() { return nothing; }",
        told: "not declared",
        files: &[
            ("main.cpp", r#"#include <iostream>
#include "part/other.hpp"
int main() { std::cout << name() << std::endl; }
"#),
            ("part/other.hpp", r"#include <string>
std::string name();
"),
            ("part/other.cc", r#"#include "other.hpp"
std::string name() { return "other"; }
"#),
        ],
    };
    go => Case {
        program: r#"package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	text, _ := io.ReadAll(os.Stdin)
	fmt.Print("hello ", strings.Join(append(os.Args[1:], string(text)), "|"))
	os.Exit(3)
}
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"package main

func main() { nothing() }
",
        told: "undefined: nothing",
        files: &[
            ("cmd/x/main.go", r#"package main

import (
	"fmt"

	"example.com/x/part"
)

func main() { fmt.Println(part.Name + tail) }
"#),
            ("cmd/x/tail.go", r#"package main

const tail = ""
"#),
            ("go.mod", r"module example.com/x

go 1.18
"),
            ("part/other.go", r#"package part

const Name = "other"
"#),
        ],
    };
    rust => Case {
        program: r#"use std::io::Read;
fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    words.push(String::new());
    std::io::stdin().read_to_string(words.last_mut().unwrap()).unwrap();
    print!("hello {}", words.join("|"));
    std::process::exit(3);
}
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"fn main() { nothing(); }",
        told: "cannot find function",
        files: &[
            ("main.rs", r#"mod part;
fn main() { println!("{}", part::NAME); }
"#),
            ("part/mod.rs", r#"pub const NAME: &str = "other";"#),
        ],
    };
    java => Case {
        program: r#"public class Main {
  public static void main(String[] a) throws Exception {
    String text = new String(System.in.readAllBytes());
    System.out.print("hello " + String.join("|", a) + "|" + text);
    System.exit(3);
  }
}
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"class Main { void f() { nothing(); } }",
        told: "cannot find symbol",
        files: &[
            ("a/Main.java", r"package a;
import a.part.Other;
class Main {
  public static void main(String[] x) { System.out.println(Other.NAME); }
}
"),
            ("a/part/Other.java", r#"package a.part;
public class Other { public static final String NAME = "other"; }
"#),
        ],
    };
    ruby => Case {
        program: r#"print "hello ", (ARGV + [$stdin.read]).join("|")
exit 3
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"def",
        told: "syntax error",
        files: &[
            ("main.rb", r"require_relative 'part/other'
puts NAME
"),
            ("part/other.rb", r"NAME = 'other'"),
        ],
    };
    php => Case {
        program: r#"<?php
echo "hello ", implode("|", [...array_slice($argv, 1), file_get_contents("php://stdin")]);
exit(3);
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"<?php echo (;",
        told: "syntax error",
        files: &[
            ("main.php", r#"<?php
require __DIR__ . '/part/other.php';
echo NAME, "\n";
"#),
            ("part/other.php", r"<?php
const NAME = 'other';
"),
        ],
    };
    perl => Case {
        program: r#"print "hello ", join("|", @ARGV, <STDIN>);
exit 3;
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"print (;",
        told: "syntax error",
        files: &[
            ("main.pl", r#"use lib '/work';
use part::other;
print $part::other::name, "\n";
"#),
            ("part/other.pm", r"package part::other;
our $name = 'other';
1;
"),
        ],
    };
    lua => Case {
        program: r#"io.write("hello ", table.concat({arg[1], arg[2], io.read("*a")}, "|"))
os.exit(3)
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"local = 1",
        told: "near '='",
        files: &[
            ("main.lua", r"package.path = arg[0]:match('.*/') .. '?.lua;' .. package.path
print(require('part.other').name)
"),
            ("part/other.lua", r"return { name = 'other' }"),
        ],
    };
    r => Case {
        program: r#"text <- readLines(file("stdin"), warn = FALSE)
cat("hello ", paste(c(commandArgs(trailingOnly = TRUE), text), collapse = "|"), sep = "")
quit(status = 3)
"#,
        args: ARGS,
        printed: PRINTED,
        fault: r"x <- <- 1",
        told: "unexpected",
        files: &[
            ("main.R", r"source('part/other.R')
cat(name, '\n', sep = '')
"),
            ("part/other.R", r"name <- 'other'"),
        ],
    };
    sqlite => Case {
        program: r"CREATE TABLE t(x);
INSERT INTO t VALUES ('hello ');
.mode list
.import /dev/stdin t
SELECT group_concat(x, '') FROM t;
",
        args: &[".exit 3"],
        printed: "hello in\n",
        fault: r"SELEC 1;",
        told: "syntax error",
        files: &[
            ("main.sql", r".read part/other.sql
SELECT name FROM other;
"),
            ("part/other.sql", r"CREATE TABLE other(name);
INSERT INTO other VALUES ('other');
"),
        ],
    };
}
