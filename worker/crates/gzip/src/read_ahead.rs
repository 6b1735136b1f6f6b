//! A file's bytes as they are stored, some of them read ahead.

use std::io::{self, ErrorKind, Read};

use super::inflate::{Damage, Inflate, Input, Output, Progress};

/// Bytes read at once. Small enough to stay in the processor's cache until they are decompressed; large enough for few
/// system calls. It must hold a deflate block's header, which is half a kilobyte.
const BUFFER_BYTES: usize = 64 * 1024;

/// Reads ahead, and knows how far what came after it has got.
pub(crate) struct ReadAhead<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What is in the buffer and not taken.
    taken: usize,
    end: usize,
    ended: bool,
    /// Bytes of the file that have left the buffer.
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

    /// Bytes of the file that have been taken.
    pub(crate) fn offset(&self) -> u64 {
        self.passed + self.taken as u64
    }

    /// The next bytes, which stay to be taken: fewer only if the file ends there.
    pub(crate) fn peek(&mut self, bytes: usize) -> io::Result<&[u8]> {
        while self.end - self.taken < bytes && !self.ended {
            self.read_more()?;
        }
        let end = self.end.min(self.taken + bytes);
        Ok(&self.buffer[self.taken..end])
    }

    /// Passes over bytes as long as they are such.
    pub(crate) fn skip_while(&mut self, is: impl Fn(u8) -> bool) -> io::Result<()> {
        while let Some(&byte) = self.peek(1)?.first()
            && is(byte)
        {
            self.taken += 1;
        }
        Ok(())
    }

    /// Reads a byte or more after what is there, or finds that there is none.
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

    /// The next bytes, or an error of kind `UnexpectedEof`.
    pub(crate) fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        match self.peek(N)?.first_chunk() {
            Some(&bytes) => {
                self.taken += N;
                Ok(bytes)
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies bytes as they are. Returns how many: none only at the end, or if none are asked for.
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

    /// Decompresses what is there.
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
