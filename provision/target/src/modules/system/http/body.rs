//! Bodies of requests.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::private::random_name;

/// Characters of a line of base64 in a multipart body (RFC 2045, 6.8).
const BASE64_LINE_CHARACTERS: usize = 76;

/// `application/x-www-form-urlencoded`: text as it is, otherwise a mapping or a list of pairs;
/// a list as a value repeats the name.
pub(super) fn form(body: &Value) -> Result<String, String> {
    let pairs: Vec<(String, &Value)> = match body {
        Value::String(text) => return Ok(text.clone()),
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item.as_array().map(Vec::as_slice) {
                Some([name, value]) => Ok((plain(name), value)),
                _ => Err("cannot form-urlencode body, expect a list of pairs".to_owned()),
            })
            .collect::<Result<_, String>>()?,
        _ => return Err("cannot form-urlencode body, expect list or dict".to_owned()),
    };
    let mut encoded = Vec::new();
    for (name, value) in pairs {
        let values: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(object) => object.values().collect(),
            other => vec![other],
        };
        for value in values.into_iter().filter(|value| !value.is_null()) {
            encoded.push(format!("{}={}", quoted(&name), quoted(&plain(value))));
        }
    }
    Ok(encoded.join("&"))
}

/// A value as Python's `str` shows it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// Python's `quote_plus`.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => quoted.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => {
                quoted.push(char::from(byte));
            }
            byte => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

/// `multipart/form-data`: the content type and the body. `open` reads contents that the call
/// brought along.
pub(super) fn multipart(
    body: &Value,
    open: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<(String, Vec<u8>), String> {
    let Value::Object(fields) = body else {
        return Err("Mapping is required for a form-multipart body".to_owned());
    };
    let boundary = format!(
        "==============={}==",
        random_name().map_err(|error| format!("no randomness: {error}"))?
    );
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let part = Part::new(value, open)?;
        let mut head = format!("--{boundary}\r\n");
        if part.is_file {
            head.push_str("Content-Transfer-Encoding: base64\r\n");
        }
        head.push_str(&format!("Content-Type: {}\r\n", header_safe(&part.kind)?));
        let field = header_safe(name)?.replace('"', "\\\"");
        head.push_str(&format!("Content-Disposition: form-data; name=\"{field}\""));
        if let Some(file) = &part.file_name {
            let file = header_safe(file)?.replace('"', "\\\"");
            head.push_str(&format!("; filename=\"{file}\""));
        }
        head.push_str("\r\n\r\n");
        bytes.extend_from_slice(head.as_bytes());
        if part.is_file {
            let text = STANDARD.encode(&part.content);
            for line in text.as_bytes().chunks(BASE64_LINE_CHARACTERS) {
                bytes.extend_from_slice(line);
                bytes.extend_from_slice(b"\r\n");
            }
        } else {
            bytes.extend_from_slice(&part.content);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary=\"{boundary}\""), bytes))
}

fn header_safe(text: &str) -> Result<&str, String> {
    if text.contains(['\r', '\n']) {
        return Err("names of fields and files can't contain line ends".to_owned());
    }
    Ok(text)
}

/// One field of a multipart body.
struct Part {
    kind: String,
    file_name: Option<String>,
    content: Vec<u8>,
    is_file: bool,
}

impl Part {
    fn new(
        value: &Value,
        open: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, String> {
        let object = match value {
            Value::String(text) => {
                return Ok(Part {
                    kind: "text/plain".to_owned(),
                    file_name: None,
                    content: text.clone().into_bytes(),
                    is_file: false,
                });
            }
            Value::Object(object) => object,
            _ => return Err("a field of a multipart body must be text or a mapping".to_owned()),
        };
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let path = text("filename");
        let sent = object.get("_content").and_then(|content| content.get("sha256")?.as_str());
        let (content, is_file) = match (text("content"), sent, path) {
            (Some(content), _, _) => (content.as_bytes().to_vec(), false),
            (None, Some(digest), _) => (open(digest)?, true),
            (None, None, Some(path)) => {
                (fs::read(path).map_err(|error| format!("{path}: {error}"))?, true)
            }
            (None, None, None) => {
                return Err("at least one of filename or content must be provided".to_owned());
            }
        };
        let file_name = path.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
        let kind = text("mime_type")
            .map_or_else(|| guessed(file_name.as_deref().unwrap_or_default()), str::to_owned);
        Ok(Part { kind, file_name, content, is_file })
    }
}

/// The type of a file by its ending.
fn guessed(name: &str) -> String {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "txt" | "text" | "log" | "conf" | "c" | "h" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" => "text/javascript",
        "json" => "application/json",
        "xml" => "text/xml",
        "py" => "text/x-python",
        "sh" => "application/x-sh",
        "tar" | "tgz" => "application/x-tar",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms() {
        let body = json!({"a b": "x&y", "list": [1, true, null], "é": "~"});
        assert_eq!(form(&body).unwrap(), "a+b=x%26y&list=1&list=True&%C3%A9=~");
        assert_eq!(form(&json!([["a", 1], ["a", 2]])).unwrap(), "a=1&a=2");
        assert_eq!(form(&json!("as=is")).unwrap(), "as=is");
        assert!(form(&json!(3)).is_err() && form(&json!([1])).is_err());
    }

    #[test]
    fn multipart_bodies() {
        let body = json!({
            "text": "hello",
            "file": {"filename": "/a/b.txt", "_content": {"sha256": "d"}},
            "inline": {"filename": "x.json", "content": "{}"},
        });
        let (kind, bytes) = multipart(&body, &mut |_| Ok(vec![0; 60])).unwrap();
        let boundary = kind.split('"').nth(1).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches(&format!("--{boundary}")).count(), 4);
        assert!(text.contains("name=\"file\"; filename=\"b.txt\"\r\n\r\nAAAA"), "{text}");
        assert!(text.contains("Content-Type: application/json\r\n"));
        assert!(text.contains("name=\"text\"\r\n\r\nhello\r\n"));
        assert!(text.ends_with("==--\r\n"));
        assert!(multipart(&json!({"a": {}}), &mut |_| Ok(Vec::new())).is_err());
        assert!(multipart(&json!({"a\r\nb": "x"}), &mut |_| Ok(Vec::new())).is_err());
    }
}
