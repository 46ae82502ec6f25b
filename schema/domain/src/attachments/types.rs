//! What may be attached: the types that are recognised by their content, and names of files.

use crate::error::Invalid;
use crate::text::{TextRule, is_invisible};

/// How many bytes of a file say what it is.
pub const HEAD: usize = 8 * 1024;

/// What a file is: one of the types that are recognised by their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(&'static str);

impl ContentType {
    /// A JPEG image.
    pub const JPEG: Self = Self("image/jpeg");
    /// A PNG image.
    pub const PNG: Self = Self("image/png");
    /// A GIF image, moving or not.
    pub const GIF: Self = Self("image/gif");
    /// A WebP image.
    pub const WEBP: Self = Self("image/webp");
    /// Plain text in UTF-8.
    pub const TEXT: Self = Self("text/plain");
    /// Bytes of which nothing is known.
    pub const UNKNOWN: Self = Self("application/octet-stream");

    /// The images that may always be attached.
    pub const IMAGES: [Self; 4] = [Self::JPEG, Self::PNG, Self::GIF, Self::WEBP];

    /// The documents that may be attached where the deployment allows them.
    pub const DOCUMENTS: [Self; 13] = [
        Self("application/pdf"),
        Self("application/zip"),
        Self::TEXT,
        Self("application/vnd.oasis.opendocument.presentation"),
        Self("application/vnd.oasis.opendocument.spreadsheet"),
        Self("application/vnd.oasis.opendocument.text"),
        Self("application/vnd.openxmlformats-officedocument.presentationml.presentation"),
        Self("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        Self("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        Self("audio/mpeg"),
        Self("audio/ogg"),
        Self("video/mp4"),
        Self("video/webm"),
    ];

    /// The type of this name, in any case and whatever parameters it has; `None` where it is not
    /// recognised by content.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, _) = text.split_once(';').unwrap_or((text, ""));
        let name = name.trim().to_ascii_lowercase();
        let name = match name.as_str() {
            "image/jpg" | "image/pjpeg" => Self::JPEG.0,
            "application/x-zip-compressed" => "application/zip",
            name => name,
        };
        let mut known = Self::IMAGES.into_iter().chain(Self::DOCUMENTS);
        known.find(|known| known.0 == name)
    }

    /// What a file is that begins with these bytes, at most [`HEAD`] of them; `None` where it is nothing
    /// that may be attached.
    pub fn of_content(head: &[u8]) -> Option<Self> {
        match infer::get(head) {
            Some(found) => Self::parse(found.mime_type()),
            None => is_text(head).then_some(Self::TEXT),
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether it is an image.
    pub fn is_image(self) -> bool {
        Self::IMAGES.contains(&self)
    }

    /// What the name of such an image ends with.
    const fn extension(self) -> Option<&'static str> {
        match self.0.as_bytes() {
            b"image/jpeg" => Some("jpg"),
            b"image/png" => Some("png"),
            b"image/gif" => Some("gif"),
            b"image/webp" => Some("webp"),
            _ => None,
        }
    }
}

/// Whether bytes that a text begins with are text: UTF-8, whose last character may be cut, without
/// characters that no text has.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && head.len() - error.valid_up_to() < 4,
    };
    valid && is_printable(head)
}

/// Whether no byte is a control character that no text has.
pub(crate) fn is_printable(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| {
        (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C)) || *byte == 0x7F
    };
    !bytes.iter().any(is_control)
}

/// The name of a file: 1 to 200 characters on one line, without a folder, and none of them invisible,
/// a control character or one that turns the direction of reading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileName(String);

impl FileName {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 200;
    /// The most characters of an ending that a name keeps where it is shortened.
    const MAX_ENDING: usize = 16;
    /// What a file is called of whose name nothing is left.
    const NAMELESS: &str = "file";
    const RULE: TextRule = TextRule {
        field: "fileName",
        max_chars: Self::MAX_CHARS,
        multi_line: false,
    };

    /// As much of a name as may be shown. A name is cleaned and not refused, as nobody chooses those of
    /// their files by our rules.
    pub fn cleaned(text: &str) -> Self {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let shown: String = name
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c })
            .filter(|&c| c == ' ' || !(is_invisible(c) || Self::RULE.forbids(c)))
            .filter(|&c| !is_left_out(c))
            .collect();
        let shown = shown.trim_matches([' ', '.']);
        let length = shown.chars().count();
        let shortened = if length <= Self::MAX_CHARS {
            shown.to_owned()
        } else {
            let ending = shown.rsplit_once('.').map_or("", |(_, ending)| ending);
            let ending = Some(ending)
                .filter(|ending| (1..=Self::MAX_ENDING).contains(&ending.chars().count()))
                .map_or_else(String::new, |ending| format!(".{ending}"));
            let room = Self::MAX_CHARS - ending.chars().count();
            shown.chars().take(room).collect::<String>() + &ending
        };
        let name = Self::RULE.visible_part(&shortened);
        // Where it was cut may be a space.
        let name = name.trim_matches([' ', '.']);
        if name.is_empty() {
            return Self(Self::NAMELESS.to_owned());
        }
        Self(name.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with the ending of an image's type, where it has another.
    #[must_use]
    pub fn of_image(self, content_type: ContentType) -> Self {
        let Some(extension) = content_type.extension() else {
            return self;
        };
        let (stem, ending) = self.0.rsplit_once('.').unwrap_or((self.0.as_str(), ""));
        let ending = ending.to_ascii_lowercase();
        if ending == extension || (extension == "jpg" && ending == "jpeg") {
            return self;
        }
        let room = Self::MAX_CHARS - extension.len() - 1;
        let stem: String = stem.chars().take(room).collect();
        Self(format!("{stem}.{extension}"))
    }
}

