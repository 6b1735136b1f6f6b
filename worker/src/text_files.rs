//! Small text files that people write, in a folder or under a prefix of a bucket: rollups, and what stands beside them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::aws::{self, S3Error};
use crate::intake::s3_uri::S3Uri;

/// A text file, read.
pub(crate) struct TextFile {
    /// Its path or URI.
    pub(crate) place: String,
    /// Its name.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The files with such names that lie in a folder, a path or `s3://bucket/prefix`, in the order of their names.
///
/// A bucket is listed even for a single name: without the permission to list all of it, S3 does not tell an object that is
/// not there from one that is not to be read.
pub(crate) async fn read(folder: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<TextFile>> {
    match S3Uri::parse(folder)? {
        Some(place) => of_bucket(place, is_wanted).await,
        None => on_disk(Path::new(folder), is_wanted),
    }
}

impl TextFile {
    /// Reads a file on disk.
    pub(crate) fn on_disk(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            text: std::fs::read_to_string(path)?,
            place: path.display().to_string(),
            name: name.to_string_lossy().into_owned(),
        })
    }
}

fn on_disk(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<TextFile>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_wanted(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let read = |path| TextFile::on_disk(path).with_context(|| path.display().to_string());
    paths.iter().map(|path| read(path)).collect()
}

async fn of_bucket(place: S3Uri<'_>, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<TextFile>> {
    let client = aws::bucket(aws::sdk_config().await, place.bucket).await?;
    let folder = place.folder();
    let mut pages = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(&folder)
        .delimiter("/")
        .into_paginator()
        .send();
    // Listed in the order of their keys.
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| S3Error::new(&error, place.bucket, "s3:ListBucket"))?;
        for object in page.contents.unwrap_or_default() {
            let key = object.key.unwrap_or_default();
            let Some(name) = key.strip_prefix(&folder).filter(|name| is_wanted(name)) else {
                continue;
            };
            let name = name.to_owned();
            let get = client.get_object().bucket(place.bucket).key(&key);
            let got = get.send().await;
            let got = got.map_err(|error| S3Error::new(&error, place.bucket, "s3:GetObject"))?;
            let bytes = got.body.collect().await.with_context(|| key.clone())?;
            let text = String::from_utf8(bytes.to_vec());
            files.push(TextFile {
                text: text.with_context(|| format!("{key}: not UTF-8"))?,
                place: format!("s3://{}/{key}", place.bucket),
                name,
            });
        }
    }
    Ok(files)
}
