//! Reads a file's stored bytes ahead into a buffer.

use std::io::{self, ErrorKind, Read};

use super::inflate::{Damage, Inflate, Input, Output, Progress};

/// Size of the buffer. Small enough to stay in the CPU cache until its bytes are decompressed, large enough for few
/// system calls. It must hold the header of a deflate block, which is half a kilobyte.
const BUFFER_BYTES: usize = 64 * 1024;

/// A reader with a buffer, which tracks how many bytes have been consumed.
pub(crate) struct ReadAhead<R> {
    reader: R,
    buffer: Vec<u8>,
    /// `buffer[taken..end]` has been read and not consumed.
    taken: usize,
    end: usize,
    ended: bool,
    /// Bytes of the file that came before the start of the buffer.
    passed: u64,
}

impl<R: Read> ReadAhead<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES],
            taken: 0,
            end: 0,
            ended: false,
            passed: 0,
        }
    }

    /// Bytes of the file that have been consumed.
    pub(crate) fn offset(&self) -> u64 {
        self.passed + self.taken as u64
    }

    /// Returns the next bytes without consuming them. Returns fewer than requested only at the end of the file.
    pub(crate) fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.end - self.taken < bytes && !self.ended {
            self.read_more()?;
        }
        let end = self.end.min(self.taken + bytes);
        Ok(&self.buffer[self.taken..end])
    }

    /// Skips bytes while `is` returns true.
    pub(crate) fn skip_while(&mut self, is: impl Fn(u8) -> bool) -> io::Result<()> {
        while let Some(&byte) = self.peek(1)?.first()
            && is(byte)
        {
            self.taken += 1;
        }
        Ok(())
    }

    /// Reads at least one more byte into the buffer, or detects the end of the file.
    pub(crate) fn read_more(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.taken..self.end, 0);
        self.end -= self.taken;
        self.passed += self.taken as u64;
        self.taken = 0;
        while !self.ended {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    self.ended = read == 0;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Consumes the next bytes. Fails with the kind `UnexpectedEof` if the file ends before.
    pub(crate) fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        match self.peek(N)?.first_chunk() {
            Some(&bytes) => {
                self.taken += N;
                Ok(bytes)
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies bytes unchanged and returns their number. Returns 0 only at the end of the file, or if `to` is empty.
    pub(crate) fn copy(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.end {
            self.read_more()?;
        }
        let bytes = &self.buffer[self.taken..self.end];
        let length = bytes.len().min(to.len());
        to[..length].copy_from_slice(&bytes[..length]);
        self.taken += length;
        Ok(length)
    }

    /// Decompresses the buffered bytes.
    pub(crate) fn inflate(
        &mut self,
        inflate: &mut Inflate,
        output: &mut Output<'_>,
    ) -> Result<Progress, Damage> {
        let mut input = Input {
            bytes: &self.buffer[self.taken..self.end],
            taken: 0,
            is_last: self.ended,
        };
        let progress = inflate.inflate(&mut input, output);
        self.taken += input.taken.min(input.bytes.len());
        progress
    }
}

impl<R: Read> Read for ReadAhead<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.copy(to)
    }
}