/// What names of files do without: what folders and devices are named by on some systems, and characters
/// for private use.
fn is_left_out(c: char) -> bool {
    matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\u{E000}'..='\u{F8FF}' | '\u{E0000}'..)
}

/// The type that a client gives for a file, where it may be attached.
///
/// # Errors
/// [`Invalid`] for the field `contentType`, with all that may be attached.
pub(crate) fn allowed(text: &str, documents: &[ContentType]) -> Result<ContentType, Invalid> {
    let is_allowed =
        |found: &ContentType| found.is_image() || documents.iter().any(|known| known == found);
    ContentType::parse(text).filter(is_allowed).ok_or_else(|| {
        let all = ContentType::IMAGES.iter().chain(documents);
        let names: Vec<&str> = all.map(|known| known.as_str()).collect();
        Invalid::new(
            "contentType",
            format!("must be one of {}", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_says_what_a_file_is() {
        let of = |head: &[u8]| ContentType::of_content(head).map(ContentType::as_str);
        assert_eq!(of(b"\xFF\xD8\xFF\xE0rest"), Some("image/jpeg"));
        assert_eq!(of(b"\x89PNG\r\n\x1A\nrest"), Some("image/png"));
        assert_eq!(of(b"GIF89arest"), Some("image/gif"));
        assert_eq!(of(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(of(b"%PDF-1.7\n"), Some("application/pdf"));
        assert_eq!(of(b"PK\x03\x04rest"), Some("application/zip"));
        assert_eq!(of("Grüße,\n\tAda\r\n".as_bytes()), Some("text/plain"));
        // A character that is cut at the end of the head.
        assert_eq!(of(&"aé".as_bytes()[..2]), Some("text/plain"));
        for other in [
            &b"MZ\x90\0"[..],
            b"\x7FELF\x02\x01\x01",
            b"<!DOCTYPE html><script>",
            b"<?xml version=\"1.0\"?><svg onload=\"x\"/>",
            b"a\0b",
            b"\xFFa",
            b"a\x1Bb",
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn types_are_known_by_their_name_in_any_form() {
        let of = |text| ContentType::parse(text).map(ContentType::as_str);
        assert_eq!(of(" Image/JPG "), Some("image/jpeg"));
        assert_eq!(of("text/plain; charset=utf-8"), Some("text/plain"));
        assert_eq!(of("application/x-zip-compressed"), Some("application/zip"));
        for other in ["", "image/svg+xml", "text/html", "application/octet-stream"] {
            assert_eq!(of(other), None, "{other}");
        }
        let documents = [ContentType::TEXT];
        assert!(allowed("image/png", &documents).is_ok());
        assert!(allowed("text/plain", &documents).is_ok());
        let wrong = allowed("application/pdf", &documents).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "`contentType` must be one of image/jpeg, image/png, image/gif, image/webp, text/plain."
        );
    }

    #[test]
    fn a_name_is_cleaned() {
        for (text, name) in [
            ("photo.jpg", "photo.jpg"),
            ("  Grüße aus Köln.pdf ", "Grüße aus Köln.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ada\\cv.docx", "cv.docx"),
            ("a\u{202E}gpj.exe", "agpj.exe"),
            ("in\u{200B}vis\u{FEFF}ible\u{E0041}.txt", "invisible.txt"),
            ("line\r\nbreak\u{7}.txt", "line  break.txt"),
            ("..hidden..", "hidden"),
            ("a<b>:\"c|?*.txt", "abc.txt"),
            ("", "file"),
            ("...", "file"),
            ("\u{200B}\u{2060}", "file"),
            ("folder/", "file"),
        ] {
            assert_eq!(FileName::cleaned(text).as_str(), name, "{text:?}");
        }
        let long = FileName::cleaned(&("é".repeat(300) + ".tar.gz"));
        assert_eq!(long.as_str().chars().count(), FileName::MAX_CHARS);
        assert!(long.as_str().ends_with("é.gz"));
        let marks = FileName::cleaned(&format!("a{}.txt", "\u{301}".repeat(50)));
        assert_eq!(marks.as_str(), format!("a{}.txt", "\u{301}".repeat(4)));
        // What was cleaned stays as it is.
        for text in [long.as_str(), marks.as_str()] {
            assert_eq!(FileName::cleaned(text).as_str(), text);
        }
    }

    #[test]
    fn the_name_of_an_image_ends_as_its_type_does() {
        let named = |text, content_type| FileName::cleaned(text).of_image(content_type).0;
        assert_eq!(named("a.jpeg", ContentType::JPEG), "a.jpeg");
        assert_eq!(named("a.JPG", ContentType::JPEG), "a.JPG");
        assert_eq!(named("a.webp", ContentType::JPEG), "a.jpg");
        assert_eq!(named("a", ContentType::PNG), "a.png");
        let long = named(&"x".repeat(200), ContentType::PNG);
        assert_eq!(long.len(), FileName::MAX_CHARS);
        assert!(long.ends_with("x.png"));
    }
}
