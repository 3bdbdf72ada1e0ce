//! A part of a file as an agent tells it: `{"data":"…","offset":7}`. The text has the bytes of the file
//! as they are, apart from what JSON escapes, so they need not be UTF-8, and a JSON library would
//! refuse or change them.

/// Bytes of a file, and where they begin; of a question for the length, the length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FilePart {
    pub(crate) data: Vec<u8>,
    pub(crate) offset: u64,
}

/// Reads a part; none if it is anything else.
pub(crate) fn parse(bytes: &[u8]) -> Option<FilePart> {
    let mut reader = Reader { bytes, at: 0 };
    let (mut data, mut offset) = (None, None);
    reader.skip(b'{')?;
    loop {
        let key = reader.text()?;
        reader.skip(b':')?;
        match key.as_slice() {
            b"data" => data = Some(reader.text()?),
            b"offset" => offset = Some(reader.number()?),
            _ => return None,
        }
        match reader.next_visible()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    reader.blanks();
    let is_all = reader.at == bytes.len();
    Some(FilePart { data: data?, offset: offset? }).filter(|_| is_all)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn next_visible(&mut self) -> Option<u8> {
        self.blanks();
        self.next()
    }

    fn skip(&mut self, wanted: u8) -> Option<()> {
        (self.next_visible()? == wanted).then_some(())
    }

    fn number(&mut self) -> Option<u64> {
        self.blanks();
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        std::str::from_utf8(rest.get(..length)?).ok()?.parse().ok()
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        self.skip(b'"')?;
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(out),
                b'\\' => self.escaped(&mut out)?,
                byte => out.push(byte),
            }
        }
    }

    fn escaped(&mut self, out: &mut Vec<u8>) -> Option<()> {
        out.push(match self.next()? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.unit()?;
                let letter = match first {
                    0xd800..=0xdbff => {
                        let is_pair = self.next()? == b'\\' && self.next()? == b'u';
                        let second = self.unit().filter(|_| is_pair)?;
                        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)?
                    }
                    unit => char::from_u32(unit)?,
                };
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            byte @ (b'"' | b'\\' | b'/') => byte,
            _ => return None,
        });
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at.checked_add(4)?)?;
        self.at += 4;
        let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
        u32::from_str_radix(text, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(data: &[u8], offset: u64) -> Option<FilePart> {
        Some(FilePart { data: data.to_vec(), offset })
    }

    #[test]
    fn parts_as_agents_write_them() {
        // Session 02 of the recordings.
        assert_eq!(parse(br#"{"data":"out\n","offset":0}"#), part(b"out\n", 0));
        assert_eq!(parse(br#"{"data":"","offset":4}"#), part(b"", 4));
        let text = br#" { "offset" : 7 , "data" : "\"\\\/\b\f\r\t\u001b[1m\u00e9\ud83d\ude00" } "#;
        let expected = "\"\\/\u{8}\u{c}\r\t\u{1b}[1mé😀".as_bytes();
        assert_eq!(parse(text), part(expected, 7));
        // What is no UTF-8 comes as it is.
        assert_eq!(parse(b"{\"data\":\"\xff\xc3\",\"offset\":1}"), part(b"\xff\xc3", 1));
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"data":"x"}"#,
            r#"{"offset":1}"#,
            r#"{"data":"x","offset":}"#,
            r#"{"data":"x","offset":-1}"#,
            r#"{"data":"x","offset":1"#,
            r#"{"data":"x,"offset":1}"#,
            r#"{"data":"\u12","offset":1}"#,
            r#"{"data":"\ud83d","offset":1}"#,
            r#"{"data":"\ud83dxx","offset":1}"#,
            r#"{"data":"\x","offset":1}"#,
            r#"{"data":"","offset":1}x"#,
            r#"{"data":"","offset":99999999999999999999}"#,
            r#"{"other":"","offset":1}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
