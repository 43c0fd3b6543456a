//! Several tables become one: a language of a later table takes the place of the one with its id.
//!
//! Every other name that two languages have is a fault of the later one. Not here: files.
use crate::base::fault::Faults;
use crate::lang::{Language, parse};

/// The text of one table.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Where it is from; empty for the embedded one.
    pub(super) path: String,
    pub(super) text: String,
}

/// A language and where it stands, for faults.
struct Entry {
    language: Language,
    /// Number of its table, and its place in there.
    order: (usize, usize),
    place: String,
}

/// The languages of all tables, each of them without a fault.
pub(super) fn merged(parts: Vec<Part>) -> Result<Vec<Language>, Faults> {
    let mut faults = Faults::default();
    let mut entries: Vec<Entry> = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let languages = parse::languages(&part.text).unwrap_or_else(|found| {
            found.into_vec().into_iter().for_each(|fault| faults.add(placed(&part.path, &fault.field), fault.message));
            Vec::new()
        });
        for (index, language) in languages.into_iter().enumerate() {
            let place = placed(&part.path, &format!("language[{index}]"));
            take_in(&mut entries, Entry { language, order: (number, index), place });
        }
    }
    refuse_doubles(&entries, &mut faults);
    if faults.is_empty() { Ok(entries.into_iter().map(|entry| entry.language).collect()) } else { Err(faults) }
}

fn placed(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}: {field}") }
}

/// Within one table nothing is replaced: there an id that exists is a fault.
fn take_in(entries: &mut Vec<Entry>, new: Entry) {
    let replaced = entries.iter_mut().find(|old| old.language.id == new.language.id && old.order.0 != new.order.0);
    match replaced {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}

/// Names are compared over all languages: an alias of one is not the id of another.
fn refuse_doubles(entries: &[Entry], faults: &mut Faults) {
    let mut in_order: Vec<&Entry> = entries.iter().collect();
    in_order.sort_by_key(|entry| entry.order);
    let mut seen: Vec<(&str, &Entry)> = Vec::new();
    for entry in in_order {
        for name in std::iter::once(&entry.language.id).chain(&entry.language.aliases) {
            if let Some((_, holder)) = seen.iter().find(|(taken, _)| taken == name) {
                let holder = &holder.language.id;
                faults.add(entry.place.as_str(), format!("the name \"{name}\" is taken by the language \"{holder}\""));
            } else {
                seen.push((name, entry));
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn table(id: &str, aliases: &str) -> String {
        format!(
            "[[language]]\nid = \"{id}\"\nname = \"of {aliases}\"\naliases = [{aliases}]\nfile = \"main.x\"\n\
             run = [\"/usr/bin/x\"]\nversion = {{ command = [\"/usr/bin/x\"], after = \"\" }}\n"
        )
    }

    fn merge(parts: &[(&str, String)]) -> Result<Vec<(String, String)>, Vec<String>> {
        let part = |(path, text): &(&str, String)| Part { path: (*path).to_owned(), text: text.clone() };
        let named = |language: Language| (language.id, language.name);
        let told = |faults: Faults| faults.into_vec().into_iter().map(|f| format!("{}: {}", f.field, f.message));
        merged(parts.iter().map(part).collect())
            .map(|languages| languages.into_iter().map(named).collect())
            .map_err(|faults| told(faults).collect())
    }

    fn named(id: &str, aliases: &str) -> (String, String) {
        (id.to_owned(), format!("of {aliases}"))
    }

    #[test]
    fn an_id_that_exists_replaces_its_language_where_that_stands() {
        let embedded = table("a", "'one'") + &table("b", "");
        let merged = merge(&[("", embedded.clone()), ("x", table("a", "'two'")), ("y", table("c", "'one'"))]);
        assert_eq!(merged.unwrap(), [named("a", "'two'"), named("b", ""), named("c", "'one'")]);
        let merged = merge(&[("", embedded), ("x", table("c", "'1'")), ("y", table("c", "'2'"))]);
        assert_eq!(merged.unwrap(), [named("a", "'one'"), named("b", ""), named("c", "'2'")]);
    }

    #[test]
    fn every_other_clash_of_names_is_a_fault_of_the_later_one() {
        let faults = merge(&[("", table("a", "'one'")), ("x", table("b", "'one', 'a'"))]).unwrap_err();
        assert_eq!(
            faults,
            [
                "x: language[0]: the name \"one\" is taken by the language \"a\"",
                "x: language[0]: the name \"a\" is taken by the language \"a\""
            ]
        );
        let faults = merge(&[("x", table("b", "") + &table("b", ""))]).unwrap_err();
        assert_eq!(faults, ["x: language[1]: the name \"b\" is taken by the language \"b\""]);
        let both = [("", table("a", "") + &table("z", "'t'")), ("x", table("a", "'t'"))];
        assert_eq!(merge(&both).unwrap_err(), ["x: language[0]: the name \"t\" is taken by the language \"z\""]);
    }

    #[test]
    fn the_faults_of_all_tables_are_told_with_their_places() {
        let faults = merge(&[("x", String::from("a = [")), ("y", table("A", ""))]).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("x: "), "{faults:?}");
        assert!(faults[1].starts_with("y: language[0].id: \"A\" is no name"), "{faults:?}");
    }
}
