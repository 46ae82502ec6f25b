//! Lines of JSON, cut into entries of a bounded size.

use serde::Serialize;

use super::entry::{ExportError, Out, write_line};

/// An entry ends with the line by which it is as long, in bytes. A line has some ten thousand at most.
const LONG: usize = 256 << 10;

/// Lines of one kind: `sessions/000001.jsonl`, `sessions/000002.jsonl` …
pub(super) struct Lines {
    folder: String,
    number: u32,
    text: Vec<u8>,
}

impl Lines {
    /// Lines that stand in this folder.
    pub(super) fn new(folder: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            number: 0,
            text: Vec::new(),
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Where nobody takes what was written.
    pub(super) async fn push(
        &mut self,
        out: &mut Out,
        line: &(impl Serialize + Sync),
    ) -> Result<(), ExportError> {
        write_line(&mut self.text, line)?;
        if self.text.len() >= LONG {
            self.flush(out).await?;
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where nobody takes what was written.
    pub(super) async fn finish(mut self, out: &mut Out) -> Result<(), ExportError> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.flush(out).await
    }

    async fn flush(&mut self, out: &mut Out) -> Result<(), ExportError> {
        self.number += 1;
        let path = format!("{}/{:06}.jsonl", self.folder, self.number);
        out.text(path, std::mem::take(&mut self.text)).await
    }
}

/// What an application keeps, as it is.
pub(super) fn kept(
    metadata: Option<&crate::metadata::Metadata>,
) -> Option<Box<serde_json::value::RawValue>> {
    let text = metadata?.as_str().to_owned();
    serde_json::value::RawValue::from_string(text).ok()
}
