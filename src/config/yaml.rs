//! A YAML document as a tree in which every value knows its line and column.
//!
//! Only what settings need is read: one document of sections, lists and scalars, by the core schema
//! of YAML 1.2. Anchors, aliases and tags are refused, so nothing grows beyond its text. A name that
//! is given twice is a fault; the first one stays. Not here: what the names mean.
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// Deeper than any section lies.
const DEEPEST: usize = 16;

/// A place in the text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) mark: Mark,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Switch(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Content>),
    Section(Vec<Entry>),
}

/// A member of a section.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

/// Entries are compared by what they say, not by where.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.node.content == other.node.content
    }
}

/// Something that is wrong with the text.
#[derive(Clone, Debug)]
pub(super) struct Misfit {
    pub(super) message: String,
    pub(super) mark: Mark,
}

/// The tree, and names that were given twice.
///
/// # Errors
/// What cannot be read at all: one thing, because nothing behind it is certain.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Misfit>), Misfit> {
    let mut builder = Builder { parser: Parser::new_from_str(text), twice: Vec::new() };
    let root = builder.document()?;
    Ok((root, builder.twice))
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    twice: Vec<Misfit>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Misfit> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                content @ (Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd) => {
                    if root.is_some() {
                        return Err(misfit("a second document is not read", span));
                    }
                    root = Some(self.node(content, span, 0)?);
                }
            }
        }
        Ok(root.unwrap_or(Node { content: Content::Null, mark: Mark { line: 1, column: 1 } }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Misfit> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let message = format!("is no YAML: {}", error.info());
                Err(misfit(&message, Span::empty(*error.marker())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Misfit> {
        if depth > DEEPEST {
            return Err(misfit("sections this deep are not read", span));
        }
        let content = match event {
            Event::Scalar(text, style, 0, None) => scalar(&text, style),
            Event::SequenceStart(0, None) => self.list(depth)?,
            Event::MappingStart(0, None) => self.section(depth)?,
            Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(misfit("anchors (&), aliases (*) and tags (!) are not read; quote a text", span));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(misfit("ends too early", span)),
        };
        Ok(Node { content, mark: mark(span) })
    }

    fn list(&mut self, depth: usize) -> Result<Content, Misfit> {
        let mut members = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Content::List(members));
            }
            members.push(self.node(event, span, depth + 1)?.content);
        }
    }

    fn section(&mut self, depth: usize) -> Result<Content, Misfit> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Content::Section(entries));
            }
            let Event::Scalar(name, _style, 0, None) = event else {
                return Err(misfit("a plain name is expected before the colon", span));
            };
            let name = name.into_owned();
            let (event, value_span) = self.next()?;
            let node = self.node(event, value_span, depth + 1)?;
            if let Some(first) = entries.iter().find(|entry| entry.name == name) {
                let message = format!("{name:?} is a duplicate: it is given in line {} already", first.mark.line);
                self.twice.push(misfit(&message, span));
            } else {
                entries.push(Entry { name, mark: mark(span), node });
            }
        }
    }
}

fn mark(span: Span) -> Mark {
    Mark { line: span.start.line(), column: span.start.col() + 1 }
}

fn misfit(message: &str, span: Span) -> Misfit {
    Misfit { message: message.to_owned(), mark: mark(span) }
}

/// The core schema (YAML 1.2.2 section 10.3.2). A quoted scalar is a text whatever it holds.
fn scalar(text: &str, style: ScalarStyle) -> Content {
    if style != ScalarStyle::Plain {
        return Content::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Switch(true),
        "false" | "False" | "FALSE" => Content::Switch(false),
        number if is_number(number) => Content::Number(number.to_owned()),
        other => Content::Text(other.to_owned()),
    }
}

/// Whether a plain scalar is a number, also one of a form that no setting takes.
fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let special = matches!(bare, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
    let begins = bare.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    let other_base = |prefix, digits: fn(&char) -> bool| {
        bare.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| digits(&c)))
    };
    special
        || other_base("0x", char::is_ascii_hexdigit)
        || other_base("0o", |c| ('0'..='7').contains(c))
        || (begins && bare.parse::<f64>().is_ok())
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(text: &str, content: &Content) {
        assert_eq!(&parse(text).unwrap().0.content, content, "{text}");
    }

    #[track_caller]
    fn check_misfit(text: &str, message: &str, line: usize, column: usize) {
        let misfit = parse(text).unwrap_err();
        assert!(misfit.message.contains(message), "{misfit:?}");
        assert_eq!(misfit.mark, Mark { line, column }, "{misfit:?}");
    }

    fn text(text: &str) -> Content {
        Content::Text(String::from(text))
    }

    fn number(text: &str) -> Content {
        Content::Number(String::from(text))
    }

    #[test]
    fn scalars_have_the_type_of_the_core_schema() {
        for null in ["", "~", "null", "# a comment", "---"] {
            check(null, &Content::Null);
        }
        check("true", &Content::Switch(true));
        check("False", &Content::Switch(false));
        for plain in ["0", "-1", "1.5", ".5", "1e3", "0x1F", "0o17", "-.inf", ".nan", "08"] {
            check(plain, &number(plain));
        }
        for plain in ["yes", "10MB", "1.2.3.4", "inf", "nan", "0x", "1_000", "e3"] {
            check(plain, &text(plain));
        }
        check("'5'", &text("5"));
        check("\"true\"", &text("true"));
        check("[a, '1', 1]", &Content::List(vec![text("a"), text("1"), number("1")]));
    }

    #[test]
    fn names_and_values_know_their_place() {
        let (root, twice) = parse("# first\na:\n  b: 1\n  \"c\":   [x]\n").unwrap();
        assert!(twice.is_empty());
        let Content::Section(entries) = root.content else { panic!("a section") };
        let Content::Section(inner) = &entries[0].node.content else { panic!("a section") };
        let marks = [inner[0].mark, inner[0].node.mark, inner[1].mark, inner[1].node.mark];
        let at = |line, column| Mark { line, column };
        assert_eq!(marks, [at(3, 3), at(3, 6), at(4, 3), at(4, 10)]);
    }

    #[test]
    fn every_name_that_is_given_twice_is_found() {
        let (_root, twice) = parse("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n'b': 3\n").unwrap();
        let lines: Vec<_> = twice.iter().map(|misfit| misfit.mark.line).collect();
        assert_eq!(lines, [4, 5, 6]);
        assert_eq!(twice[0].message, "\"c\" is a duplicate: it is given in line 3 already");
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_place() {
        check_misfit("a: &x 1", "anchors", 1, 4);
        check_misfit("a: *x", "no YAML", 1, 4);
        check_misfit("a: !!str 1", "tags", 1, 4);
        check_misfit("a: 1\n---\nb: 2\n", "second document", 3, 1);
        check_misfit("? [a]\n: 1\n", "a plain name", 1, 3);
        check_misfit(&"[".repeat(100), "this deep", 1, DEEPEST + 2);
    }
}
