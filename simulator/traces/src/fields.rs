//! The fields of a row, however it was read.

use csv::ByteRecord;

use crate::error::{Fault, TraceError};

/// A row of fields.
pub(crate) trait Fields {
    /// How many fields it has.
    fn count(&self) -> usize;
    /// One of them; empty if it isn't there.
    fn get(&self, index: usize) -> &[u8];
    /// Its line in the file, from 1.
    fn line(&self) -> u64;

    /// The row as it stood in the file, but for quotes.
    fn text(&self) -> Vec<u8> {
        let fields: Vec<&[u8]> = (0..self.count()).map(|index| self.get(index)).collect();
        fields.join(&b',')
    }

    /// A fault in one field.
    fn at(&self, index: usize, fault: Fault) -> TraceError {
        let start: usize = (0..index).map(|before| self.get(before).len() + 1).sum();
        let end = start + self.get(index).len();
        TraceError::new(fault, self.line(), &self.text(), start..end)
    }

    /// A fault of the whole row.
    fn whole(&self, fault: Fault) -> TraceError {
        TraceError::whole(fault, self.line(), &self.text())
    }
}

/// A row of the crate `csv`, which knows quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a> {
    pub record: &'a ByteRecord,
    /// Lines before the reader began.
    pub before: u64,
}

impl Fields for Quoted<'_> {
    fn count(&self) -> usize {
        self.record.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        self.record.get(index).unwrap_or_default()
    }

    fn line(&self) -> u64 {
        self.before + self.record.position().map_or(0, csv::Position::line)
    }
}

/// A line without quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<'a> {
    pub text: &'a [u8],
    /// Where its commas are.
    pub commas: &'a [usize],
    pub line: u64,
}

impl Fields for Plain<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.commas.len() + 1
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let begin = match index.checked_sub(1) {
            None => 0,
            Some(before) => match self.commas.get(before) {
                Some(comma) => comma + 1,
                None => return &[],
            },
        };
        let end = self.commas.get(index).copied().unwrap_or(self.text.len());
        self.text.get(begin..end).unwrap_or_default()
    }

    fn line(&self) -> u64 {
        self.line
    }
}
