//! What makes a document well-formed (XML 1.0, fifth edition) and quick-xml lets pass. Whoever changes a
//! file must not take what isn't one, or a part of it is lost.

use quick_xml::events::Event;

/// Why one isn't taken where it is.
const DOCTYPE: &str = "a DOCTYPE stands before the element, once";

/// Of any event, which begins at a place in the document.
pub fn check(event: &Event<'_>, place: u64) -> Result<(), String> {
    match event {
        Event::Text(text) => {
            check_characters(text)?;
            if text.contains("]]>") {
                return Err("`]]>` in text is written ]]&gt;".to_owned());
            }
            Ok(())
        }
        Event::CData(text) => check_characters(text),
        Event::Comment(text) => check_characters(text),
        Event::DocType(text) => check_characters(text),
        Event::PI(text) => {
            check_characters(text)?;
            let name = text.split([' ', '\t', '\n']).next().unwrap_or_default();
            if name.eq_ignore_ascii_case("xml") {
                return Err("<?xml stands at the very beginning".to_owned());
            }
            check_name(name)
        }
        Event::Decl(_) if place > 0 => Err("<?xml stands at the very beginning".to_owned()),
        _ => Ok(()),
    }
}

/// Of an event outside of the element that holds all others: behind it, or behind a DOCTYPE.
pub fn check_outside(event: &Event<'_>, is_behind: bool, has_doctype: bool) -> Result<(), String> {
    let is_blank = |letter: char| matches!(letter, ' ' | '\t' | '\n');
    match event {
        Event::Text(text) if text.chars().all(is_blank) => Ok(()),
        Event::Text(_) | Event::GeneralRef(_) | Event::CData(_) => {
            Err("there is text outside of the element".to_owned())
        }
        Event::Start(_) | Event::Empty(_) if is_behind => {
            Err("there is another element behind the first one".to_owned())
        }
        Event::DocType(_) if is_behind || has_doctype => Err(DOCTYPE.to_owned()),
        _ => Ok(()),
    }
}

/// Of an event within an element.
pub fn check_inside(event: &Event<'_>) -> Result<(), String> {
    match event {
        Event::DocType(_) => Err(DOCTYPE.to_owned()),
        _ => Ok(()),
    }
}

/// `Char` of the standard.
pub fn check_characters(text: &str) -> Result<(), String> {
    let is_none = |letter: &char| {
        matches!(letter,
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
    };
    match text.chars().find(is_none) {
        None => Ok(()),
        Some(letter) => Err(format!("U+{:04X} is no character of XML", u32::from(letter))),
    }
}

/// `Name` of the standard.
pub fn check_name(name: &str) -> Result<(), String> {
    let begins = |letter: char| {
        matches!(letter,
            ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
            | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}'
            | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
            | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}')
    };
    let goes_on = |letter: char| {
        begins(letter)
            || matches!(letter, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}'
                | '\u{203f}'..='\u{2040}')
    };
    let mut letters = name.chars();
    match letters.next().is_some_and(begins) && letters.all(goes_on) {
        true => Ok(()),
        false => Err(format!("`{name}` is no name")),
    }
}
