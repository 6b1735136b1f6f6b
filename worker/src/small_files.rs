//! Small files that people write, in a folder or under a prefix of a bucket: rollups, and the files beside them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use logmill_shared::S3Uri;

use crate::aws::{self, S3Error};

/// The largest file that is read, in bytes. Workers keep lookup files in memory.
const BYTES_MAX: u64 = 64 << 20;

/// A file that was read.
pub(crate) struct SmallFile {
    /// Its path or URI.
    pub(crate) place: String,
    /// Its name.
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

/// A file that can't be read.
pub(crate) struct Unread {
    /// Its path or URI.
    pub(crate) place: String,
    /// Its name.
    pub(crate) name: String,
    /// Why it can't be read.
    pub(crate) source: anyhow::Error,
}

/// Reads the files whose names are wanted in a folder, which is a path or `s3://bucket/prefix`. Returns them sorted by
/// name.
///
/// A bucket is listed even for a single name. Without permission to list the whole bucket, S3 does not distinguish a
/// missing object from one that the caller may not read.
///
/// # Errors
///
/// The folder can't be listed. Errors of single files are in the result.
pub(crate) async fn read(
    folder: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Result<SmallFile, Unread>>> {
    match S3Uri::parse(folder)? {
        Some(place) => of_bucket(place, is_wanted).await,
        None => on_disk(Path::new(folder), is_wanted),
    }
}

impl SmallFile {
    /// Reads a file on disk.
    pub(crate) fn on_disk(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default();
        check_size(std::fs::metadata(path)?.len())?;
        Ok(Self {
            content: std::fs::read(path)?.into(),
            place: path.display().to_string(),
            name: name.to_string_lossy().into_owned(),
        })
    }

    /// Its text, without the byte order mark that some editors write before it.
    ///
    /// # Errors
    ///
    /// The content is not valid UTF-8.
    pub(crate) fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.content)?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
    }
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > BYTES_MAX {
        bail!(
            "the file has {bytes} bytes, and may have {BYTES_MAX}: leave out the rows and columns that no rollup needs"
        );
    }
    Ok(())
}

fn on_disk(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Result<SmallFile, Unread>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_wanted(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        SmallFile::on_disk(path).map_err(|source| Unread {
            place: path.display().to_string(),
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            source,
        })
    };
    Ok(paths.iter().map(read).collect())
}

async fn of_bucket(
    place: S3Uri<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Result<SmallFile, Unread>>> {
    let client = aws::bucket(aws::sdk_config().await, place.bucket).await?;
    let folder = place.folder();
    let mut pages = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(&folder)
        .delimiter("/")
        .into_paginator()
        .send();
    // S3 lists objects in the order of their keys.
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| S3Error::new(&error, place.bucket, "s3:ListBucket"))?;
        for object in page.contents.unwrap_or_default() {
            let key = object.key.unwrap_or_default();
            let Some(name) = key.strip_prefix(&folder).filter(|name| is_wanted(name)) else {
                continue;
            };
            let name = name.to_owned();
            let size = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
            let (bucket, object) = (place.bucket, key.as_str());
            let place = S3Uri {
                bucket,
                key: object,
            }
            .to_string();
            if let Err(source) = check_size(size) {
                files.push(Err(Unread {
                    place,
                    name,
                    source,
                }));
                continue;
            }
            let get = client.get_object().bucket(bucket).key(&key);
            let got = get.send().await;
            let got = got.map_err(|error| S3Error::new(&error, bucket, "s3:GetObject"))?;
            let bytes = got.body.collect().await.with_context(|| key.clone())?;
            files.push(Ok(SmallFile {
                place,
                name,
                content: bytes.into_bytes(),
            }));
        }
    }
    Ok(files)
}
