//! Against what Python reads and writes.

use encodings::{Error, decode, encode};

/// Recorded by `record.py`: a name, then a code point or `-` for each of the bytes 0x80 to 0xFF.
const RECORDED: &str = include_str!("python-encodings.txt");

#[test]
fn single_bytes_are_what_python_says() {
    for line in RECORDED.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        for (byte, word) in (0x80..=0xff).zip(words) {
            let expected = u32::from_str_radix(word, 16).ok().and_then(char::from_u32);
            let read = decode(&[byte], name).ok();
            assert_eq!(read, expected.map(String::from), "{name} {byte:#x}");
            if let Some(text) = read {
                assert_eq!(encode(&text, name), Ok(vec![byte]), "{name} {byte:#x}");
            }
        }
    }
    assert_eq!(RECORDED.lines().count(), 23);
}

#[test]
fn several_bytes_a_character_are_read_and_written() {
    // `text.encode(name).hex()` of Python.
    for (name, text, bytes) in [
        ("gbk", "你好世界", "c4e3bac3cac0bde7"),
        ("GB18030", "한글€", "8336843382388437a2e3"),
        ("big5", "你好世界", "a741a66ea540acc9"),
        ("euc_jp", "漢字かな", "b4c1bbfaa4aba4ca"),
        ("shift-jis", "漢字かな", "8abf8e9a82a982c8"),
        ("euc-kr", "한글", "c7d1b1db"),
        ("iso2022_jp", "漢字", "1b244234413b7a1b2842"),
        ("utf-16-le", "a€", "6100ac20"),
        ("utf_16_be", "a€𝄞", "006120acd834dd1e"),
        ("", "é", "c3a9"),
    ] {
        let written = encode(text, name).unwrap();
        let shown: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, bytes, "{name}");
        assert_eq!(decode(&written, name).unwrap(), text, "{name}");
    }
}

#[test]
fn what_cannot_be_converted_says_where() {
    let klingon = Error::Unknown("klingon".into());
    assert_eq!(decode(b"a", "klingon"), Err(klingon.clone()));
    assert_eq!(encode("a", "klingon"), Err(klingon.clone()));
    assert_eq!(klingon.to_string(), "unknown encoding: klingon");
    let byte = |byte, at, name: &str| Err(Error::Byte { byte, at, encoding: name.into() });
    assert_eq!(decode(b"abc\xc4\xe3", "utf-8"), byte(0xc4, 3, "utf-8"));
    assert_eq!(decode(b"ab\x81", "cp1252"), byte(0x81, 2, "cp1252"));
    assert_eq!(decode(b"a\xc4\xe3\xff", "gbk"), byte(0xff, 3, "gbk"));
    assert_eq!(decode(b"a\xc4", "gbk"), byte(0xc4, 1, "gbk"));
    assert_eq!(decode(b"a\0\0\xdc", "utf-16-le"), byte(0, 2, "utf-16-le"));
    assert_eq!(decode(b"a\0b", "utf-16-le"), byte(b'b', 2, "utf-16-le"));
    for (text, letter, name) in
        [("aé", 'é', "ascii"), ("\u{80}", '\u{80}', "cp1252"), ("a한", '한', "gbk")]
    {
        let expected = Err(Error::Letter { letter, encoding: name.into() });
        assert_eq!(encode(text, name), expected);
    }
}
