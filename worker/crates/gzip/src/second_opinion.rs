//! Reads gzip with flate2: the second opinion on a file that this project's own decoder refuses.
//!
//! The two decoders are independent, so a bug in one of them neither loses a log file nor changes its text.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::gzip::is_padding;

/// The text of all members of a gzip file. Each member's checksum and length are checked when the next one begins, or when
/// the file ends.
pub(crate) struct Members<R> {
    /// `None` after the end of the file.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(file: R) -> Self {
        Self {
            member: Some(GzDecoder::new(file)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let file = member.get_mut();
            skip_padding(file)?;
            if file.fill_buf()?.is_empty() {
                self.member = None;
            } else {
                self.member = self.member.take().map(|it| GzDecoder::new(it.into_inner()));
            }
        }
        Ok(0)
    }
}

fn skip_padding(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let ahead = file.fill_buf()?;
        let padding = ahead.iter().take_while(|byte| is_padding(**byte)).count();
        let is_all = padding == ahead.len();
        file.consume(padding);
        if padding == 0 || !is_all {
            return Ok(());
        }
    }
}
